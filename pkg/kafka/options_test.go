package kafka_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"causeway/pkg/kafka/kafkatest"
)

// hang lets a broker take produce requests and never answer, until it is told
// to stop.
func hang(b *kafkatest.Bubble) (heal func()) {
	var healed atomic.Bool
	b.Cluster().ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster().KeepControl()
		return nil, nil, !healed.Load()
	})
	return func() { healed.Store(true) }
}

func TestIngressProducerGivesUpOnAHungBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		if err := b.Cluster().CreateTopic("webhooks.a", 1, nil); err != nil {
			t.Fatal(err)
		}
		cl := open(t, b.Options().IngressProducer())
		heal := hang(b)
		var outcome error
		cl.Produce(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: []byte("x")}, func(_ *kgo.Record, err error) { outcome = err })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if !errors.Is(outcome, kgo.ErrRecordTimeout) {
			t.Fatalf("after 20 s: %v, want it to give up", outcome)
		}
		heal()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: []byte("x")}).FirstErr(); err != nil {
			t.Errorf("when the broker answers again: %v", err)
		}
	})
}

func TestIngressProducerRefusesWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		if err := b.Cluster().CreateTopic("webhooks.a", 1, nil); err != nil {
			t.Fatal(err)
		}
		cl := open(t, b.Options().IngressProducer())
		hang(b)
		var full error
		for i := 0; i < 1000 && full == nil; i++ {
			cl.TryProduce(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: make([]byte, 1<<20)}, func(_ *kgo.Record, err error) {
				if errors.Is(err, kgo.ErrMaxBuffered) {
					full = err
				}
			})
			synctest.Wait()
		}
		if full == nil || cl.BufferedProduceBytes() > 65<<20 {
			t.Errorf("%d MiB are buffered, and it says %v", cl.BufferedProduceBytes()>>20, full)
		}
	})
}

func TestSettleProducerNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		if err := b.Cluster().CreateTopic("causeway.delay.1s", 1, nil); err != nil {
			t.Fatal(err)
		}
		cl := open(t, b.Options().SettleProducer())
		heal := hang(b)
		ctx, cancel := context.WithCancel(t.Context())
		var done error
		settled := false
		cl.Produce(ctx, &kgo.Record{Topic: "causeway.delay.1s", Value: []byte("x")}, func(_ *kgo.Record, err error) { done, settled = err, true })
		time.Sleep(time.Minute)
		cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		if settled {
			t.Fatalf("after an hour it gave up: %v", done)
		}
		heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !settled || done != nil {
			t.Errorf("when the broker answers again: settled %v, %v", settled, done)
		}
	})
}

// TestConsumerGoesOnAtTheOldestRecord wherever its place in the log is not known
// or not there: twice is better than never.
func TestConsumerGoesOnAtTheOldestRecord(t *testing.T) {
	for name, tc := range map[string]struct{ commit, want int64 }{
		"without a commit":                   {-1, 5},
		"with a commit before the log":       {3, 5},
		"with a commit in the log":           {7, 7},
		"with a commit beyond the log's end": {99, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := kafkatest.NewBubble(t)
				if err := b.Cluster().CreateTopic("webhooks.a", 1, nil); err != nil {
					t.Fatal(err)
				}
				producer := open(t, b.Options().IngressProducer())
				for range 10 {
					if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: []byte("x")}).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Cluster().DeleteRecords("webhooks.a", 0, 5); err != nil {
					t.Fatal(err)
				}
				if tc.commit >= 0 {
					o := make(kadm.Offsets)
					o.AddOffset("webhooks.a", 0, tc.commit, -1)
					if _, err := kadm.NewClient(producer).CommitOffsets(t.Context(), "causeway.egress", o); err != nil {
						t.Fatal(err)
					}
				}
				cl := open(t, append(b.Options().Consumer("causeway.egress"), kgo.ConsumeTopics("webhooks.a")))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var got []*kgo.Record
				for len(got) == 0 && ctx.Err() == nil {
					fs := cl.PollFetches(ctx)
					got = fs.Records()
				}
				if len(got) == 0 || got[0].Offset != tc.want {
					t.Errorf("it begins with %d records at %v, want offset %d", len(got), got, tc.want)
				}
			})
		})
	}
}

