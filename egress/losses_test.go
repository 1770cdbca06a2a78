package egress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/cursor"
	"causeway/schemas"
)

// A topic was deleted and made again, and its group still has the commit of the old
// one, as brokers before 4.2 can: it must not pass over events of the new one.
func TestACommitOfADeletedTopicPassesOverNothing(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		for i := range 6 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		admin := kadm.NewClient(b.client)
		meta, err := admin.BrokerMetadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var offsets kadm.Offsets
		old := cursor.Metadata{Cluster: meta.Cluster, Topic: [16]byte{7}, Record: time.Now()}
		offsets.Add(kadm.Offset{Topic: testTopic, At: 4, Metadata: old.String()})
		if err := admin.CommitAllOffsets(t.Context(), "causeway.egress", offsets); err != nil {
			t.Fatal(err)
		}
		stop := b.start()
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if n := len(b.sink.of("a", fmt.Sprintf("evt-%d", i))); n != 1 {
				t.Errorf("evt-%d: %d arrivals, want 1", i, n)
			}
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 6 {
			t.Errorf("committed %d, want 6", at)
		}
	})
}

// Retention deletes records faster than they are fetched: counted, shown, and it goes
// on behind them.
func TestRecordsDeletedUnderARunningEgress(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		var e *Egress
		stop := b.startAs(&e)
		b.publish(schemas.Event{ID: "first"})
		time.Sleep(5 * time.Second)
		p := func() *partition {
			return (*e.met.watched.Load())[0].partition(topicPartition{testTopic, 0})
		}()
		p.member.client.PauseFetchTopics(testTopic)
		time.Sleep(time.Second)
		for i := range 6 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		var trim kadm.Offsets
		trim.Add(kadm.Offset{Topic: testTopic, Partition: 0, At: 5})
		if _, err := kadm.NewClient(b.client).DeleteRecords(t.Context(), trim); err != nil {
			t.Fatal(err)
		}
		p.member.client.ResumeFetchTopics(testTopic)
		time.Sleep(time.Minute)
		if lost := testutil.ToFloat64(e.met.lostRecords); lost != 4 {
			t.Errorf("%v records lost, want 4", lost)
		}
		_, failing := b.health.Ready()
		if len(failing) != 1 || failing[0].Code != "egress_offsets" || !strings.Contains(failing[0].Text, "4 records were deleted") {
			t.Errorf("failing: %v", failing)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{0, 0, 0, 0, 1, 1} {
			if n := len(b.sink.of("a", fmt.Sprintf("evt-%d", i))); n != want {
				t.Errorf("evt-%d: %d arrivals, want %d", i, n, want)
			}
		}
	})
}

func TestWhatIsKnownOfAPartitionWithoutACommit(t *testing.T) {
	for name, tc := range map[string]struct {
		known    known
		id       int32
		declared int64
		want     bool
	}{
		"a first start":                             {known{}, 0, 0, false},
		"a new topic":                               {known{highest: map[string]int32{"other": 3}, other: true}, 0, 0, false},
		"one below another that has a commit":       {known{highest: map[string]int32{"t": 3}}, 2, 9, true},
		"one that was added":                        {known{highest: map[string]int32{"t": 3}}, 4, 0, false},
		"the group was deleted and the other lives": {known{other: true}, 0, 0, true},
		"the same, with a topic that was there":     {known{other: true, catalog: 9}, 0, 9, true},
		"the first topic that was ever declared":    {known{other: true, catalog: 9}, 0, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.known.had(topicPartition{"t", tc.id}, tc.declared); got != tc.want {
				t.Errorf("had = %v, want %v", got, tc.want)
			}
		})
	}
}

// What was deleted before it was fetched is counted once, and nothing else is.
func TestMissed(t *testing.T) {
	records := func(offsets ...int64) (rs []*kgo.Record) {
		for _, o := range offsets {
			rs = append(rs, &kgo.Record{Offset: o})
		}
		return rs
	}
	p := newPartition(&member{}, "t", 0)
	for i, step := range []struct {
		start   int64
		records []*kgo.Record
		want    int64
	}{
		{50, records(50, 51), 0}, // nothing was expected before
		{52, records(52), 0},     // settled ones are deleted
		{52, records(60), 0},     // a gap of transaction markers
		{70, records(70), 9},
		{70, records(71), 0},
		{90, nil, 18},
		{90, records(90), 0},
	} {
		if got := p.missed(step.start, step.records); got != step.want {
			t.Errorf("step %d: %d missed, want %d", i, got, step.want)
		}
	}
}

// Two events have the same place in a topic that was made again, and the same key, a
// customer's: the second one's retry is no twin of the first one's.
func TestARetryIsNoTwinOfWhatHadItsPlace(t *testing.T) {
	failOnce := func(a arrival) int {
		if a.attempt == 1 {
			return 500
		}
		return 200
	}
	inBubble(t, failOnce, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		publish := func(id string) {
			e := schemas.Event{ID: id, Source: "shop", Body: []byte("x"), Received: time.Now()}
			r, err := e.Record(testTopic, schemas.Raw)
			if err != nil {
				t.Fatal(err)
			}
			r.Key = []byte("customer-1")
			b.produce(r)
		}
		var e *Egress
		stop := b.startAs(&e)
		publish("evt-old")
		time.Sleep(20 * time.Second)
		if err := b.bubble.Cluster().DeleteTopic(testTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		b.makeTopic(testTopic, 1)
		b.client.PurgeTopicsFromProducing(testTopic)
		e.Recreated(testTopic)
		time.Sleep(10 * time.Second)
		publish("evt-new")
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, id := range []string{"evt-old", "evt-new"} {
			if n := len(b.sink.of("a", id)); n != 2 {
				t.Errorf("%s: %d arrivals, want 2: each was refused once", id, n)
			}
		}
	})
}
