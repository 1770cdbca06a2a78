package catalog

import (
	"encoding/json"
	"net/url"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

// CheckOptions say what may be written into the catalog.
type CheckOptions struct {
	Options
	// SecretsAllow are the patterns of secrets.allow: what an author with References may
	// refer to.
	SecretsAllow []string
	// SecretsOwn are what the process file refers to for itself: nobody may, whatever
	// SecretsAllow says.
	SecretsOwn []secret.Ref
	// MaxBody is the largest max_body of a source, in bytes; 0: no limit.
	MaxBody int64
	// Address refuses a subscription's URL whose host is an address that deliveries may
	// not go to; nil: that is found out at the first delivery.
	Address func(*url.URL) error
}

// Author is who wants to write.
type Author struct {
	Tenant string // whose key it is; "": the operator's
	// References says that he may refer to variables and files that SecretsAllow names.
	// A tenant never may, whatever this says.
	References bool
	// AllReferences says that he may refer to any, as the process file of causeway dev.
	AllReferences bool
}

// Checker says what is wrong with entries before they are written. It reads the
// sources of a state once; after that a check costs little. It is not safe for
// concurrent use.
type Checker struct {
	o             CheckOptions
	before, after *State // without and with the changes at hand
	known         *known // of after
	formats       map[string][]topicFormat
	tenants       map[string]*Tenant
	counts        map[string]int    // subscriptions of each tenant, of after
	named         map[string]naming // by source, of after; nil: not looked up yet
	standard      *signature.Compiled
}

// topicFormat is what one source writes to a topic.
type topicFormat struct {
	entry  *Entry
	format schemas.Format
}

// NewChecker makes a Checker of entries that are to be written into a state.
func NewChecker(s *State, o CheckOptions) *Checker { return newChecker(s, s, o) }

func newChecker(before, after *State, o CheckOptions) *Checker {
	c := &Checker{
		o: o, before: before, after: after, formats: map[string][]topicFormat{},
		tenants: map[string]*Tenant{}, counts: map[string]int{},
	}
	c.known = after.known(o.Options, func(e *Entry, spec SourceSpec) {
		format, err := o.format(spec)
		if err == nil { // else it is said of that source alone
			c.formats[spec.topic()] = append(c.formats[spec.topic()], topicFormat{e, format})
		}
	})
	for e := range after.All(KindTenant) {
		c.tenants[e.UID] = c.known.tenant(e)
	}
	for e := range after.All(KindSubscription) {
		c.counts[e.Tenant]++
	}
	return c
}

// known is what entries of the state may refer to.
func (s *State) known(o Options, each func(*Entry, SourceSpec)) *known {
	sources := map[string]knownSource{}
	for e := range s.All(KindSource) {
		spec, err := e.Source()
		if err != nil {
			continue // a later release wrote it
		}
		spec.Name = e.Name
		sources[e.Name] = knownSource{e.Tenant, spec.topic()}
		each(e, spec)
	}
	_, orphans, _ := s.orphans()
	return newKnown(sources, orphans, o.Foreign)
}

// With is the Checker of entries that are a part of these changes: what they refer to
// may come with them.
func (c *Checker) With(ch Changes) *Checker {
	return newChecker(c.before, c.before.after(ch), c.o)
}

// after is the state as the changes would make it, but for versions.
func (s *State) after(ch Changes) *State {
	var records []record
	for _, e := range ch.Put {
		records = append(records, record{e.Key(), e})
	}
	for _, e := range ch.Remove {
		records = append(records, record{key: e.Key()})
	}
	return s.with(s.Version, records)
}

// Refusal is all that is wrong with one entry of a change.
type Refusal struct {
	Entry  *Entry
	Faults []Fault
}

// CheckChanges says all that is wrong with changes that are written together. None:
// they may be.
func (c *Checker) CheckChanges(ch Changes, by Author) []Refusal {
	with := c.With(ch)
	var refusals []Refusal
	for _, e := range ch.Put {
		if faults := with.Check(e, by); len(faults) > 0 {
			refusals = append(refusals, Refusal{e, faults})
		}
	}
	for _, e := range ch.Remove {
		if faults := with.CheckRemove(e, by); len(faults) > 0 {
			refusals = append(refusals, Refusal{e, faults})
		}
	}
	return refusals
}

// Check says all that is wrong with an entry that is to be written; the paths are
// those inside its spec. None: it may be.
func (c *Checker) Check(e *Entry, by Author) []Fault {
	old := c.before.Entry(e.Kind, e.UID)
	if e.newer || old != nil && old.newer {
		return []Fault{{Text: "a newer release wrote it: update this one to change it"}}
	}
	x := c.checking(e, by)
	x.entry(old)
	switch e.Kind {
	case KindSource:
		x.checkSource(old)
	case KindSubscription:
		x.checkSubscription(old)
	case KindTenant:
		x.checkTenant()
	case KindKey:
		x.checkKey()
	default:
		x.fault("kind", "%q is no kind of entry that this release knows", e.Kind)
	}
	return x.faults
}

// checking is the check of one entry.
type checking struct {
	*Checker
	place
	e  *Entry
	by Author
}

func (c *Checker) checking(e *Entry, by Author) checking {
	had := map[string]bool{}
	if old := c.before.Entry(e.Kind, e.UID); old != nil {
		for _, text := range old.secrets() {
			had[text] = true
		}
	}
	b := &builder{
		Options: c.o.Options, sealed: e.binding(), retire: e.Retire, scheme: c.standard,
		check: &secretCheck{o: c.o, by: by, had: had, e: e},
	}
	return checking{Checker: c, place: b.at(), e: e, by: by}
}

// maxSpec keeps an entry's record, with its starts, below what Kafka takes. Tenants get
// less: every process holds their entries, and every change of one is written down.
const (
	maxSpec       = 256 << 10
	maxTenantSpec = 32 << 10
)

// read reads the spec into one of this release's types.
func (x checking) read(spec any) bool {
	most := maxSpec
	if x.by.Tenant != "" {
		most = maxTenantSpec
	}
	if len(x.e.Spec) > most {
		x.fault("", "its spec has %d bytes: at most %d", len(x.e.Spec), most)
		return false
	}
	if err := json.Unmarshal(x.e.Spec, spec); err != nil {
		x.fault("", "its spec cannot be read: %v", err)
		return false
	}
	return true
}
