package kafka_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/delay"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// TestPlanOnRealKafka creates the whole plan and reads it back: kfake takes any
// setting under any name, a real broker does not.
func TestPlanOnRealKafka(t *testing.T) {
	for name, brokers := range map[string]int{"one broker": 1, "three brokers": 3} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Real(t, brokers)
			prefix := kafkatest.Prefix(t)
			plan := kafka.Plan(kafka.PlanOptions{
				Prefix: prefix, Tiers: delay.Names()[:2], Brokers: brokers,
				Sources: []kafka.SourceTopic{{Name: prefix + "webhooks.a", Partitions: 3}},
			})
			for i := range plan {
				plan[i].Partitions = min(plan[i].Partitions, 3) // quicker to make
			}
			o := c.Options()
			cl := open(t, o.Base("test"))
			created, err := kafka.Ensure(t.Context(), cl, plan)
			if err != nil || len(created) != len(plan) {
				t.Fatalf("created %v, %v", created, err)
			}
			for _, want := range plan {
				configs, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), want.Name)
				if err != nil {
					t.Fatal(err)
				}
				got := make(map[string]string)
				for _, c := range configs[0].Configs {
					got[c.Key] = c.MaybeValue()
				}
				for key, value := range want.Configs {
					if got[key] != value {
						t.Errorf("%s: %s = %q, want %q", want.Name, key, got[key], value)
					}
				}
			}
			fit(t, o, plan[0].Name, prefix+"delay.1s")
		})
	}
}

// fit sends the largest event there may be, in the format that makes it largest,
// through an event topic and a delay topic, and one that is too large.
func fit(t *testing.T, o kafka.Options, events, waiting string) {
	t.Helper()
	incompressible := make([]byte, (kafka.DefaultMaxBody+2)/3*4+32<<10)
	_, _ = rand.Read(incompressible)
	header := kgo.RecordHeader{Key: "x", Value: make([]byte, 64<<10)}
	_, _ = rand.Read(header.Value)
	r := &kgo.Record{Topic: events, Key: []byte("id"), Value: incompressible, Headers: []kgo.RecordHeader{header}}
	if err := open(t, o.IngressProducer()).ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Errorf("the largest event: %v", err)
	}
	settle := open(t, o.SettleProducer())
	state := kgo.RecordHeader{Key: "state", Value: header.Value}
	r = &kgo.Record{Topic: waiting, Key: []byte("id"), Value: incompressible, Headers: []kgo.RecordHeader{header, state}}
	if err := settle.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Errorf("the largest delivery: %v", err)
	}
	r = &kgo.Record{Topic: waiting, Value: make([]byte, kafka.DelayBytes(kafka.DefaultMaxBody))}
	if err := settle.ProduceSync(t.Context(), r).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("more than that: %v, want MESSAGE_TOO_LARGE", err)
	}
}

// TestCheckOnRealKafka: topics that were made carelessly, by their brokers' defaults,
// and by the plan.
func TestCheckOnRealKafka(t *testing.T) {
	c := kafkatest.Real(t, 3)
	prefix := kafkatest.Prefix(t)
	careless, defaults, good := prefix+"webhooks.careless", prefix+"webhooks.defaults", prefix+"webhooks.good"
	plan := kafka.Plan(kafka.PlanOptions{Prefix: prefix, Partitions: 2, Sources: []kafka.SourceTopic{{Name: careless}, {Name: defaults}, {Name: good}}})[:3]
	cl := open(t, c.Options().Base("test"))
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), 2, 1, map[string]*string{"unclean.leader.election.enable": new("true"), "retention.ms": new("60000"), "retention.bytes": new("1000000"), "cleanup.policy": new("compact,delete")}, careless); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 2, 3, nil, defaults); err != nil {
		t.Fatal(err)
	}
	if _, err := kafka.Ensure(t.Context(), cl, plan); err != nil {
		t.Fatal(err)
	}
	check := func() string {
		t.Helper()
		findings, err := kafka.Check(t.Context(), cl, plan, kafka.CheckOptions{Use: kafka.Use{Ingress: true}})
		if err != nil {
			t.Fatal(err)
		}
		return brief(findings)
	}
	want := strings.ReplaceAll(`refuse CARELESS the replication factor=1
refuse CARELESS max.message.bytes=1048588
refuse CARELESS min.insync.replicas=2
refuse CARELESS unclean.leader.election.enable=true
refuse CARELESS cleanup.policy=compact,delete
refuse CARELESS retention.ms=60000
refuse CARELESS retention.bytes=1000000
refuse `, "CARELESS", careless) + defaults + " max.message.bytes=1048588"
	// The controller acknowledges topics and settings before every broker knows them.
	eventually := func(as func(string) bool) (got string, ok bool) {
		got = check()
		for end := time.Now().Add(time.Minute); !as(got) && time.Now().Before(end); {
			got = check()
		}
		return got, as(got)
	}
	if got, ok := eventually(func(got string) bool { return got == want }); !ok {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
	set(t, cl, defaults, map[string]string{"max.message.bytes": plan[1].Configs["max.message.bytes"], "min.insync.replicas": "3"})
	wanted := "\nwarn " + defaults + " min.insync.replicas=3"
	if got, ok := eventually(func(got string) bool { return strings.HasSuffix(got, wanted) }); !ok {
		t.Errorf("three in sync of three: found\n%s", got)
	}
}
