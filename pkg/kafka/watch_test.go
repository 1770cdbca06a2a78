package kafka_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

// watched is a Watch in a bubble, and what can be seen of it.
type watched struct {
	*kafka.Watch
	t      *testing.T
	client *kgo.Client
	health *health.Set
	logs   *observer.ObservedLogs
	reg    *prometheus.Registry
	plan   []kafka.Topic
}

// inWatch runs the test with the topics of the plan made, but for those named.
func inWatch(t *testing.T, o kafka.WatchOptions, plan []kafka.Topic, test func(*watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bubble := kafkatest.NewBubble(t)
		client, err := kgo.NewClient(bubble.Options().Base("test")...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		core, logs := observer.New(zap.InfoLevel)
		w := &watched{t: t, client: client, health: health.NewSet(nil), logs: logs, reg: prometheus.NewRegistry(), plan: plan}
		o.Client, o.Health, o.Logger, o.Registerer = client, w.health, zap.New(core), w.reg
		o.Plan = func(int) []kafka.Topic { return plan }
		w.Watch = kafka.NewWatch(o)
		test(w)
	})
}

func (w *watched) make() {
	w.t.Helper()
	if _, err := kafka.Ensure(w.t.Context(), w.client, w.plan); err != nil {
		w.t.Fatal(err)
	}
}

// failing gives the text of a condition; empty: it is met.
func (w *watched) failing(code string) string {
	_, failing := w.health.Ready()
	for _, f := range failing {
		if f.Code == code {
			return f.Code + ": " + f.Text
		}
	}
	return ""
}

// said counts log lines that hold the text.
func (w *watched) said(text string) int {
	n := 0
	for _, e := range w.logs.All() {
		if strings.Contains(e.Message, text) {
			n++
		}
	}
	return n
}

func (w *watched) value(name string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	w.t.Fatalf("no metric %s", name)
	return 0
}

// run lets the watch look on until the returned function is called, which gives the
// topics that were made again.
func (w *watched) run() (stop func() []string) {
	w.t.Helper()
	if err := w.Await(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var again []string
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx, func(topic string) { again = append(again, topic) }); err != nil {
			w.t.Error(err)
		}
	})
	return func() []string {
		cancel()
		wg.Wait()
		return again
	}
}

// A topic that is refused keeps the process waiting, says so once, and lets it go on
// when it is mended.
func TestAwaitGoesOnWhenTheTopicIsMended(t *testing.T) {
	inWatch(t, kafka.WatchOptions{Check: kafka.CheckOptions{Use: ingressOnly}}, planned("webhooks.a"), func(w *watched) {
		w.make()
		set(w.t, w.client, "webhooks.a", map[string]string{"retention.ms": "1000"})
		done := make(chan error, 1)
		go func() { done <- w.Await(w.t.Context()) }()
		time.Sleep(time.Minute)
		select {
		case err := <-done:
			w.t.Fatalf("serves with a retention of a second: %v", err)
		default:
		}
		ready, _ := w.health.Ready()
		if why := w.failing("kafka_topics"); ready || !strings.Contains(why, "topic webhooks.a: retention.ms is 1000, wanted 604800000 or more") || !strings.Contains(why, "kafka-configs.sh") {
			w.t.Errorf("ready %v, %s", ready, why)
		}
		if n := w.said("retention.ms is 1000"); n != 1 {
			w.t.Errorf("said %d times in a minute", n)
		}
		set(w.t, w.client, "webhooks.a", map[string]string{"retention.ms": "604800000"})
		if err := <-done; err != nil {
			w.t.Fatal(err)
		}
		if ready, failing := w.health.Ready(); !ready || len(failing) > 0 {
			w.t.Errorf("after it was mended: %v, %v", ready, failing)
		}
	})
}

func TestAwaitMakesWhatIsMissingOrWaitsForIt(t *testing.T) {
	for name, create := range map[string]bool{"made": true, "waited for": false} {
		t.Run(name, func(t *testing.T) {
			inWatch(t, kafka.WatchOptions{Check: kafka.CheckOptions{Use: egressOnly}, Create: create}, planned("webhooks.a"), func(w *watched) {
				done := make(chan error, 1)
				go func() { done <- w.Await(w.t.Context()) }()
				time.Sleep(30 * time.Second)
				if waits := w.failing("kafka_topics") != ""; waits == create {
					w.t.Errorf("create %v: %s", create, w.failing("kafka_topics"))
				}
				w.make()
				if err := <-done; err != nil {
					w.t.Fatal(err)
				}
			})
		})
	}
}

