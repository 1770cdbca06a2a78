package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CheckOptions say how a plan is compared with what is there.
type CheckOptions struct {
	Use   Use
	Allow []Risk // accepted by the operator
	// Embedded: the broker is this process's own, which keeps to what its guards
	// say and takes no other settings. Only sizes are left to compare.
	Embedded bool
}

// Check compares the topics of the plan with what is there, missing ones and
// settings inherited from the brokers included. The error is that Kafka could not
// be asked at all; what it did not want to tell is a finding.
func Check(ctx context.Context, cl *kgo.Client, plan []Topic, o CheckOptions) ([]Finding, error) {
	plan = Needed(plan, o.Use)
	there, err := describe(ctx, cl, topicNames(plan))
	if err != nil {
		return nil, err
	}
	return compareAll(ctx, cl, plan, there, o)
}

// compareAll compares what metadata said, and reads the settings of what is there.
func compareAll(ctx context.Context, cl *kgo.Client, plan []Topic, there map[string]kmsg.MetadataResponseTopic, o CheckOptions) ([]Finding, error) {
	var seen []string
	for _, t := range plan {
		if visible(there[t.Name]) == nil {
			seen = append(seen, t.Name)
		}
	}
	settings, err := readSettings(ctx, cl, seen)
	if err != nil {
		return nil, err
	}
	seeds, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	var findings []Finding
	for _, t := range plan {
		c := comparison{planned: t, options: o, server: strings.Join(seeds, ",")}
		switch err := visible(there[t.Name]); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			c.missing()
		case err != nil:
			c.hidden(err)
		default:
			c.there = there[t.Name]
			c.settings(settings[t.Name])
		}
		findings = append(findings, c.findings...)
	}
	return findings, nil
}

func topicNames(plan []Topic) []string {
	names := make([]string, 0, len(plan))
	for _, t := range plan {
		names = append(names, t.Name)
	}
	return names
}

// visible says why a topic cannot be used. One without leaders is there.
func visible(t kmsg.MetadataResponseTopic) error {
	if t.Topic == nil {
		return kerr.UnknownTopicOrPartition
	}
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.LeaderNotAvailable) {
		return err
	}
	return nil
}

// setting are the effective settings of one topic, or why they cannot be read.
type setting struct {
	values map[string]string
	err    error
}

// readSettings asks for the effective settings: what a topic inherits from its
// brokers counts as much as its own.
func readSettings(ctx context.Context, cl *kgo.Client, topics []string) (map[string]setting, error) {
	all := map[string]setting{}
	if len(topics) == 0 {
		return all, nil
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range topics {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		if ctx.Err() != nil || kgo.IsRetryableBrokerErr(err) {
			return nil, fmt.Errorf("read the settings of %d topics: %w", len(topics), err)
		}
		for _, name := range topics { // not a broker that is away: one that does not do this
			all[name] = setting{err: err}
		}
		return all, nil
	}
	for _, r := range resp.Resources {
		s := setting{values: map[string]string{}, err: kerr.ErrorForCode(r.ErrorCode)}
		for _, c := range r.Configs {
			if c.Value != nil {
				s.values[c.Name] = *c.Value
			}
		}
		all[r.ResourceName] = s
	}
	return all, nil
}

// comparison gathers what is found about one topic.
type comparison struct {
	planned  Topic
	there    kmsg.MetadataResponseTopic
	options  CheckOptions
	server   string
	findings []Finding
}

func (c *comparison) add(f Finding) {
	f.Topic = c.planned.Name
	if f.Verdict == Refuse && f.Risk != "" {
		f.Verdict = c.options.Use.verdict(c.planned.Kind, f.Risk)
	}
	if f.Risk != "" && slices.Contains(c.options.Allow, f.Risk) {
		f.Verdict = Accepted
	}
	c.findings = append(c.findings, f)
}

func (c *comparison) missing() {
	t := c.planned
	var line strings.Builder
	fmt.Fprintf(&line, "kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d --replication-factor %d", c.server, t.Name, t.Partitions, t.Replication)
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		line.WriteString(" --config " + key + "=" + t.Configs[key])
	}
	c.add(Finding{Setting: "the topic", Found: Missing, Wanted: "there", Why: "nothing can be stored in it", Mend: line.String(), Verdict: c.options.Use.missing(t.Kind)})
}

func (c *comparison) hidden(err error) {
	c.add(Finding{
		Setting: "the topic", Found: "not to be seen (" + kafkaSays(err) + ")", Wanted: "readable", Why: "this process may have no right to it, or Kafka is not well",
		Mend: "allow DESCRIBE and DESCRIBE_CONFIGS on it", Verdict: Unreadable,
	})
}

// kafkaSays is the name of an error, which is what people search for.
func kafkaSays(err error) string {
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke.Message
	}
	return err.Error()
}

