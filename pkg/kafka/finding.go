package kafka

import (
	"fmt"
	"slices"
	"strings"
)

// Risk is a setting with which a topic can lose records, by the name under which
// kafka.allow_unsafe accepts it.
type Risk string

// The risks that can be accepted.
const (
	RiskReplication Risk = "replication_factor"
	RiskInsync      Risk = "min_insync_replicas"
	RiskUnclean     Risk = "unclean_leader_election"
	RiskRetention   Risk = "retention_ms"
	RiskBytes       Risk = "retention_bytes"
	RiskCleanup     Risk = "cleanup_policy"
	RiskSize        Risk = "max_message_bytes"
)

// Risks lists all of them.
func Risks() []Risk {
	return []Risk{RiskReplication, RiskInsync, RiskUnclean, RiskRetention, RiskBytes, RiskCleanup, RiskSize}
}

// Missing is what is found of a topic that is not there.
const Missing = "missing"

// Verdict is what a finding means for a process.
type Verdict uint8

// The verdicts, each worse than the one before.
const (
	Accepted   Verdict = iota // kafka.allow_unsafe names it
	Unreadable                // nobody knows whether it is right
	Warn                      // it is not this process's records that can be lost
	Refuse                    // not to be served
)

func (v Verdict) String() string {
	return [...]string{"accepted", "unreadable", "warn", "refuse"}[v]
}

// Verdicts lists all of them.
func Verdicts() []Verdict { return []Verdict{Accepted, Unreadable, Warn, Refuse} }

// Finding is one setting of one topic that is not as the plan has it.
type Finding struct {
	Topic   string
	Setting string // as Kafka names it
	Found   string
	Wanted  string
	Why     string // what can happen
	Mend    string // what to do about it
	Risk    Risk   // empty: cannot be accepted
	Verdict Verdict
}

func (f Finding) String() string {
	return fmt.Sprintf("topic %s: %s is %s, wanted %s: %s", f.Topic, f.Setting, f.Found, f.Wanted, f.Why)
}

// Use is what a process does with the topics.
type Use struct{ Ingress, Egress, Admin bool }

// Needs says whether topics of this kind concern the process. Ingress neither
// reads nor writes what is egress's own, and may have no right to look at it.
// Admin makes the topics of new sources and looks at all others.
func (u Use) Needs(k Kind) bool {
	switch k {
	case Events, Catalog:
		return u.Ingress || u.Egress || u.Admin
	case Audit:
		return u.Admin
	default:
		return u.Egress || u.Admin
	}
}

// Needed are the topics of the plan that concern the process.
func Needed(plan []Topic, u Use) []Topic {
	return slices.DeleteFunc(slices.Clone(plan), func(t Topic) bool { return !u.Needs(t.Kind) })
}

// verdict is the table of who refuses over what; it is repeated for people in the
// package comment and in docs/operations.md.
func (u Use) verdict(k Kind, r Risk) Verdict {
	switch {
	case k == Catalog:
		return Refuse // without what people want, nobody knows what to do
	case k == Audit && u.Admin:
		return Refuse
	case k == Events && u.Ingress:
		return Refuse
	case k == Events && u.Egress && slices.Contains([]Risk{RiskRetention, RiskBytes, RiskCleanup}, r):
		return Refuse // what is not delivered yet would be deleted
	case (k == Delays || k == DeadLetters) && u.Egress:
		return Refuse
	default:
		return Warn
	}
}

// missing is the same for a topic that is not there: whoever cannot do its work
// without it waits for it. Egress reads the other sources' topics meanwhile.
func (u Use) missing(k Kind) Verdict {
	switch {
	case k == Catalog,
		k == Audit && u.Admin,
		k == Events && u.Ingress,
		(k == Delays || k == DeadLetters) && u.Egress:
		return Refuse
	default:
		return Warn
	}
}

// Refused says whether a process may not serve with these findings.
func Refused(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict == Refuse })
}

// Group joins findings that differ in nothing but their topic, for logs: a cluster
// with one copy has the same one for every topic.
func Group(findings []Finding) [][]Finding {
	var groups [][]Finding
	for _, f := range findings {
		i := slices.IndexFunc(groups, func(g []Finding) bool {
			return g[0].Setting == f.Setting && g[0].Found == f.Found && g[0].Wanted == f.Wanted && g[0].Verdict == f.Verdict
		})
		if i < 0 {
			groups = append(groups, []Finding{f})
			continue
		}
		groups[i] = append(groups[i], f)
	}
	return groups
}

// summary is one line for a group of findings.
func summary(group []Finding) string {
	names := make([]string, 0, len(group))
	for _, f := range group {
		names = append(names, f.Topic)
	}
	word := "topic "
	if len(names) > 1 {
		word = "topics "
	}
	const shown = 5
	if more := len(names) - shown; more > 1 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	f := group[0]
	return fmt.Sprintf("%s%s: %s is %s, wanted %s: %s", word, strings.Join(names, ", "), f.Setting, f.Found, f.Wanted, f.Why)
}
