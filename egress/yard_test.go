package egress

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/outbound"
	"causeway/schemas"
)

// yard is an egress on a real Kafka with one subscriber.
type yard struct {
	t      *testing.T
	kafka  kafka.Options
	topics []string
	client *kgo.Client
	admin  *kadm.Client
	sink   *sink
	subs   []*catalog.Subscription
	egress *Egress
	health *health.Set
	reg    *prometheus.Registry
}

// newYard makes the topics of a plan, small ones.
func newYard(t *testing.T, partitions int32, sources int, answer func(arrival) int) *yard {
	t.Helper()
	y := &yard{t: t, kafka: kafkatest.Real(t, 1).Options()}
	y.kafka.Prefix = kafkatest.Prefix(t)
	// New partitions and topics are noticed within a second here, within a minute else.
	y.kafka.Extra = append(y.kafka.Extra, kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond))
	var planned []kafka.SourceTopic
	for n := range sources {
		y.topics = append(y.topics, fmt.Sprintf("%swebhooks.%d", y.kafka.Prefix, n))
		planned = append(planned, kafka.SourceTopic{Name: y.topics[n], Partitions: partitions})
	}
	client, err := kgo.NewClient(y.kafka.SettleProducer()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	y.client, y.admin = client, kadm.NewClient(client)
	plan := kafka.Plan(kafka.PlanOptions{Prefix: y.kafka.Prefix, Brokers: 1, Partitions: 1, Tiers: delay.Names(), Sources: planned})
	if _, err := kafka.Ensure(t.Context(), client, plan); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y.sink = newSink(t, ln, answer)
	sub := subscription(t, "a")
	sub.Topics = y.topics
	redirect(t, sub, "http://"+ln.Addr().String()+"/a")
	y.subs = []*catalog.Subscription{sub}
	return y
}

// start runs an egress until the returned function stops it.
func (y *yard) start() (stop func()) {
	y.t.Helper()
	var sources []*catalog.Source
	for n, topic := range y.topics {
		sources = append(sources, &catalog.Source{Name: fmt.Sprint(n), Topic: topic})
	}
	snapshot := catalog.NewSnapshot(0, sources, y.subs)
	y.reg, y.health = prometheus.NewRegistry(), health.NewSet(nil)
	o := Options{
		Kafka: y.kafka, Catalog: func() *catalog.Snapshot { return snapshot },
		Client: outbound.New(outbound.Options{AllowLoopback: true, AllowHTTP: true}),
		Health: y.health, Registerer: y.reg, LagEvery: time.Hour,
		Logger: zaptest.NewLogger(y.t, zaptest.Level(zap.ErrorLevel)),
	}
	e := New(o)
	y.egress = e
	ctx, cancel := context.WithCancel(y.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			y.t.Errorf("egress: %v", err)
		}
		o.Client.CloseIdle()
	})
	y.t.Cleanup(stop)
	return stop
}

// publish stores events with these IDs.
func (y *yard) publish(topic string, body []byte, ids ...string) {
	y.t.Helper()
	for _, id := range ids {
		e := schemas.Event{ID: id, Source: "0", Received: time.Now(), Body: body}
		r, err := e.Record(topic, schemas.Raw)
		if err != nil {
			y.t.Fatal(err)
		}
		if err := y.client.ProduceSync(y.t.Context(), r).FirstErr(); err != nil {
			y.t.Fatal(err)
		}
	}
}

func (y *yard) arrived(times int, ids ...string) {
	y.t.Helper()
	await(y.t, fmt.Sprintf("%d arrivals each of %s", times, strings.Join(ids, " ")), func() bool {
		for _, id := range ids {
			if len(y.sink.of("a", id)) < times {
				return false
			}
		}
		return true
	})
}

// failing gives the text of a condition that is not met.
func (y *yard) failing(code string) string {
	_, failing := y.health.Ready()
	for _, f := range failing {
		if f.Code == code {
			return f.Text
		}
	}
	return ""
}

// committed waits until the group of events has committed that much of a topic.
func (y *yard) committed(topic string, want int64) {
	y.t.Helper()
	await(y.t, fmt.Sprintf("%d committed of %s", want, topic), func() bool {
		offsets, err := y.admin.FetchOffsets(y.t.Context(), y.kafka.Prefix+"egress")
		if err != nil {
			return false
		}
		var sum int64
		for _, o := range offsets.Offsets()[topic] {
			sum += o.At
		}
		return sum == want
	})
}

func ids(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", prefix, i))
	}
	return out
}

// letter reads the DLQ's n-th record.
func (y *yard) letter(dlq string, n int64) *schemas.Delivery {
	y.t.Helper()
	cl, err := kgo.NewClient(append(y.kafka.Base("letters"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{dlq: {0: kgo.NewOffset().At(n)}}))...)
	if err != nil {
		y.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(y.t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		records := cl.PollFetches(ctx).Records()
		if len(records) == 0 {
			continue
		}
		d, err := schemas.DeliveryFromRecord(records[0])
		if err != nil || records[0].Offset != n {
			y.t.Fatalf("letter %d: offset %d, %v", n, records[0].Offset, err)
		}
		return d
	}
	y.t.Fatalf("no letter %d in a minute", n)
	return nil
}