func (c *comparison) settings(s setting) {
	if !c.options.Embedded {
		c.replication()
		c.onePartition()
	}
	if s.err != nil {
		c.add(Finding{
			Setting: "its settings", Found: "not readable (" + kafkaSays(s.err) + ")", Wanted: "readable", Why: "nobody knows whether they can lose records",
			Mend: "allow DESCRIBE_CONFIGS on it", Verdict: Unreadable,
		})
		return
	}
	c.atLeast(s, "max.message.bytes", RiskSize, "larger records are refused")
	if c.options.Embedded {
		return
	}
	c.insync(s)
	c.exactly(s, "unclean.leader.election.enable", RiskUnclean, "a copy that lags behind may become the leader, and what it lacks is gone", func(v string) bool { return v == "false" })
	if c.planned.Kind == Catalog {
		// Retention counts for nothing where nothing is deleted by it.
		c.exactly(s, "cleanup.policy", RiskCleanup, "what nobody changed for a while is deleted", func(v string) bool { return v == "compact" })
		return
	}
	c.exactly(s, "cleanup.policy", RiskCleanup, "compaction deletes records whose key comes again", func(v string) bool { return !strings.Contains(v, "compact") })
	c.atLeast(s, "retention.ms", RiskRetention, "records may be deleted before they are delivered")
	c.atLeast(s, "retention.bytes", RiskBytes, "records may be deleted by size before they are delivered")
}

// copies is the smallest number of copies that a partition of the topic has.
func (c *comparison) copies() int16 {
	least := int16(0)
	for _, p := range c.there.Partitions {
		if n := int16(len(p.Replicas)); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

func (c *comparison) replication() {
	found, wanted := c.copies(), c.planned.Replication
	if found == 0 || found >= wanted {
		return
	}
	c.add(Finding{
		Setting: "the replication factor", Found: strconv.Itoa(int(found)), Wanted: strconv.Itoa(int(wanted)) + " or more", Risk: RiskReplication, Verdict: Refuse,
		Why:  "records are lost with the disks of too few brokers",
		Mend: fmt.Sprintf("give each partition %d replicas with kafka-reassign-partitions.sh, as docs/operations.md shows", wanted),
	})
}

// onePartition is for the catalog, whose versions are the offsets of one partition.
// A topic's partitions cannot be made fewer, so there is no command that mends it.
func (c *comparison) onePartition() {
	if found := len(c.there.Partitions); c.planned.Kind == Catalog && found > 1 {
		c.add(Finding{
			Setting: "the number of partitions", Found: strconv.Itoa(found), Wanted: "1", Verdict: Refuse,
			Why:  "only the first is read, and whoever made the others may have written to them",
			Mend: fmt.Sprintf("it cannot be made smaller: keep what it holds, delete it with kafka-topics.sh --bootstrap-server %s --delete --topic %s, and make it again with one partition", c.server, c.planned.Name),
		})
	}
}

// insync wants two copies before anything is acknowledged, where there can be two,
// and not more than there are. That there are too few copies is said elsewhere.
func (c *comparison) insync(s setting) {
	const name = "min.insync.replicas"
	copies := c.copies()
	wanted := min(number(c.planned.Configs[name]), int64(max(copies, 1)))
	value, ok := c.value(s, name)
	if !ok {
		return
	}
	found := number(value)
	f := Finding{Setting: name, Found: value, Wanted: strconv.FormatInt(wanted, 10), Risk: RiskInsync, Verdict: Refuse, Mend: c.alter(name, strconv.FormatInt(wanted, 10))}
	switch {
	case found < wanted:
		f.Why = "what is acknowledged may exist in one copy only"
	case copies > 0 && found > int64(copies):
		f.Why = fmt.Sprintf("nothing can be stored: there are only %d copies", copies)
	case found > wanted && found == int64(copies) && copies > 1:
		f.Why, f.Verdict = "nothing can be stored while one broker is away", Warn
	default:
		return
	}
	c.add(f)
}

func (c *comparison) atLeast(s setting, name string, risk Risk, why string) {
	wanted := c.planned.Configs[name]
	c.compare(s, name, wanted, wanted+" or more", risk, why, func(v string) bool {
		found, want := number(v), number(wanted)
		if name == "max.message.bytes" {
			return found >= want
		}
		return found < 0 || want >= 0 && found >= want // below zero is no limit
	})
}

func (c *comparison) exactly(s setting, name string, risk Risk, why string, right func(string) bool) {
	c.compare(s, name, c.planned.Configs[name], c.planned.Configs[name], risk, why, right)
}

func (c *comparison) compare(s setting, name, set, wanted string, risk Risk, why string, right func(string) bool) {
	value, ok := c.value(s, name)
	if !ok || right(value) {
		return
	}
	if name == "retention.bytes" {
		wanted = "-1 (no limit)"
	}
	c.add(Finding{Setting: name, Found: value, Wanted: wanted, Why: why, Risk: risk, Verdict: Refuse, Mend: c.alter(name, set)})
}

// value is the effective value; a broker that does not tell is a finding.
func (c *comparison) value(s setting, name string) (string, bool) {
	value, ok := s.values[name]
	if !ok {
		c.add(Finding{
			Setting: name, Found: "not told by the brokers", Wanted: c.planned.Configs[name], Why: "nobody knows whether it can lose records",
			Mend: "look it up where the topic was made", Verdict: Unreadable,
		})
	}
	return value, ok
}

func (c *comparison) alter(name, value string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s", c.server, c.planned.Name, name, value)
}

// number reads a setting's number; what is none counts as the smallest limit.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
