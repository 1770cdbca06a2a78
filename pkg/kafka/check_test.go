package kafka_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/kafka"
)

// set changes settings of a topic, as an operator would.
func set(t *testing.T, cl *kgo.Client, topic string, settings map[string]string) {
	t.Helper()
	var changes []kadm.AlterConfig
	for key, value := range settings {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: new(value)})
	}
	resp, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), changes, topic)
	if err == nil {
		_, err = resp.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatalf("set %v of %s: %v", settings, topic, err)
	}
}

// brief is what a test compares: verdict, topic, setting, found.
func brief(findings []kafka.Finding) string {
	lines := make([]string, 0, len(findings))
	for _, f := range findings {
		lines = append(lines, fmt.Sprintf("%s %s %s=%s", f.Verdict, f.Topic, f.Setting, f.Found))
	}
	return strings.Join(lines, "\n")
}

func planned(names ...string) []kafka.Topic {
	var sources []kafka.SourceTopic
	for _, name := range names {
		sources = append(sources, kafka.SourceTopic{Name: name, Partitions: 1})
	}
	return kafka.Plan(kafka.PlanOptions{Brokers: 1, Partitions: 1, Tiers: []string{"1s"}, Sources: sources})
}

var (
	ingressOnly = kafka.Use{Ingress: true}
	egressOnly  = kafka.Use{Egress: true}
	adminOnly   = kafka.Use{Admin: true}
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		topic    string
		settings map[string]string
		use      kafka.Use
		allow    []kafka.Risk
		want     string
	}{
		"as planned":                            {"webhooks.a", nil, ingressOnly, nil, ""},
		"longer retention is as good":           {"webhooks.a", map[string]string{"retention.ms": "864000000"}, ingressOnly, nil, ""},
		"retention without an end is better":    {"webhooks.a", map[string]string{"retention.ms": "-1"}, ingressOnly, nil, ""},
		"larger records may be taken":           {"webhooks.a", map[string]string{"max.message.bytes": "9000000"}, ingressOnly, nil, ""},
		"the broker's own time changes nothing": {"webhooks.a", map[string]string{"message.timestamp.type": "LogAppendTime"}, ingressOnly, nil, ""},
		"retention too short, for who writes":   {"webhooks.a", map[string]string{"retention.ms": "3600000"}, ingressOnly, nil, "refuse webhooks.a retention.ms=3600000"},
		"retention too short, for who reads":    {"webhooks.a", map[string]string{"retention.ms": "3600000"}, egressOnly, nil, "refuse webhooks.a retention.ms=3600000"},
		"retention by size":                     {"webhooks.a", map[string]string{"retention.bytes": "1000000"}, ingressOnly, nil, "refuse webhooks.a retention.bytes=1000000"},
		"compaction":                            {"webhooks.a", map[string]string{"cleanup.policy": "compact,delete"}, egressOnly, nil, "refuse webhooks.a cleanup.policy=compact,delete"},
		"unclean elections, for who writes":     {"webhooks.a", map[string]string{"unclean.leader.election.enable": "true"}, ingressOnly, nil, "refuse webhooks.a unclean.leader.election.enable=true"},
		"unclean elections, for who reads":      {"webhooks.a", map[string]string{"unclean.leader.election.enable": "true"}, egressOnly, nil, "warn webhooks.a unclean.leader.election.enable=true"},
		"a raised max_body":                     {"webhooks.a", map[string]string{"max.message.bytes": "1000012"}, ingressOnly, nil, "refuse webhooks.a max.message.bytes=1000012"},
		"more in sync than there are":           {"webhooks.a", map[string]string{"min.insync.replicas": "2"}, ingressOnly, nil, "refuse webhooks.a min.insync.replicas=2"},
		"ingress leaves the delay topics alone": {"causeway.delay.1s", map[string]string{"retention.ms": "1"}, ingressOnly, nil, ""},
		"egress does not":                       {"causeway.delay.1s", map[string]string{"retention.ms": "1"}, egressOnly, nil, "refuse causeway.delay.1s retention.ms=1"},
		"nor the DLQ":                           {"causeway.dlq", map[string]string{"max.message.bytes": "1"}, egressOnly, nil, "refuse causeway.dlq max.message.bytes=1"},
		"attempts only warn":                    {"causeway.attempts", map[string]string{"cleanup.policy": "compact"}, egressOnly, nil, "warn causeway.attempts cleanup.policy=compact"},
		"admin only makes what others use":      {"webhooks.a", map[string]string{"retention.ms": "1"}, adminOnly, nil, "warn webhooks.a retention.ms=1"},
		"delay topics too":                      {"causeway.delay.1s", map[string]string{"retention.ms": "1"}, adminOnly, nil, "warn causeway.delay.1s retention.ms=1"},
		"its own audit it looks after":          {"causeway.audit", map[string]string{"retention.ms": "86400000"}, adminOnly, nil, "refuse causeway.audit retention.ms=86400000"},
		"nobody else does":                      {"causeway.audit", map[string]string{"retention.ms": "86400000"}, egressOnly, nil, ""},
		"a catalog by age, at the door":         {"causeway.catalog", map[string]string{"cleanup.policy": "delete"}, ingressOnly, nil, "refuse causeway.catalog cleanup.policy=delete"},
		"a catalog by age as well":              {"causeway.catalog", map[string]string{"cleanup.policy": "compact,delete"}, egressOnly, nil, "refuse causeway.catalog cleanup.policy=compact,delete"},
		"a catalog's retention deletes nothing": {"causeway.catalog", map[string]string{"retention.ms": "1", "retention.bytes": "1"}, adminOnly, nil, ""},
		"unclean elections of the catalog":      {"causeway.catalog", map[string]string{"unclean.leader.election.enable": "true"}, egressOnly, nil, "refuse causeway.catalog unclean.leader.election.enable=true"},
		"a catalog that takes too little":       {"causeway.catalog", map[string]string{"max.message.bytes": "1000"}, adminOnly, nil, "refuse causeway.catalog max.message.bytes=1000"},
		"an accepted risk":                      {"webhooks.a", map[string]string{"retention.ms": "1"}, ingressOnly, []kafka.Risk{kafka.RiskRetention}, "accepted webhooks.a retention.ms=1"},
		"another one is not accepted":           {"webhooks.a", map[string]string{"retention.ms": "1"}, ingressOnly, []kafka.Risk{kafka.RiskBytes}, "refuse webhooks.a retention.ms=1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, o := fake(t)
			cl := open(t, o.Base("test"))
			plan := planned("webhooks.a")
			if _, err := kafka.Ensure(t.Context(), cl, plan); err != nil {
				t.Fatal(err)
			}
			if tc.settings != nil {
				set(t, cl, tc.topic, tc.settings)
			}
			findings, err := kafka.Check(t.Context(), cl, plan, kafka.CheckOptions{Use: tc.use, Allow: tc.allow})
			if err != nil || brief(findings) != tc.want {
				t.Errorf("Check = %v\n%s\nwant\n%s", err, brief(findings), tc.want)
			}
			for _, f := range findings {
				for key := range tc.settings {
					if want := "--entity-name " + tc.topic + " --add-config " + key + "="; !strings.Contains(f.Mend, want) {
						t.Errorf("mend is %q, want %q in it", f.Mend, want)
					}
				}
			}
		})
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	_, o := fake(t, kfake.SeedTopics(1, "causeway.delay.1s", "causeway.dlq"))
	cl := open(t, o.Base("test"))
	for use, want := range map[kafka.Use]string{
		ingressOnly: "refuse webhooks.a the topic=missing\nrefuse causeway.catalog the topic=missing",
		egressOnly:  "warn webhooks.a the topic=missing\nrefuse causeway.catalog the topic=missing\nwarn causeway.attempts the topic=missing",
		adminOnly:   "warn webhooks.a the topic=missing\nrefuse causeway.catalog the topic=missing\nwarn causeway.attempts the topic=missing\nrefuse causeway.audit the topic=missing",
	} {
		findings, err := kafka.Check(t.Context(), cl, planned("webhooks.a"), kafka.CheckOptions{Use: use, Allow: kafka.Risks()})
		if err != nil {
			t.Fatal(err)
		}
		var missing []kafka.Finding
		for _, f := range findings {
			if f.Found == kafka.Missing {
				missing = append(missing, f)
			}
		}
		if got := brief(missing); got != want {
			t.Errorf("%+v: found\n%s\nwant\n%s", use, got, want)
		}
		if line := "kafka-topics.sh --bootstrap-server " + o.Brokers[0] + " --create --topic webhooks.a --partitions 1 --replication-factor 1 --config cleanup.policy=delete"; !strings.HasPrefix(missing[0].Mend, line) {
			t.Errorf("mend is %q, want it to begin with %q", missing[0].Mend, line)
		}
	}
}

