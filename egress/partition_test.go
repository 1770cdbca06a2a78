package egress

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/watermark"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
)

// idleMember is a member without a group: its client never reaches anything.
func idleMember(t *testing.T) *member {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
		return nil, context.Canceled
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &member{
		group: "g", client: client, log: zap.NewNop(), revoke: 20 * time.Second,
		budget: newBudget(1 << 20), forget: func([]*partition) {}, dog: &watchdog{}, handle: func(context.Context, *partition, held) {},
		denied:     noneDenied(),
		version:    func() int64 { return 0 },
		untaken:    newWaits(health.NewSet(nil).Declare(health.Condition{Code: "assigned"})),
		again:      map[string]takenAgain{},
		partitions: map[topicPartition]*partition{}, dirty: make(chan struct{}, 1), committing: make(chan struct{}, 1),
	}
}

func noneDenied() *kafka.Denied {
	return kafka.NewDenied(health.NewSet(nil).Declare(health.Condition{Code: "topics"}), zap.NewNop())
}

func (m *member) own(topic string, id int32) *partition {
	p := newPartition(m, topic, id)
	m.partitions[topicPartition{topic, id}] = p
	return p
}

func TestARevokeStopsAllItsPartitionsBeforeItWaitsForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idleMember(t)
		p0, p1 := m.own("t", 0), m.own("t", 1)
		p0.begin(0)
		p1.begin(0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.revoked(t.Context(), map[string][]int32{"t": {0, 1}})
		}()
		synctest.Wait()
		for _, p := range []*partition{p0, p1} {
			if p.begin(1) {
				t.Errorf("partition %d: an attempt began during the revoke", p.id)
			}
		}
		p0.end()
		p1.end()
		time.Sleep(closingTime) // nothing of them was settled
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("the revoke waits although nothing is under way")
		}
		time.Sleep(m.revoke)
	})
}

// A stop drains all partitions while a revoke waits for some of them.
func TestAPartitionThatIsDrainedTwiceWakesBothWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idleMember(t)
		p := m.own("t", 0)
		e := p.push(&kgo.Record{Topic: "t"}, 1, 0, time.Now())
		p.begin(0)
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.revoked(t.Context(), map[string][]int32{"t": {0}})
		}()
		halted := make(chan struct{})
		go func() {
			defer close(halted)
			m.halt()
		}()
		synctest.Wait()
		p.complete(e)
		p.end()
		<-done
		<-halted
		if took := time.Since(began); took > 0 {
			t.Errorf("the revoke took %v more after the last attempt had ended", took)
		}
		p.drain() // once more, with nobody waiting
	})
}

// A rebalance may assign partitions in the middle of a stop, and a drain may come
// at any line of a start: nothing runs on after halt.
func TestNothingRunsAfterAHalt(t *testing.T) {
	for range 100 {
		m := idleMember(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for id := range int32(4) {
			p := m.own("t", id)
			wg.Go(func() { m.begin(ctx, p) })
		}
		halted := make(chan struct{})
		go func() {
			defer close(halted)
			m.halt()
			m.begin(ctx, m.partitions[topicPartition{"t", 0}])
			m.runs.Wait()
		}()
		select {
		case <-halted:
		case <-time.After(10 * time.Second):
			t.Fatal("a partition still runs after halt")
		}
		wg.Wait()
		m.runs.Wait()
		cancel()
	}
}

func TestBytesOfAPartitionGoBackOnce(t *testing.T) {
	for range 200 {
		m := idleMember(t)
		p := m.own("t", 0)
		var entries []*watermark.Entry
		for i := range int64(64) {
			n, err := m.budget.take(t.Context(), p, 10)
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, p.push(&kgo.Record{Offset: i}, 1, n, time.Now()))
		}
		var wg sync.WaitGroup
		for _, e := range entries {
			wg.Go(func() {
				n, _ := p.complete(e)
				m.budget.give(p, n)
			})
		}
		wg.Go(func() { m.lost(map[string][]int32{"t": {0}}) })
		wg.Wait()
		m.lost(map[string][]int32{"t": {0}})
		if m.budget.used != 0 || len(m.budget.held) != 0 {
			t.Fatalf("%d bytes of %d partitions did not come back", m.budget.used, len(m.budget.held))
		}
		if p.push(&kgo.Record{Offset: 64}, 1, 10, time.Now()) != nil {
			t.Fatal("a dead partition took a record")
		}
	}
}

