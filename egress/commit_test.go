package egress

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/cursor"
	"causeway/schemas"
)

// membership is what a group's member last said of itself.
type membership struct {
	mu         sync.Mutex
	id         string
	generation int32
}

func (b *bed) membershipOf(group string) *membership {
	m := &membership{}
	b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: group, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
		hb := req.(*kmsg.HeartbeatRequest)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.id, m.generation = hb.MemberID, hb.Generation
		return true
	}})
	return m
}

// commitAs commits as the member would that owned the partition meanwhile.
func (b *bed) commitAs(m *membership, group, topic string, id int32, offset int64) {
	b.t.Helper()
	details, err := kadm.NewClient(b.client).ListTopics(b.t.Context(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	meta, err := kadm.NewClient(b.client).BrokerMetadata(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	text := cursor.Metadata{Cluster: meta.Cluster}.String()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	m.mu.Lock()
	req.MemberID, req.Generation = m.id, m.generation
	m.mu.Unlock()
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, details[topic].ID
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.Metadata = id, offset, &text
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(b.t.Context(), b.client)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		b.t.Fatal(err)
	}
}

// watchCommits looks at a group's commit of each partition again and again, and
// fails the test when one goes back.
func (b *bed) watchCommits(group string) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		admin := kadm.NewClient(b.client)
		highest := map[topicPartition]int64{}
		for ctx.Err() == nil {
			offsets, err := admin.FetchOffsets(ctx, group)
			if err == nil {
				offsets.Each(func(o kadm.OffsetResponse) {
					key := topicPartition{o.Topic, o.Partition}
					if o.At < highest[key] {
						b.t.Errorf("the commit of %s/%d went back from %d to %d", o.Topic, o.Partition, highest[key], o.At)
					}
					highest[key] = o.At
				})
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// A process is frozen while its group rebalances, is thrown out, and joins again
// as a new member without ever hearing that it lost anything: kgo answers
// UNKNOWN_MEMBER_ID in a join by joining anew, and keeps its partitions. Somebody
// else owned them meanwhile, and committed.
func TestAMemberThatWasThrownOutInARebalanceCommitsNothingOld(t *testing.T) {
	answer := func(a arrival) int {
		if a.id == "evt-0" || a.id == "evt-1" {
			time.Sleep(5 * time.Second)
		} else {
			time.Sleep(14 * time.Second)
		}
		return 200
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			o.extra = quickSessions()
		}
		member := b.membershipOf("causeway.egress")
		stop := b.start()
		for _, id := range []string{"evt-0", "evt-1", "evt-2", "evt-3", "evt-4"} {
			b.publish(schemas.Event{ID: id})
		}
		time.Sleep(2 * time.Second)
		b.bubble.Cluster().Fault(
			kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "causeway.egress", Err: kerr.RebalanceInProgress},
			kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "causeway.egress", Err: kerr.UnknownMemberID},
		)
		time.Sleep(time.Second)
		b.commitAs(member, "causeway.egress", testTopic, 0, 4)
		watched := b.watchCommits("causeway.egress")
		time.Sleep(30 * time.Second)
		if at := b.committed("causeway.egress", testTopic, 0); at != 5 {
			t.Errorf("committed %d, want 5", at)
		}
		b.publish(schemas.Event{ID: "evt-5"})
		time.Sleep(30 * time.Second)
		watched()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-5")); n != 1 {
			t.Errorf("%d arrivals of the event after it, want 1", n)
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 6 {
			t.Errorf("committed %d in the end, want 6", at)
		}
	})
}

func TestAMemberThatWasThrownOutBeforeItsFirstCommitStillCommits(t *testing.T) {
	answer := func(arrival) int {
		time.Sleep(14 * time.Second)
		return 200
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			o.extra = quickSessions()
		}
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-0"})
		time.Sleep(2 * time.Second)
		b.bubble.Cluster().Fault(
			kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "causeway.egress", Err: kerr.RebalanceInProgress},
			kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "causeway.egress", Err: kerr.UnknownMemberID},
		)
		time.Sleep(time.Minute)
		if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
			t.Errorf("committed %d, want 1", at)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-0")); n != 1 {
			t.Errorf("%d arrivals, want 1", n)
		}
	})
}

// A process stops while its group rebalances: for a moment the coordinator takes no
// commits, or those of a generation only that the process has not heard of yet. What it
// has delivered by then does not come again.
func TestTheLastCommitWaitsForTheRebalance(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.RebalanceInProgress, kerr.IllegalGeneration} {
		t.Run(answer.Message, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				stop := b.start()
				time.Sleep(time.Second)
				refused := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "causeway.egress", Err: answer, Count: 5})
				b.publish(schemas.Event{ID: "evt-0"})
				for len(b.sink.of("a", "evt-0")) == 0 {
					time.Sleep(time.Millisecond)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if refused.Hits() < 5 {
					t.Errorf("%d commits were refused, want 5: the test shows nothing", refused.Hits())
				}
				if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
					t.Errorf("committed %d, want 1", at)
				}
			})
		})
	}
}

// Whatever the coordinator answers to a commit, it is made again or dropped with
// its generation, and what was delivered is committed in the end, once.
func TestACommitThatIsRefusedIsMadeAgain(t *testing.T) {
	for name, err := range map[string]*kerr.Error{
		"while the group rebalances":              kerr.RebalanceInProgress,
		"with a generation that is over":          kerr.IllegalGeneration,
		"from a member that is not known":         kerr.UnknownMemberID,
		"by a coordinator that loads":             kerr.CoordinatorLoadInProgress,
		"by a coordinator that moved":             kerr.NotCoordinator,
		"with an outcome that nobody knows":       kerr.RequestTimedOut,
		"for a reason that the broker won't name": kerr.UnknownServerError,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				b.tune = func(o *Options) {
					o.Logger, o.Kafka.Logger = nil, nil
					o.extra = quickSessions()
				}
				stop := b.start()
				time.Sleep(time.Second)
				refused := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "causeway.egress", Err: err, Count: 3})
				watched := b.watchCommits("causeway.egress")
				b.publish(schemas.Event{ID: "evt-0"}, schemas.Event{ID: "evt-1"})
				time.Sleep(time.Minute)
				watched()
				if refused.Hits() < 3 {
					t.Errorf("%d commits were refused, want 3: the test shows nothing", refused.Hits())
				}
				if at := b.committed("causeway.egress", testTopic, 0); at != 2 {
					t.Errorf("committed %d, want 2", at)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if n := len(b.sink.arrivals); n != 2 {
					t.Errorf("%d arrivals, want 2", n)
				}
			})
		})
	}
}
