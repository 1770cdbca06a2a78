package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultMaxBody is the body limit of a source that names none.
const DefaultMaxBody = 1 << 20

// day is long enough to be wanted by name.
const day = 24 * time.Hour

// Kind says what a topic is for, and with that who must not go on when it can
// lose records.
type Kind uint8

// The kinds of topics.
const (
	Events      Kind = iota // of sources: written by ingress, read by egress
	Delays                  // written and read by egress
	DeadLetters             // written by egress
	Attempts                // written by egress, which may drop them
	Catalog                 // what people want: written by admin, read by everybody; compacted
	Audit                   // who did what: written by admin
)

// Topic is one topic as it should be.
type Topic struct {
	Name        string
	Kind        Kind
	Partitions  int32
	Replication int16
	Configs     map[string]string
}

// SourceTopic is what a source says about its event topic. Zero values stand
// for the plan's own choice.
type SourceTopic struct {
	Name        string
	Partitions  int32
	Replication int16
	MaxBody     int64
}

// PlanOptions is what the plan depends on.
type PlanOptions struct {
	Prefix      string   // default causeway.
	Tiers       []string // names of the delay tiers
	Sources     []SourceTopic
	Partitions  int32 // of topics whose source names none; default 12
	Replication int16 // the same; default 3, fewer where there are fewer brokers
	Brokers     int   // in the cluster; default 3
	Embedded    bool  // on the embedded broker: few partitions, one copy, retention by its janitor
	MaxBody     int64 // largest body that any source accepts, also in Options; default 1 MiB
}

func (o PlanOptions) withDefaults() PlanOptions {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.Brokers = cmp.Or(o.Brokers, 3)
	if o.Embedded {
		// One log is synced to disk per partition and batch, one after the other:
		// more partitions make the embedded broker slower, not faster.
		o.Partitions, o.Brokers = cmp.Or(o.Partitions, 1), 1
	}
	o.Partitions = cmp.Or(o.Partitions, 12)
	o.Replication = cmp.Or(o.Replication, int16(min(o.Brokers, 3)))
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	for _, s := range o.Sources {
		o.MaxBody = max(o.MaxBody, s.MaxBody)
	}
	return o
}

// Plan lists the topics that causeway needs: the sources' event topics, then
// its own. All event topics take the largest body, because one producer with
// one batch size writes them all. There is no catalog on the embedded broker, which
// must never compact: it is a file there.
func Plan(o PlanOptions) []Topic {
	o = o.withDefaults()
	var plan []Topic
	for _, s := range shared(o.Sources) {
		plan = append(plan, o.topic(s.Name, Events, s, EventBytes(o.MaxBody), 7*day))
	}
	if !o.Embedded {
		plan = append(plan, o.catalog())
	}
	for _, tier := range o.Tiers {
		t := o.topic(o.Prefix+"delay."+tier, Delays, SourceTopic{}, DelayBytes(o.MaxBody), 14*day)
		if !o.Embedded {
			// What was delivered is freed by segment, and a delay topic is only ever
			// read near its end.
			t.Configs["segment.bytes"] = strconv.Itoa(64 << 20)
		}
		plan = append(plan, t)
	}
	for _, t := range unread() {
		maxBytes := DelayBytes(o.MaxBody)
		if t.small {
			maxBytes = smallBytes
		}
		plan = append(plan, o.topic(o.Prefix+t.name, t.kind, SourceTopic{Partitions: t.partitions}, maxBytes, t.keep))
	}
	return plan
}

// Unread lists the topics that none of causeway's groups reads, and how long
// their records are kept. On a cluster retention does that; on the embedded
// broker, whose janitor otherwise trims only what was committed, this list does.
func Unread(prefix string) map[string]time.Duration {
	keep := make(map[string]time.Duration)
	for _, t := range unread() {
		keep[cmp.Or(prefix, DefaultPrefix)+t.name] = cmp.Or(t.embedded, t.keep)
	}
	return keep
}

type unreadTopic struct {
	name       string
	kind       Kind
	keep       time.Duration
	embedded   time.Duration // the same on the embedded broker, whose disk is bounded; as keep when left out
	partitions int32         // the plan's own choice when left out
	small      bool          // holds no bodies
}

