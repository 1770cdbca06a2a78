package egress

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/egress/watermark"
	"causeway/pkg/cursor"
	"causeway/pkg/health"
	"causeway/pkg/kafka/kafkatest"
	"causeway/schemas"
)

// commitOurs commits as an egress of this cluster would have, before any runs.
func (b *bed) commitOurs(group, topic string, id int32, offset int64) {
	b.t.Helper()
	admin := kadm.NewClient(b.client)
	meta, err := admin.BrokerMetadata(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: id, At: offset, LeaderEpoch: 0, Metadata: cursor.Metadata{Cluster: meta.Cluster, Record: time.Now()}.String()})
	if err := admin.CommitAllOffsets(b.t.Context(), group, offsets); err != nil {
		b.t.Fatal(err)
	}
}

// A broker lost the end of a log: the commit lies beyond what is left, and new
// events come in at offsets below it. Going on at the commit would lose them.
func TestACommitBeyondTheEndStartsAtTheOldest(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.publish(schemas.Event{ID: "evt-0"}, schemas.Event{ID: "evt-1"})
		b.commitOurs("causeway.egress", testTopic, 0, 5)
		stop := b.start()
		time.Sleep(5 * time.Second)
		for i := range 6 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i+2)})
		}
		time.Sleep(5 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if n := len(b.sink.of("a", fmt.Sprintf("evt-%d", i))); n != 1 {
				t.Errorf("evt-%d: %d arrivals, want 1", i, n)
			}
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 8 {
			t.Errorf("committed %d, want 8", at)
		}
		if n, err := testutil.GatherAndCount(b.reg, "causeway_egress_rewinds_total"); err != nil || n != 1 {
			t.Errorf("%d metrics tell of it (%v)", n, err)
		}
	})
}

func TestACommitBelowTheStartGoesOnThereAndCounts(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		for i := range 6 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		b.commitOurs("causeway.egress", testTopic, 0, 1)
		var trim kadm.Offsets
		trim.Add(kadm.Offset{Topic: testTopic, Partition: 0, At: 4})
		if _, err := kadm.NewClient(b.client).DeleteRecords(t.Context(), trim); err != nil {
			t.Fatal(err)
		}
		stop := b.start()
		time.Sleep(5 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.arrivals); n != 2 {
			t.Errorf("%d arrivals, want the 2 that are left", n)
		}
		if got := b.metric("causeway_egress_lost_records_total"); got != 3 {
			t.Errorf("%v records counted as lost, want 3", got)
		}
	})
}

// One delay partition whose leader does not answer must not keep the others from
// starting.
func TestADelayPartitionThatCannotBeLookedUpKeepsNobodyWaiting(t *testing.T) {
	for name, err := range map[string]*kerr.Error{
		"with an error that passes":   kerr.LeaderNotAvailable,
		"with an error that does not": kerr.KafkaStorageError,
		"with a refusal":              kerr.TopicAuthorizationFailed,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
				b.produce(b.parkedRecord("evt-0", 1, "causeway.delay.1s"))
				b.produce(b.parkedRecord("evt-0", 1, "causeway.delay.5s"))
				stop := b.start()
				time.Sleep(10 * time.Second)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "causeway.delay.5s", Err: err, Count: -1})
				stop = b.start()
				b.produce(b.parkedRecord("evt-1", 2, "causeway.delay.1s"))
				b.produce(b.parkedRecord("evt-2", 2, "causeway.delay.5s"))
				time.Sleep(time.Minute)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"evt-1", "evt-2"} {
					if n := len(b.sink.of("a", id)); n != 1 {
						t.Errorf("%s: %d arrivals, want 1", id, n)
					}
				}
			})
		})
	}
}

// A crash in the middle of delivering again must not leave the old commit standing:
// the log may have grown past it by then, and what is below would be passed over.
func TestACommitBeyondTheEndIsReplacedAtOnce(t *testing.T) {
	slow := func(a arrival) int {
		if a.id != "evt-0" {
			time.Sleep(10 * time.Second)
		}
		return 200
	}
	inBubble(t, slow, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.publish(schemas.Event{ID: "evt-0"}, schemas.Event{ID: "evt-1"})
		b.commitOurs("causeway.egress", testTopic, 0, 5)
		stop := b.start()
		time.Sleep(2 * time.Second)
		if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
			t.Errorf("committed %d, want 1", at)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A broker loses the end of a log under a consumer: it goes on where the new records
// begin, also when what was there before is still being delivered.
func TestALogThatGoesBackIsReadFromThere(t *testing.T) {
	m := idleMember(t)
	m.met = newMetrics(nil, func() (int, int) { return 0, 0 }, func() int { return 0 })
	p := m.own("t", 0)
	p.adopt(10)
	old := p.push(&kgo.Record{Offset: 10}, 1, 7, time.Now())
	p.complete(p.push(&kgo.Record{Offset: 11}, 1, 7, time.Now()))
	p.committed(markedPartition{Mark: watermark.Mark{Offset: 10}})
	m.dataLoss(&kgo.ErrDataLoss{Topic: "t", Partition: 0, ConsumedTo: 12, ResetTo: 12})
	if p.push(&kgo.Record{Offset: 11}, 0, 0, time.Now()) != nil {
		t.Error("a record that is tracked was taken again although nothing was lost")
	}
	m.dataLoss(&kgo.ErrDataLoss{Topic: "t", Partition: 0, ConsumedTo: 12, ResetTo: 8})
	if p.earlier(8) {
		t.Error("a new record counts as settled by an earlier owner")
	}
	fresh := p.push(&kgo.Record{Offset: 8}, 1, 7, time.Now())
	if fresh == nil {
		t.Fatal("a new record at an offset that was passed is refused")
	}
	if freed, moved := p.complete(old); freed != 7 || moved {
		t.Errorf("an entry of before freed %d bytes, want 7, and moved the mark: %t", freed, moved)
	}
	if _, moved := p.complete(fresh); !moved {
		t.Error("the new record moves nothing")
	}
	if mark, ok := p.mark(); !ok || mark.Offset != 9 {
		t.Errorf("mark %v %t, want 9", mark, ok)
	}
	p.committed(markedPartition{Mark: watermark.Mark{Offset: 12}}) // was under way all the time
	if mark, ok := p.mark(); !ok || mark.Offset != 9 {
		t.Errorf("after a commit of before: mark %v %t, want 9", mark, ok)
	}
	if freed := p.kill(); freed != 0 {
		t.Errorf("%d bytes are left, want 0", freed)
	}
}

// Commits name topics by id. A broker that does not know a topic yet must not leave
// it without one for good.
func TestATopicThatIsNotKnownYetIsLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bubble := kafkatest.NewBubble(t)
		o := bubble.Options()
		client, err := kgo.NewClient(o.Base("test")...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		m := &member{client: client, topicIDs: map[string]kadm.TopicID{}, denied: noneDenied()}
		if err := m.describe(t.Context(), []string{"late"}); err != nil {
			t.Fatal(err)
		}
		if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "late"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := m.describe(t.Context(), []string{"late"}); err != nil {
			t.Fatal(err)
		}
		if m.topicIDs["late"] == (kadm.TopicID{}) {
			t.Error("the topic has no id after it was created")
		}
	})
}