func TestAnAcceptedRiskIsShownAndServed(t *testing.T) {
	o := kafka.WatchOptions{Check: kafka.CheckOptions{Use: ingressOnly, Allow: []kafka.Risk{kafka.RiskRetention}}}
	inWatch(t, o, planned("webhooks.a"), func(w *watched) {
		w.make()
		set(w.t, w.client, "webhooks.a", map[string]string{"retention.ms": "1000"})
		if err := w.Await(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if ready, _ := w.health.Ready(); !ready || !strings.Contains(w.failing("allow_unsafe"), "retention.ms is 1000") || w.said("retention.ms is 1000") != 1 {
			w.t.Errorf("ready %v, %q, said %d times", ready, w.failing("allow_unsafe"), w.said("retention.ms is 1000"))
		}
	})
}

// What is found later is said and shown, and stops nothing.
func TestWhatIsFoundWhileServing(t *testing.T) {
	inWatch(t, kafka.WatchOptions{Check: kafka.CheckOptions{Use: ingressOnly}}, planned("webhooks.a"), func(w *watched) {
		w.make()
		stop := w.run()
		set(w.t, w.client, "webhooks.a", map[string]string{"cleanup.policy": "compact"})
		time.Sleep(5 * time.Hour)
		if ready, _ := w.health.Ready(); !ready || !strings.Contains(w.failing("topic_settings"), "cleanup.policy is compact") || w.said("cleanup.policy is compact") != 1 {
			w.t.Errorf("ready %v, %q, said %d times", ready, w.failing("topic_settings"), w.said("cleanup.policy is compact"))
		}
		set(w.t, w.client, "webhooks.a", map[string]string{"cleanup.policy": "delete"})
		time.Sleep(2 * time.Hour)
		if why := w.failing("topic_settings"); why != "" {
			w.t.Errorf("after it was mended: %s", why)
		}
		stop()
	})
}

func TestAddedPartitionsAreCounted(t *testing.T) {
	inWatch(t, kafka.WatchOptions{Check: kafka.CheckOptions{Use: ingressOnly}}, planned("webhooks.a"), func(w *watched) {
		w.make()
		stop := w.run()
		if _, err := kadm.NewClient(w.client).UpdatePartitions(w.t.Context(), 5, "webhooks.a"); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if added, said := w.value("causeway_topic_partitions_added_total"), w.said("more partitions than before"); added != 4 || said != 1 {
			w.t.Errorf("%v added, said %d times; want 4 and once", added, said)
		}
		stop()
	})
}

// A topic that goes away makes itself known, and its return makes the clients forget it.
func TestATopicThatIsDeleted(t *testing.T) {
	for name, create := range map[string]bool{"and made again by the plan": true, "and made again by hand": false} {
		t.Run(name, func(t *testing.T) {
			inWatch(t, kafka.WatchOptions{Check: kafka.CheckOptions{Use: ingressOnly}, Create: create}, planned("webhooks.a", "webhooks.b"), func(w *watched) {
				w.make()
				stop := w.run()
				if _, err := kadm.NewClient(w.client).DeleteTopics(w.t.Context(), "webhooks.a"); err != nil {
					w.t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if err := w.Usable("webhooks.a"); (err == nil) != create || w.Usable("webhooks.b") != nil {
					w.t.Errorf("create %v: %v, %v", create, err, w.Usable("webhooks.b"))
				}
				if !create {
					if why := w.failing("topics_present"); why != "topics_present: missing: webhooks.a" || w.value("causeway_topics_missing") != 1 || w.said("a topic is missing") != 1 {
						w.t.Errorf("%q, %v, said %d times", why, w.value("causeway_topics_missing"), w.said("a topic is missing"))
					}
					w.make()
					time.Sleep(time.Minute)
				}
				if ready, failing := w.health.Ready(); !ready || len(failing) > 0 || w.Usable("webhooks.a") != nil {
					w.t.Errorf("after it was made again: %v, %v", failing, w.Usable("webhooks.a"))
				}
				if again := stop(); len(again) != 1 || again[0] != "webhooks.a" || w.said("deleted and made again") != 1 {
					w.t.Errorf("made again: %v, said %d times", again, w.said("deleted and made again"))
				}
			})
		})
	}
}

// On the embedded broker nobody has kafka-configs: a larger max_body is enough.
func TestTheEmbeddedBrokersSizesFollow(t *testing.T) {
	o := kafka.WatchOptions{Check: kafka.CheckOptions{Use: kafka.Use{Ingress: true, Egress: true}, Embedded: true}}
	inWatch(t, o, planned("webhooks.a"), func(w *watched) {
		w.make()
		set(w.t, w.client, "webhooks.a", map[string]string{"max.message.bytes": "1000", "retention.ms": "-1", "min.insync.replicas": "2"})
		if err := w.Await(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		configs, err := kadm.NewClient(w.client).DescribeTopicConfigs(w.t.Context(), "webhooks.a")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "max.message.bytes" && c.MaybeValue() != w.plan[0].Configs["max.message.bytes"] {
				w.t.Errorf("max.message.bytes is %s, want %s", c.MaybeValue(), w.plan[0].Configs["max.message.bytes"])
			}
		}
	})
}