func unread() []unreadTopic {
	return []unreadTopic{
		{name: "dlq", kind: DeadLetters, keep: 30 * day},
		{name: "attempts", kind: Attempts, keep: 7 * day, small: true},
		// In one partition, so that who did what can be read in the order in which it was done.
		{name: "audit", kind: Audit, keep: 365 * day, embedded: 30 * day, partitions: 1, small: true},
	}
}

// smallBytes is Kafka's own default for max.message.bytes.
const smallBytes = 1_048_588

// EventBytes is the max.message.bytes of an event topic whose bodies have up to
// body bytes, and the batch size of its producer. A structured CloudEvent holds
// its body as base64, so a third is added for every format; headers, stored
// twice in the worst case, and the event's facts share the rest.
func EventBytes(body int64) int32 { return int32(min((body+2)/3*4+128<<10, 1<<30)) }

// DelayBytes is the same for the delay and DLQ topics, whose records are an
// event record and the delivery's state.
func DelayBytes(body int64) int32 { return EventBytes(body) + 128<<10 }

func (o PlanOptions) topic(name string, kind Kind, own SourceTopic, maxBytes int32, keep time.Duration) Topic {
	t := Topic{
		Name:        name,
		Kind:        kind,
		Partitions:  cmp.Or(own.Partitions, o.Partitions),
		Replication: cmp.Or(own.Replication, o.Replication),
		Configs: map[string]string{
			"cleanup.policy":                 "delete",
			"retention.bytes":                "-1",
			"retention.ms":                   strconv.FormatInt(keep.Milliseconds(), 10),
			"max.message.bytes":              strconv.Itoa(int(maxBytes)),
			"message.timestamp.type":         "CreateTime",
			"unclean.leader.election.enable": "false",
		},
	}
	if o.Embedded {
		t.Partitions = min(t.Partitions, 2)
		t.Replication = 1
		t.Configs["retention.ms"] = "-1"
		t.Configs["segment.bytes"] = strconv.Itoa(8 << 20)
	}
	// Two copies before anything is acknowledged, where there can be two.
	t.Configs["min.insync.replicas"] = strconv.Itoa(int(min(t.Replication, 2)))
	return t
}

// catalog is the topic whose every record is the latest word on its key. It has one
// partition, because its offsets are the catalog's versions, and no retention: what
// nobody changed for a year counts as much as what was changed today.
func (o PlanOptions) catalog() Topic {
	t := o.topic(o.Prefix+"catalog", Catalog, SourceTopic{Partitions: 1}, smallBytes, 0)
	delete(t.Configs, "retention.ms")
	delete(t.Configs, "retention.bytes")
	t.Configs["cleanup.policy"] = "compact"
	// A reader that began before a deletion was written has a week to come to it. One that
	// read nothing for nearly as long begins anew (pkg/catalog).
	t.Configs["delete.retention.ms"] = strconv.FormatInt((7 * day).Milliseconds(), 10)
	// Each process reads all of it at its start, and only closed segments are compacted:
	// old words about a key should not stand in an open one for long.
	t.Configs["segment.ms"] = strconv.FormatInt(day.Milliseconds(), 10)
	t.Configs["segment.bytes"] = strconv.Itoa(64 << 20)
	t.Configs["min.cleanable.dirty.ratio"] = "0.1"
	return t
}

// shared joins the wishes of sources that write to one topic: the wider wins.
func shared(sources []SourceTopic) []SourceTopic {
	var topics []SourceTopic
	for _, s := range sources {
		i := slices.IndexFunc(topics, func(t SourceTopic) bool { return t.Name == s.Name })
		if i < 0 {
			topics = append(topics, s)
			continue
		}
		topics[i].Partitions = max(topics[i].Partitions, s.Partitions)
		topics[i].Replication = max(topics[i].Replication, s.Replication)
	}
	return topics
}

// Manifest writes the plan as YAML, for those who create topics themselves.
func Manifest(plan []Topic) string {
	var b strings.Builder
	b.WriteString("topics:\n")
	for _, t := range plan {
		fmt.Fprintf(&b, "  - name: %s\n    partitions: %d\n    replication_factor: %d\n    config:\n", t.Name, t.Partitions, t.Replication)
		for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
			fmt.Fprintf(&b, "      %s: %q\n", key, t.Configs[key])
		}
	}
	return b.String()
}