// A poll that found the backlog full may be overtaken by the goroutine that
// empties it, and by a new generation of the partition.
func TestAPauseNeverOutlivesItsReason(t *testing.T) {
	m := idleMember(t)
	records := make([]*kgo.Record, backlogRecords)
	for i := range records {
		records[i] = &kgo.Record{Topic: "t", Offset: int64(i)}
	}
	p := m.own("t", 0)
	ctx, cancel := context.WithCancel(t.Context())
	handled := make(chan struct{}, backlogRecords)
	m.handle = func(context.Context, *partition, held) { handled <- struct{}{} }
	m.begin(ctx, p)
	for i := range 2000 {
		m.hand(p, records, time.Now())
		for range records {
			<-handled
		}
		if paused := m.client.PauseFetchPartitions(nil); len(paused) > 0 {
			t.Fatalf("round %d: nothing is left to handle and fetching is paused", i)
		}
	}
	cancel()
	m.runs.Wait()

	m.hand(p, records, time.Now())
	next := newPartition(m, "t", 0)
	m.partitions[topicPartition{"t", 0}] = next
	m.client.ResumeFetchPartitions(map[string][]int32{"t": {0}})
	m.flow(p)
	if paused := m.client.PauseFetchPartitions(nil); len(paused) > 0 {
		t.Error("a generation that is over paused the next one")
	}
}

// In a delay partition something always waits: what has gone must leave no room behind.
func TestABacklogThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	var b backlog
	b.push(held{record: &kgo.Record{}})
	for i := range int64(100_000) {
		b.push(held{record: &kgo.Record{Offset: i + 1}})
		if got := b.records[b.head].record.Offset; got != i {
			t.Fatalf("offset %d at the head, want %d", got, i)
		}
		b.pop()
	}
	if n := cap(b.records); n > 8*backlogRecords {
		t.Errorf("%d places for %d records", n, b.len())
	}
}

// The broker loses the end of a log whose records wait here: what is written there
// afterwards must not be taken for what is tracked, and what is below stays open.
func TestALogThatGoesBackIntoTheBacklog(t *testing.T) {
	m := idleMember(t)
	m.met = newMetrics(nil, func() (int, int) { return 0, 0 }, func() int { return 0 })
	p := m.own("t", 0)
	p.adopt(10)
	records := func(from, to int64, key string) (list []*kgo.Record) {
		for at := from; at < to; at++ {
			list = append(list, &kgo.Record{Topic: "t", Offset: at, Key: []byte(key)})
		}
		return list
	}
	m.hand(p, records(10, 20, "old"), time.Now())
	m.dataLoss(&kgo.ErrDataLoss{Topic: "t", Partition: 0, ConsumedTo: 20, ResetTo: 15})
	m.hand(p, records(15, 20, "new"), time.Now())
	taken := map[string]int{}
	var first *watermark.Entry
	for p.backlog.len() > 0 {
		h, _ := p.next(t.Context(), nil)
		e := p.push(h.record, 1, 0, time.Now())
		if e == nil {
			continue
		}
		if taken[string(h.record.Key)]++; first == nil {
			first = e
		} else {
			p.complete(e)
		}
	}
	if taken["new"] != 5 || taken["old"] != 10 {
		t.Errorf("%d new and %d old records were taken, want 5 and 10", taken["new"], taken["old"])
	}
	if mark, ok := p.mark(); ok {
		t.Errorf("mark %d although 10 is open", mark.Offset)
	}
	p.complete(first)
	if mark, _ := p.mark(); mark.Offset != 20 {
		t.Errorf("mark %d, want 20", mark.Offset)
	}
}
