package egress

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/schemas"
)

// onTopics gives each path a subscription to a topic of its own.
func (b *bed) onTopics(paths ...string) func(*Options) {
	b.t.Helper()
	var sources []*catalog.Source
	var planned []kafka.SourceTopic
	var subs []*catalog.Subscription
	for _, path := range paths {
		sub := subscription(b.t, path)
		sub.Topics = []string{"webhooks." + path}
		subs = append(subs, sub)
		sources = append(sources, &catalog.Source{Name: path, Topic: "webhooks." + path})
		planned = append(planned, kafka.SourceTopic{Name: "webhooks." + path})
	}
	if _, err := kafka.Ensure(b.t.Context(), b.client, kafka.Plan(kafka.PlanOptions{Embedded: true, Sources: planned})); err != nil {
		b.t.Fatal(err)
	}
	snapshot := catalog.NewSnapshot(0, sources, subs)
	return func(o *Options) { o.Catalog = func() *catalog.Snapshot { return snapshot } }
}

// flood writes many events to a topic at once.
func (b *bed) flood(topic, prefix string, n, size int) {
	b.t.Helper()
	rnd := rand.NewChaCha8([32]byte{1})
	for i := range n {
		e := schemas.Event{ID: fmt.Sprintf("%s-%d", prefix, i), Source: "shop", Received: time.Now(), Body: make([]byte, size)}
		_, _ = rnd.Read(e.Body) // no two alike: batches are compressed
		r, err := e.Record(topic, schemas.Raw)
		if err != nil {
			b.t.Fatal(err)
		}
		if size > 10<<10 {
			b.produce(r) // together they would be more than a batch may hold
			continue
		}
		b.client.Produce(b.t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				b.t.Error(err)
			}
		})
	}
	if err := b.client.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// trickle writes an event every 100 ms and checks that each is delivered at once.
func (b *bed) trickle(topic, path string, n, size int) {
	b.t.Helper()
	written := map[string]time.Time{}
	for i := range n {
		id := fmt.Sprintf("trickle-%d", i)
		written[id] = time.Now()
		b.flood(topic, id, 1, size)
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second)
	late := 0
	for id, at := range written {
		got := b.sink.of(path, id+"-0")
		if len(got) != 1 || got[0].at.Sub(at) > 200*time.Millisecond {
			late++
		}
	}
	if late > 0 {
		b.t.Errorf("%d of %d events of a healthy subscriber came late or not at all", late, n)
	}
}

// Subscribers that hang, each alone on its topic, wait there without being parked.
// What they hold of the memory must leave enough for everybody else.
func TestHangingSubscribersLeaveMemoryToOtherTopics(t *testing.T) {
	answer := func(a arrival) int {
		if a.path != "fast" {
			time.Sleep(14 * time.Second)
		}
		return 200
	}
	inBubble(t, answer, nil, func(t *testing.T, b *bed) {
		catalog := b.onTopics("hangs-1", "hangs-2", "hangs-3", "fast")
		b.tune = func(o *Options) {
			catalog(o)
			o.OpenBytes = 1 << 20
		}
		stop := b.start()
		for i := range 3 {
			b.flood(fmt.Sprintf("webhooks.hangs-%d", i+1), "flood", 600, 1024)
		}
		time.Sleep(time.Second)
		b.trickle("webhooks.fast", "fast", 100, 1024)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Large bodies under way to a subscriber that hangs must not use up what the
// partition may hold open.
func TestAHangingSubscriberOfLargeBodiesDelaysNobodyOnItsTopic(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "hangs" {
			time.Sleep(14 * time.Second)
		}
		return 200
	}
	inBubble(t, answer, []string{"hangs", "fast"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.OpenBytes, o.QueueBytes = 8<<20, 512<<10 }
		stop := b.start()
		time.Sleep(time.Second)
		b.trickle(testTopic, "fast", 100, 150<<10)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A body that is larger than a subscription's share of everything still goes out.
func TestABodyLargerThanItsShareIsDelivered(t *testing.T) {
	inBubble(t, always(200), []string{"a", "b"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.OpenBytes, o.QueueBytes = 64<<10, 16<<10 }
		stop := b.start()
		b.flood(testTopic, "large", 20, 80<<10)
		time.Sleep(5 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.arrivals); n != 40 {
			t.Errorf("%d arrivals, want 40", n)
		}
	})
}
