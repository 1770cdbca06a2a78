package egress

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/schemas"
)

// kick lets the group of events forget its members: kgo loses all partitions and
// joins again.
func (b *bed) kick(group string) {
	b.t.Helper()
	h := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Err: kerr.UnknownMemberID})
	if err := h.Wait(b.t.Context(), 1); err != nil {
		b.t.Fatal(err)
	}
}

func TestAnAttemptThatEndsAfterItsPartitionWasLostWritesNothing(t *testing.T) {
	answer := func(a arrival) int {
		if a.attempt == 1 {
			time.Sleep(10 * time.Second)
		}
		return 500
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			o.extra = quickSessions()
		}
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(2 * time.Second)
		b.kick("causeway.egress")
		time.Sleep(12 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.read("causeway.delay.5s")); n != 1 {
			t.Errorf("%d delay records, want the one of the partition's owner", n)
		}
		if n := len(b.sink.of("a", "evt-1")); n < 2 {
			t.Errorf("%d arrivals, want the one that was cut off and its repetition", n)
		}
	})
}

func TestAWriteThatFailsIsNotMadeAgainForALostPartition(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			o.extra = quickSessions()
		}
		refuse := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "causeway.delay.5s", Err: kerr.TopicAuthorizationFailed, Count: -1})
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(3 * time.Second)
		if at := b.committed("causeway.egress", testTopic, 0); at > 0 {
			t.Fatalf("committed %d although the delivery's next record is not written", at)
		}
		b.kick("causeway.egress")
		time.Sleep(5 * time.Second)
		refuse.Remove()
		time.Sleep(3 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.read("causeway.delay.5s")); n != 1 {
			t.Errorf("%d delay records, want the one of the partition's owner", n)
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
			t.Errorf("committed %d, want 1", at)
		}
	})
}

// Everything that fails while the broker is away for a minute is written when it
// is back, and nothing comes early.
func TestABrokerThatIsAwayForAMinuteLosesNothing(t *testing.T) {
	answer := func(a arrival) int {
		if a.attempt == 1 {
			time.Sleep(3 * time.Second) // the broker goes meanwhile
			return 500
		}
		return 200
	}
	for name, opts := range map[string][]kgo.Opt{
		"with room for all writes":   nil,
		"with a buffer that is full": {kgo.MaxBufferedRecords(5)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
				var w *wire
				b.tune = func(o *Options) {
					o.Logger, o.Kafka.Logger = nil, nil
					w = b.through(o)
					o.Kafka.Extra = append(o.Kafka.Extra, opts...)
				}
				stop := b.start()
				for i := range 50 {
					b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
				}
				time.Sleep(time.Second)
				w.sever()
				time.Sleep(time.Minute)
				w.mend()
				time.Sleep(2 * time.Minute)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				for i := range 50 {
					got := b.sink.of("a", fmt.Sprintf("evt-%d", i))
					if len(got) != 2 {
						t.Fatalf("evt-%d: %d arrivals, want 2", i, len(got))
					}
					if gap := got[1].at.Sub(got[0].at); gap < 8*time.Second {
						t.Errorf("evt-%d: came back %v after it came first, want the 3s of the attempt and 5s at least", i, gap)
					}
				}
				if at := b.committed("causeway.egress", testTopic, 0); at != 50 {
					t.Errorf("committed %d, want 50", at)
				}
			})
		})
	}
}
