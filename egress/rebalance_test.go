package egress

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// load writes events to a topic of many partitions until it is stopped, and keeps
// the ledger of what Kafka acknowledged.
type load struct {
	b     *bed
	topic string
	stop  context.CancelFunc
	done  chan struct{}

	mu    sync.Mutex
	acked []string
}

func (b *bed) load(topic string, every time.Duration) *load {
	ctx, cancel := context.WithCancel(b.t.Context())
	l := &load{b: b, topic: topic, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for i := 0; ctx.Err() == nil; i++ {
			e := schemas.Event{ID: fmt.Sprintf("evt-%d", i), Source: "shop", Received: time.Now(), Body: []byte("x")}
			r, err := e.Record(topic, schemas.Raw)
			if err != nil {
				b.t.Error(err)
				return
			}
			b.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					b.t.Error(err)
					return
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				l.acked = append(l.acked, e.ID)
			})
			time.Sleep(every)
		}
	}()
	return l
}

// ledger ends the load and gives what was acknowledged.
func (l *load) ledger() []string {
	l.stop()
	<-l.done
	if err := l.b.client.Flush(l.b.t.Context()); err != nil {
		l.b.t.Error(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// joined compares the ledger with what arrived: what never did, and how many copies
// came of what the subscriber had answered with a 2xx.
func (b *bed) joined(ledger []string, path string, ok func(arrival) bool) (missing, copies int) {
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	good := map[string]int{}
	for _, a := range b.sink.arrivals {
		if a.path == path && ok(a) {
			good[a.id]++
		}
	}
	for _, id := range ledger {
		if good[id] == 0 {
			missing++
		} else {
			copies += good[id] - 1
		}
	}
	return missing, copies
}

// partitions makes a topic of so many partitions and lets the subscriptions read it.
func (b *bed) partitions(topic string, n int32) func(*Options) {
	b.t.Helper()
	if _, err := kadm.NewClient(b.client).CreateTopic(b.t.Context(), n, 1, nil, topic); err != nil {
		b.t.Fatal(err)
	}
	for _, sub := range b.subs {
		sub.Topics = []string{topic}
	}
	snapshot := catalog.NewSnapshot(0, []*catalog.Source{{Name: "shop", Topic: topic}}, b.subs)
	return func(o *Options) {
		o.Catalog = func() *catalog.Snapshot { return snapshot }
		o.Logger, o.Kafka.Logger = nil, nil
		// Members that idle between events cost more wall time than the events.
		o.extra = append(quickSessions(), kgo.FetchMaxWait(500*time.Millisecond))
	}
}

// flaky fails every fifth event once, and takes its time for some.
func flaky(a arrival) int {
	last := a.id[len(a.id)-1]
	if last == '3' || last == '7' {
		time.Sleep(3 * time.Second)
	}
	if (last == '0' || last == '5') && a.attempt == 1 {
		return 500
	}
	return 200
}

func settledBy(a arrival) bool {
	last := a.id[len(a.id)-1]
	return last != '0' && last != '5' || a.attempt > 1
}

// From one member to three and back, in good order: nothing is lost, nothing comes
// twice, no commit ever goes back.
func TestOneToThreeToOneMembersUnderLoad(t *testing.T) {
	inBubble(t, flaky, []string{"a", "b"}, func(t *testing.T, b *bed) {
		b.tune = b.partitions("webhooks.load", 12)
		watchedEvents, watchedDelays := b.watchCommits("causeway.egress"), b.watchCommits("causeway.delay")
		l := b.load("webhooks.load", 50*time.Millisecond)
		var stops []func() error
		for range 3 {
			stops = append(stops, b.start())
			time.Sleep(5 * time.Second)
		}
		for _, stop := range stops[:2] { // the first ones, so that everything moves
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		ledger := l.ledger()
		time.Sleep(30 * time.Second)
		if err := stops[2](); err != nil {
			t.Fatal(err)
		}
		watchedEvents()
		watchedDelays()
		for _, path := range []string{"a", "b"} {
			missing, copies := b.joined(ledger, path, settledBy)
			if missing > 0 || copies > 0 {
				t.Errorf("%s: %d of %d events are missing, %d copies came", path, missing, len(ledger), copies)
			}
		}
	})
}

// The same, and members freeze: their connections hang, the group goes on without
// them, and they come back with all that they had in hand.
func TestFrozenMembersUnderLoad(t *testing.T) {
	inBubble(t, flaky, []string{"a", "b"}, func(t *testing.T, b *bed) {
		tune := b.partitions("webhooks.load", 12)
		var wires []*wire
		b.tune = func(o *Options) {
			tune(o)
			wires = append(wires, b.through(o))
		}
		watchedEvents, watchedDelays := b.watchCommits("causeway.egress"), b.watchCommits("causeway.delay")
		l := b.load("webhooks.load", 50*time.Millisecond)
		var stops []func() error
		for range 3 {
			stops = append(stops, b.start())
			time.Sleep(3 * time.Second)
		}
		for _, w := range wires {
			w.sever()
			time.Sleep(20 * time.Second) // the session ends after 10
			w.mend()
			time.Sleep(10 * time.Second)
		}
		ledger := l.ledger()
		time.Sleep(time.Minute)
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		watchedEvents()
		watchedDelays()
		for _, path := range []string{"a", "b"} {
			missing, copies := b.joined(ledger, path, settledBy)
			if missing > 0 {
				t.Errorf("%s: %d of %d events are missing", path, missing, len(ledger))
			}
			// Each of the three had in hand what it had fetched and not committed.
			if copies > len(ledger)/10 {
				t.Errorf("%s: %d copies of %d events, after three members were frozen", path, copies, len(ledger))
			}
			t.Logf("%s: %d events, %d copies after three members were frozen", path, len(ledger), copies)
		}
	})
}