// TestConsumerReadsAllAgainWhenTheBrokerLostItsPlace: the client's own choice
// would be what is a minute older than the last record it has seen.
func TestConsumerReadsAllAgainWhenTheBrokerLostItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		if err := b.Cluster().CreateTopic("webhooks.a", 1, nil); err != nil {
			t.Fatal(err)
		}
		producer := open(t, b.Options().IngressProducer())
		cl := open(t, append(b.Options().Consumer("causeway.egress"), kgo.ConsumeTopics("webhooks.a")))
		for range 3 {
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if n := cl.PollFetches(t.Context()).NumRecords(); n != 1 {
				t.Fatalf("%d records", n)
			}
			time.Sleep(time.Hour)
		}
		b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "webhooks.a", Err: kerr.OffsetOutOfRange})
		var lost *kgo.ErrDataLoss
		for {
			fs := cl.PollFetches(t.Context())
			fs.EachError(func(_ string, _ int32, err error) { errors.As(err, &lost) })
			if fs.NumRecords() == 0 {
				continue
			}
			if first := fs.Records()[0].Offset; first != 0 || lost == nil {
				t.Errorf("it goes on at %d, with %v", first, lost)
			}
			return
		}
	})
}

// TestEqualKeysMeet is what dedup and the delay topics rest on, whoever writes.
func TestEqualKeysMeet(t *testing.T) {
	c, o := fake(t)
	if err := c.CreateTopic("webhooks.a", 12, nil); err != nil {
		t.Fatal(err)
	}
	where := make(map[string]int32)
	for _, opts := range [][]kgo.Opt{o.IngressProducer(), o.SettleProducer(), o.AttemptProducer()} {
		cl := open(t, opts)
		for _, i := range rand.Perm(100) {
			key := strconv.Itoa(i)
			r, err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Key: []byte(key)}).First()
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := where[key]; ok && p != r.Partition {
				t.Errorf("key %s is in %d and %d", key, p, r.Partition)
			}
			where[key] = r.Partition
		}
	}
}

func TestClientsShareARegistry(t *testing.T) {
	c, o := fake(t)
	if err := c.CreateTopic("causeway.attempts", 1, nil); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	for _, opts := range [][]kgo.Opt{o.IngressProducer(), o.SettleProducer(), o.AttemptProducer(), o.Consumer("causeway.egress"), o.Consumer("causeway.delay")} {
		if err := open(t, opts).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	clients := make(map[string]bool)
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == "causeway_kafka_connects_total" && l.GetName() == "client" {
					clients[l.GetValue()] = true
				}
			}
		}
	}
	for _, want := range []string{"ingress", "settle", "attempts", "egress", "delay"} {
		if !clients[want] {
			t.Errorf("no metrics of %s, only of %v", want, clients)
		}
	}
}

func TestLossesAreLoud(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	_, o := fake(t)
	o.Logger = zap.New(core)

	hooks := reflect.ValueOf(open(t, o.Consumer("causeway.egress")).OptValue(kgo.WithHooks))
	for i := range hooks.Len() {
		if h, ok := reflect.TypeAssert[kgo.HookGroupManageError](hooks.Index(i)); ok {
			h.OnGroupManageError(errors.New("fenced"))
		}
	}
	if got := logs.FilterField(zap.String("group", "causeway.egress")).Len(); got != 1 {
		t.Errorf("a lost group was said %d times: %v", got, logs.All())
	}
	for _, opts := range [][]kgo.Opt{o.IngressProducer(), o.SettleProducer()} {
		open(t, opts).OptValue(kgo.ProducerOnDataLossDetected).(func(string, int32))("webhooks.a", 3)
	}
	if got := logs.FilterField(zap.Int32("partition", 3)).Len(); got != 2 {
		t.Errorf("lost records were said %d times: %v", got, logs.All())
	}
}

func TestClientsAreQuietUnlessDebugging(t *testing.T) {
	for level, want := range map[zapcore.Level]kgo.LogLevel{
		zap.DebugLevel: kgo.LogLevelDebug,
		zap.InfoLevel:  kgo.LogLevelWarn,
		zap.ErrorLevel: kgo.LogLevelWarn,
	} {
		core, _ := observer.New(level)
		_, o := fake(t)
		o.Logger = zap.New(core)
		if got := open(t, o.Base("test")).OptValue(kgo.WithLogger).(kgo.Logger).Level(); got != want {
			t.Errorf("at %v the client logs from %v, want %v", level, got, want)
		}
	}
}

func TestExtraOptionsWin(t *testing.T) {
	_, o := fake(t)
	o.Extra = append(o.Extra, kgo.SessionTimeout(10*time.Second), kgo.ClientID("mine"))
	cl := open(t, o.Consumer("causeway.egress"))
	if got := cl.OptValue(kgo.SessionTimeout); got != 10*time.Second {
		t.Errorf("session timeout %v", got)
	}
	if got := cl.OptValue(kgo.ClientID); got != "mine" {
		t.Errorf("client id %v", got)
	}
}
