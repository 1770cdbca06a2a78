package egress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"causeway/schemas"
)

// TestAStuckWorkerGivesItsPartitionsUp hurts one of the workers for good. The process
// says so, leaves its groups by itself and ends; the next one delivers what hung.
func TestAStuckWorkerGivesItsPartitionsUp(t *testing.T) {
	const id = "evt-stuck"
	for name, tc := range map[string]struct {
		hurt func(e *Egress, armed *atomic.Bool, hang <-chan struct{})
		want string
	}{
		"an attempt that never ends": {func(e *Egress, _ *atomic.Bool, hang <-chan struct{}) {
			attempt := e.dispatch.attempt
			e.dispatch.attempt = func(t *task) bool {
				if t.event.ID != id {
					return attempt(t)
				}
				t.partition.begin(t.entry.Offset())
				<-hang
				return true
			}
		}, "an attempt"},
		"a delivery that is dropped": {func(e *Egress, _ *atomic.Bool, _ <-chan struct{}) {
			attempt := e.dispatch.attempt
			e.dispatch.attempt = func(t *task) bool {
				return t.event.ID == id || attempt(t)
			}
		}, "webhooks.shop/0: offset 1 is not settled, and nobody is at it"},
		"a record that is looked at for ever": {func(e *Egress, armed *atomic.Bool, hang <-chan struct{}) {
			e.tracer = hangingTracer{noop.NewTracerProvider().Tracer(""), armed, hang}
		}, "a record of webhooks.shop/0"},
		"a queue that nobody serves": {func(e *Egress, _ *atomic.Bool, _ <-chan struct{}) {
			e.dispatch.inFlight = 0
		}, "deliveries are queued and no attempt begins"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				hang := make(chan struct{})
				b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
				var armed atomic.Bool
				b.hurt = func(e *Egress) { tc.hurt(e, &armed, hang) }
				stop := b.start()
				b.publish(schemas.Event{ID: "evt-0"})
				time.Sleep(time.Second)
				armed.Store(true)
				b.publish(schemas.Event{ID: id})
				time.Sleep(4 * time.Minute)
				b.wantCondition("egress_moving", tc.want)
				b.wantMembers(0)
				err := stop()
				if _, ok := errors.AsType[*stuckError](err); !ok || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("it ended with %v, want something of %q", err, tc.want)
				}
				b.hurt = func(*Egress) {}
				stop = b.start()
				time.Sleep(10 * time.Second)
				if n := len(b.sink.of("a", id)); n != 1 {
					t.Errorf("%d arrivals after the next process has taken over, want 1", n)
				}
				close(hang)
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// hangingTracer hangs once it is armed, in whoever begins a span.
type hangingTracer struct {
	trace.Tracer
	armed *atomic.Bool
	hang  <-chan struct{}
}

func (h hangingTracer) Start(ctx context.Context, name string, o ...trace.SpanStartOption) (context.Context, trace.Span) {
	if h.armed.CompareAndSwap(true, false) {
		<-h.hang
	}
	return h.Tracer.Start(ctx, name, o...)
}

// wantMembers looks how many are in the group of events.
func (b *bed) wantMembers(n int) {
	b.t.Helper()
	groups, err := kadm.NewClient(b.client).DescribeGroups(b.t.Context(), "causeway.egress")
	if err != nil {
		b.t.Fatal(err)
	}
	if got := len(groups["causeway.egress"].Members); got != n {
		b.t.Errorf("%d members are in the group, want %d", got, n)
	}
}

// TestWhatOnlyWaitsIsNotStuck: what somebody else takes time for lasts an hour, and
// the watchdog keeps quiet.
func TestWhatOnlyWaitsIsNotStuck(t *testing.T) {
	slow := func(arrival) int {
		time.Sleep(14 * time.Second)
		return 200
	}
	for name, tc := range map[string]struct {
		answer func(arrival) int
		tune   func(*Options)
		begin  func(*bed, *wire)
		end    func(*bed, *wire)
	}{
		"nothing to do": {always(200), func(*Options) {}, func(*bed, *wire) {}, func(*bed, *wire) {}},
		"a subscriber that hangs, with its queue full":  {slow, func(o *Options) { o.QueueBytes = 6000 }, smallAndLarge(5500), func(*bed, *wire) {}},
		"a subscriber that hangs, with the memory full": {slow, func(o *Options) { o.OpenBytes = 20_000 }, smallAndLarge(4500), func(*bed, *wire) {}},
		"Kafka is gone, with attempts to settle": {always(500), func(*Options) {}, func(b *bed, w *wire) {
			b.many(100)
			w.sever()
		}, func(_ *bed, w *wire) { w.mend() }},
		"Kafka is gone, with the buffer full": {always(500), func(o *Options) {
			o.Kafka.Extra = append(o.Kafka.Extra, kgo.MaxBufferedRecords(5))
		}, func(b *bed, w *wire) {
			b.many(100)
			w.sever()
		}, func(_ *bed, w *wire) { w.mend() }},
		"a delivery is parked for longer": {always(500), func(*Options) {}, func(b *bed, _ *wire) {
			b.produce(b.parkedRecord("evt-0", 1, "causeway.delay.2h"))
		}, func(*bed, *wire) {}},
		"a record of a newer release": {always(200), func(*Options) {}, func(b *bed, _ *wire) {
			b.produceNewer("evt-0")
			b.many(10)
		}, func(*bed, *wire) {}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tc.answer, []string{"a"}, func(t *testing.T, b *bed) {
				var w *wire
				b.tune = func(o *Options) {
					o.Logger, o.Kafka.Logger = nil, nil
					w = b.through(o)
					forDays(o)
					tc.tune(o)
				}
				stop := b.start()
				time.Sleep(time.Second)
				tc.begin(b, w)
				time.Sleep(time.Hour)
				_, failing := b.health.Ready()
				for _, f := range failing {
					if f.Code == "egress_moving" {
						t.Errorf("the watchdog takes a wait for a stand-still: %s", f.Text)
					}
				}
				tc.end(b, w)
				time.Sleep(10 * time.Minute)
				if _, stuck := errors.AsType[*stuckError](stop()); stuck {
					t.Error("it ended as stuck")
				}
			})
		})
	}
}

// smallAndLarge writes events whose attempts take minutes together, and one for which
// there is room when they are through.
func smallAndLarge(size int) func(*bed, *wire) {
	return func(b *bed, _ *wire) {
		b.subs[0].MaxConcurrency = 1
		b.many(10)
		b.publish(schemas.Event{ID: "evt-large", Body: make([]byte, size)})
		b.many(10)
	}
}

func (b *bed) many(n int) {
	b.t.Helper()
	for i := range n {
		b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
	}
}

// TestLooksAreCounted, not minutes: a process that was frozen has not been stuck.
func TestLooksAreCounted(t *testing.T) {
	seen, here := tally{}, map[standing]found{{new(int), 1}: {"a worker", 3}}
	for look := range 3 {
		if stuck := seen.count(here); stuck != nil {
			t.Errorf("stuck after look %d of 3", look+1)
		}
	}
	if stuck := seen.count(here); len(stuck) != 1 {
		t.Errorf("after one look more: %v", stuck)
	}
	if seen.count(nil); len(seen) > 0 {
		t.Errorf("what is gone is still counted: %v", seen)
	}
}