// A catalog that somebody gave more partitions is no catalog: nobody may accept that.
func TestTheCatalogHasOnePartition(t *testing.T) {
	_, o := fake(t, kfake.SeedTopics(3, "causeway.catalog"))
	cl := open(t, o.Base("test"))
	set(t, cl, "causeway.catalog", map[string]string{"cleanup.policy": "compact"})
	for _, use := range []kafka.Use{ingressOnly, egressOnly, adminOnly} {
		findings, err := kafka.Check(t.Context(), cl, planned(), kafka.CheckOptions{Use: use, Allow: kafka.Risks()})
		if err != nil || !strings.Contains(brief(findings), "refuse causeway.catalog the number of partitions=3") {
			t.Errorf("%+v: Check = %v\n%s", use, err, brief(findings))
		}
	}
}

// What inherits from the broker is compared as it works: kfake's own default for
// records is smaller than an event may be.
func TestCheckReadsWhatIsInherited(t *testing.T) {
	_, o := fake(t, kfake.SeedTopics(1, "webhooks.a"))
	findings, err := kafka.Check(t.Context(), open(t, o.Base("test")), planned("webhooks.a"), kafka.CheckOptions{Use: ingressOnly})
	if err != nil || !strings.Contains(brief(findings), "refuse webhooks.a max.message.bytes=1048588") {
		t.Errorf("Check = %v\n%s", err, brief(findings))
	}
}

func TestSettingsThatCannotBeReadWarn(t *testing.T) {
	for name, tc := range map[string]struct {
		fault kfake.Fault
		want  string
	}{
		"no right to any": {kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1}, "unreadable webhooks.a its settings=not readable (TOPIC_AUTHORIZATION_FAILED)\nunreadable causeway.catalog its settings=not readable (TOPIC_AUTHORIZATION_FAILED)"},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := fake(t, kfake.SeedTopics(1, "webhooks.a", "causeway.catalog"))
			c.Fault(tc.fault)
			findings, err := kafka.Check(t.Context(), open(t, o.Base("test")), planned("webhooks.a"), kafka.CheckOptions{Use: ingressOnly})
			if err != nil || brief(findings) != tc.want || kafka.Refused(findings) {
				t.Errorf("Check = %v\n%s\nwant\n%s", err, brief(findings), tc.want)
			}
		})
	}
}
