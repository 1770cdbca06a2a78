package egress

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/schemas"
)

func TestAStopEndsInTimeAlthoughTheBrokerHangs(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		opts   []kgo.Opt
	}{
		"with nothing to settle":          {200, nil},
		"with writes that nobody answers": {500, nil},
		"with a buffer that is full":      {500, []kgo.Opt{kgo.MaxBufferedRecords(5)}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(a arrival) int {
				time.Sleep(2 * time.Second)
				return tc.status
			}
			inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
				var w *wire
				b.tune = func(o *Options) {
					o.Logger, o.Kafka.Logger = nil, nil
					w = b.through(o)
					o.Kafka.Extra = append(o.Kafka.Extra, tc.opts...)
				}
				stop := b.start()
				for i := range 100 {
					b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
				}
				time.Sleep(time.Second)
				w.sever()
				time.Sleep(30 * time.Second)
				began := time.Now()
				_ = stop()
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("the stop took %v, want at most the shutdown timeout of 25s", took)
				}
				w.mend()
				time.Sleep(10 * time.Minute) // what was left behind ends too
			})
		})
	}
}

func TestAStopDuringARebalanceEndsInTimeAlthoughTheBrokerHangs(t *testing.T) {
	slow := func(arrival) int {
		time.Sleep(14 * time.Second)
		return 200
	}
	inBubble(t, slow, []string{"a"}, func(t *testing.T, b *bed) {
		var w *wire
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			w = b.through(o)
			o.extra = quickSessions()
		}
		first := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(time.Second)
		sever := w
		second := b.start() // takes some partitions away
		time.Sleep(4 * time.Second)
		sever.sever()
		time.Sleep(time.Second)
		began := time.Now()
		_ = first()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("the stop took %v, want at most the shutdown timeout of 25s", took)
		}
		_ = second()
		sever.mend()
		time.Sleep(10 * time.Minute)
	})
}

// One delay topic that cannot be written must not cost the others their commit and
// the group a session timeout.
func TestAStopLeavesTheGroupAlthoughADelayTopicIsDead(t *testing.T) {
	answer := func(a arrival) int {
		if a.id == "evt-bad" {
			return 500
		}
		time.Sleep(10 * time.Second)
		return 200
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger = nil }
		b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "causeway.delay.5s", Err: kerr.NotEnoughReplicas, Count: -1})
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"}, schemas.Event{ID: "evt-bad"})
		time.Sleep(2 * time.Second)
		began := time.Now()
		_ = stop()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
			t.Errorf("committed %d, want 1: what was delivered during the stop", at)
		}
		b.wantNoMembers("causeway.egress", "causeway.delay")
	})
}

// committed is a group's commit, -1 when there is none.
func (b *bed) committed(group, topic string, id int32) int64 {
	b.t.Helper()
	offsets, err := kadm.NewClient(b.client).FetchOffsets(b.t.Context(), group)
	if err != nil {
		b.t.Fatal(err)
	}
	o, ok := offsets.Lookup(topic, id)
	if !ok {
		return -1
	}
	return o.At
}

func (b *bed) wantNoMembers(groups ...string) {
	b.t.Helper()
	described, err := kadm.NewClient(b.client).DescribeGroups(b.t.Context(), groups...)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, g := range described {
		if len(g.Members) > 0 {
			b.t.Errorf("group %s still has %d members", g.Group, len(g.Members))
		}
	}
}

// A fast subscriber is always ahead of a slow one, and only what both have may be
// committed: what the slow one lacks is made up for before the partition goes.
func TestAGracefulStopDeliversNothingTwice(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "slow" {
			time.Sleep(100 * time.Millisecond)
		}
		return 200
	}
	inBubble(t, answer, []string{"fast", "slow"}, func(t *testing.T, b *bed) {
		b.subs[1].MaxConcurrency = 1
		stop := b.start()
		for i := range 20 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		counts := func() (fast, slow int) {
			for i := range 20 {
				fast += len(b.sink.of("fast", fmt.Sprintf("evt-%d", i)))
				slow += len(b.sink.of("slow", fmt.Sprintf("evt-%d", i)))
			}
			return fast, slow
		}
		fast, slow := counts()
		if fast == 0 || slow != fast {
			t.Errorf("%d to the fast one and %d to the slow one when it had stopped", fast, slow)
		}
		stop = b.start()
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if fast, slow := counts(); fast != 20 || slow != 20 {
			t.Errorf("%d to the fast one and %d to the slow one in the end, want 20 each", fast, slow)
		}
	})
}