// An error while offsets are fetched ends in another try, not in a partition that
// stands still.
func TestOffsetsThatCannotBeFetchedAreFetchedAgain(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"because the coordinator moved":  {Err: kerr.NotCoordinator, TopLevel: true, Count: 3},
		"because the coordinator loads":  {Err: kerr.CoordinatorLoadInProgress, TopLevel: true, Count: 3},
		"because a transaction is open":  {Err: kerr.UnstableOffsetCommit, Topic: testTopic, Count: 3},
		"for a reason that nobody knows": {Err: kerr.UnknownServerError, TopLevel: true, Count: 3},
		"because the topic is not there": {Err: kerr.UnknownTopicID, Topic: testTopic, Count: 2},
		"because the group is not ours":  {Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: 2},
		// The client goes on without a partition that was answered like this.
		"because an ACL was not there yet":          {Err: kerr.TopicAuthorizationFailed, Topic: testTopic, Count: 1},
		"because the topic's id is not known":       {Err: kerr.UnknownTopicID, Topic: testTopic, Count: 5},
		"because the topic is not known, twice":     {Err: kerr.UnknownTopicOrPartition, Topic: testTopic, Count: 2},
		"for a reason that nobody knows of a topic": {Err: kerr.UnknownServerError, Topic: testTopic, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				b.tune = func(o *Options) {
					o.Logger, o.Kafka.Logger = nil, nil
					o.extra = quickSessions()
				}
				fault.Keys, fault.Group = []kmsg.Key{kmsg.OffsetFetch}, "causeway.egress"
				h := b.bubble.Cluster().Fault(fault)
				stop := b.start()
				b.publish(schemas.Event{ID: "evt-0"})
				time.Sleep(time.Minute)
				if h.Hits() < fault.Count {
					t.Errorf("%d answers were faults, want %d: the test shows nothing", h.Hits(), fault.Count)
				}
				if n := len(b.sink.of("a", "evt-0")); n != 1 {
					t.Errorf("%d arrivals, want 1", n)
				}
				if ready, failing := b.health.Ready(); !ready || len(failing) > 0 {
					t.Errorf("ready %t, failing %v: the partition is read again", ready, failing)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// While nobody knows where the group stands in a topic, that is to be seen, and what
// comes of other topics goes on.
func TestAPartitionThatIsNotTakenUpIsSaid(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "causeway.egress", Topic: testTopic, Err: kerr.UnknownServerError, Count: -1})
		stop := b.start()
		time.Sleep(5 * time.Minute)
		_, failing := b.health.Ready()
		if !slices.ContainsFunc(failing, func(f health.Failing) bool { return f.Code == "egress_assigned" }) {
			t.Errorf("failing %v, want egress_assigned among them", failing)
		}
		b.produce(b.parkedRecord("evt-1", 2, "causeway.delay.1s"))
		time.Sleep(10 * time.Second)
		if n := len(b.sink.of("a", "evt-1")); n != 1 {
			t.Errorf("%d arrivals of what was parked, want 1", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A broker that hangs leads one partition that has no commit: the others of the same
// assignment begin after one look-up's time.
func TestABrokerThatHangsHoldsUpOneLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idleMember(t)
		client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		m.client = client
		m.own("t", 0)
		began := time.Now()
		m.foundAll(t.Context(), map[topicPartition]int64{{"t", 0}: logStart})
		if took := time.Since(began); took > listWait {
			t.Errorf("the others wait %s, want at most %s", took, listWait)
		}
	})
}

// parkedRecord is a delay record that is due already. Those of one hop are twins.
func (b *bed) parkedRecord(id string, hop int, topic string) *kgo.Record {
	d := b.parked(id, hop, time.Now())
	return d.DelayRecord(topic)
}

// metric is the value of a counter or gauge without labels.
func (b *bed) metric(name string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	b.t.Errorf("no metric %s", name)
	return 0
}
