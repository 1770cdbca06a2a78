package kafka_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"causeway/egress/delay"
	"causeway/pkg/kafka"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  kafka.PlanOptions
		topic string
		want  kafka.Topic
	}{
		"an event topic on a cluster has three copies": {
			kafka.PlanOptions{Sources: []kafka.SourceTopic{{Name: "webhooks.a"}}},
			"webhooks.a",
			kafka.Topic{Partitions: 12, Replication: 3, Configs: map[string]string{"retention.ms": "604800000", "min.insync.replicas": "2", "max.message.bytes": "1529176"}},
		},
		"a source may say otherwise": {
			kafka.PlanOptions{Sources: []kafka.SourceTopic{{Name: "webhooks.a", Partitions: 48, Replication: 5}}},
			"webhooks.a",
			kafka.Topic{Partitions: 48, Replication: 5, Configs: map[string]string{"min.insync.replicas": "2"}},
		},
		"two sources with one topic get the wider wish": {
			kafka.PlanOptions{Sources: []kafka.SourceTopic{{Name: "webhooks.a", Partitions: 3}, {Name: "webhooks.a", Partitions: 24, Replication: 2}}},
			"webhooks.a",
			kafka.Topic{Partitions: 24, Replication: 2},
		},
		"the largest body counts for all event topics": {
			kafka.PlanOptions{Sources: []kafka.SourceTopic{{Name: "webhooks.a"}, {Name: "webhooks.b", MaxBody: 3 << 20}}},
			"webhooks.a",
			kafka.Topic{Partitions: 12, Replication: 3, Configs: map[string]string{"max.message.bytes": strconv.Itoa(4<<20 + 128<<10)}},
		},
		"a delay topic takes the state as well, and waits two weeks": {
			kafka.PlanOptions{Tiers: []string{"30m"}},
			"causeway.delay.30m",
			kafka.Topic{Partitions: 12, Replication: 3, Configs: map[string]string{"retention.ms": "1209600000", "max.message.bytes": "1660248", "segment.bytes": "67108864"}},
		},
		"the DLQ is kept for a month": {
			kafka.PlanOptions{},
			"causeway.dlq",
			kafka.Topic{Partitions: 12, Replication: 3, Configs: map[string]string{"retention.ms": "2592000000", "max.message.bytes": "1660248"}},
		},
		"attempts are small": {
			kafka.PlanOptions{Prefix: "hooks."},
			"hooks.attempts",
			kafka.Topic{Partitions: 12, Replication: 3, Configs: map[string]string{"retention.ms": "604800000", "max.message.bytes": "1048588"}},
		},
		"the catalog is one compacted partition": {
			kafka.PlanOptions{Partitions: 24},
			"causeway.catalog",
			kafka.Topic{Partitions: 1, Replication: 3, Configs: map[string]string{
				"cleanup.policy": "compact", "retention.ms": "", "retention.bytes": "", "delete.retention.ms": "604800000",
				"min.insync.replicas": "2", "max.message.bytes": "1048588", "unclean.leader.election.enable": "false",
			}},
		},
		"the audit is kept for a year, in order": {
			kafka.PlanOptions{Partitions: 24},
			"causeway.audit",
			kafka.Topic{Partitions: 1, Replication: 3, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": "31536000000", "max.message.bytes": "1048588"}},
		},
		"two brokers have two copies, and both must have it": {
			kafka.PlanOptions{Brokers: 2},
			"causeway.dlq",
			kafka.Topic{Partitions: 12, Replication: 2, Configs: map[string]string{"min.insync.replicas": "2"}},
		},
		"one broker has one": {
			kafka.PlanOptions{Brokers: 1},
			"causeway.dlq",
			kafka.Topic{Partitions: 12, Replication: 1, Configs: map[string]string{"min.insync.replicas": "1"}},
		},
		"the embedded broker has one, few partitions, and its own retention": {
			kafka.PlanOptions{Embedded: true, Sources: []kafka.SourceTopic{{Name: "webhooks.a", Partitions: 12, Replication: 3}}},
			"webhooks.a",
			kafka.Topic{Partitions: 2, Replication: 1, Configs: map[string]string{"retention.ms": "-1", "min.insync.replicas": "1", "segment.bytes": "8388608"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := kafka.Plan(tc.opts)
			i := slices.IndexFunc(plan, func(got kafka.Topic) bool { return got.Name == tc.topic })
			if i < 0 {
				t.Fatalf("no topic %s in %v", tc.topic, plan)
			}
			got := plan[i]
			if got.Partitions != tc.want.Partitions || got.Replication != tc.want.Replication {
				t.Errorf("%d partitions, %d copies, want %d and %d", got.Partitions, got.Replication, tc.want.Partitions, tc.want.Replication)
			}
			for key, want := range tc.want.Configs {
				if got.Configs[key] != want {
					t.Errorf("%s = %q, want %q", key, got.Configs[key], want)
				}
			}
		})
	}
}

func TestEveryTopicSaysWhatCouldLoseData(t *testing.T) {
	for _, embedded := range []bool{false, true} {
		for _, topic := range kafka.Plan(kafka.PlanOptions{Embedded: embedded, Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: "webhooks.a"}}}) {
			for _, key := range []string{"cleanup.policy", "retention.ms", "retention.bytes", "min.insync.replicas", "unclean.leader.election.enable", "max.message.bytes"} {
				if kept := topic.Kind == kafka.Catalog && strings.HasPrefix(key, "retention."); topic.Configs[key] == "" && !kept {
					t.Errorf("%s leaves %s to the broker", topic.Name, key)
				}
			}
		}
	}
}

// kfake loses data around compaction, so on it the catalog is a file.
func TestTheEmbeddedBrokerHasNoCatalog(t *testing.T) {
	for _, topic := range kafka.Plan(kafka.PlanOptions{Embedded: true}) {
		if topic.Kind == kafka.Catalog || topic.Configs["cleanup.policy"] != "delete" {
			t.Errorf("the embedded broker gets %+v", topic)
		}
	}
}

func TestUnreadTopicsAreInThePlan(t *testing.T) {
	var names []string
	for _, topic := range kafka.Plan(kafka.PlanOptions{Prefix: "hooks."}) {
		names = append(names, topic.Name)
	}
	for name := range maps.Keys(kafka.Unread("hooks.")) {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not in the plan %v", name, names)
		}
	}
}

// TestManifest keeps deploy/topics.yaml what Plan says; go test -update writes it.
func TestManifest(t *testing.T) {
	const file = "../../deploy/topics.yaml"
	want := "# The topics of a cluster with the default settings and one source, stripe: each source has an\n" +
		"# event topic of its own. causeway creates what is missing when it starts; this is for those who\n" +
		"# do it by other means (kafka.topics.create: false). Written by `go test ./pkg/kafka -update`.\n" +
		kafka.Manifest(kafka.Plan(kafka.PlanOptions{Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: "webhooks.stripe"}}}))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what Plan says: go test ./pkg/kafka -update", file)
	}
}
