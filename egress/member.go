package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
)

// How far back, in record time and in number, a delay record's twin is looked for.
const (
	twinAge = 15 * time.Minute
	twinMax = 200_000
	// twinSkew is how far the clocks of two writers of a tier may differ.
	twinSkew = time.Minute
)

type topicPartition struct {
	topic string
	id    int32
}

// member is this process's membership in one consumer group: the client, and the
// partitions that it owns now.
type member struct {
	group    string
	instance string // of a static member; empty for others
	cluster  string
	tiers    map[string]delay.Tier // by topic; empty for the group of events
	atEnd    map[string]bool       // topics that begin at their end
	handle   func(context.Context, *partition, held)
	// takeUp, of the group of events, lets a partition go by the newest catalog before
	// its next record; see birth.go.
	takeUp   func(context.Context, *partition) (newer <-chan struct{}, ok bool)
	version  func() int64             // of the catalog that is known here
	declared func(topic string) int64 // by which version of the catalog; 0: always there
	forget   func([]*partition)       // drops what waits in queues
	budget   *budget
	revoke   time.Duration // how long a revoke waits for attempts
	pace     time.Duration // shortest time between two commits

	client  *kgo.Client
	ready   chan struct{} // closed when client is set: the group may be joined before NewClient returns
	log     *zap.Logger
	met     *metrics
	joined  *health.Handle
	served  *health.Handle
	untaken *waits
	losses  *losses
	denied  *kafka.Denied
	said    string // of the last failure of the session, as long as it lasts
	dog     *watchdog
	end     context.CancelCauseFunc // of Egress.Run

	mu         sync.Mutex
	topics     []string // all that it reads
	partitions map[topicPartition]*partition
	topicIDs   map[string]kadm.TopicID
	suspects   map[string]bool       // topics that are being looked at
	again      map[string]takenAgain // topics that had to be taken up again
	anew       map[string]int64      // topics that were made again, and the catalog's version then
	fetched    map[topicPartition]fetchedCommit
	known      known        // what the groups had committed before this process joined
	halted     bool         // no partition starts any more
	as         string       // the member that owns what was assigned, by its id
	id         atomic.Value // as, for who may not wait for mu

	committing chan struct{} // holds a token while a commit is under way: one at a time
	dirty      chan struct{}
	runs       sync.WaitGroup // of the partitions
}

// owner is the key under which a buffered record's context holds its partition.
type owner struct{}

// OnFetchRecordBuffered ties a record to the generation that owns its partition
// at the moment when the client buffers it (kgo.HookFetchRecordBuffered). Looking
// the partition up after polling would be too late: records buffered before a
// revoke could then be taken for those of the next assignment, which starts at an
// older offset, and that offset would be passed over.
func (m *member) OnFetchRecordBuffered(r *kgo.Record) {
	m.mu.Lock()
	p := m.partitions[topicPartition{r.Topic, r.Partition}]
	m.mu.Unlock()
	if p != nil {
		r.Context = p.tag
	}
}

// OnGroupManageError says loudly that the group could not be joined
// (kgo.HookGroupManageError).
func (m *member) OnGroupManageError(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	text := fmt.Sprintf("group %s: %v", m.group, err)
	if kafka.IsDenied(err) {
		text += ": an ACL has to allow READ on the group"
	}
	m.joined.Fail(text)
	if errors.Is(err, kerr.FencedInstanceID) {
		m.end(&fencedError{m.group, m.instance}) // it would never be let in again
		return
	}
	m.mu.Lock()
	again := text == m.said
	m.said = text
	m.mu.Unlock()
	if !again {
		m.log.Error("consumer group session ended, joining again", zap.String("group", m.group), zap.Error(err))
	}
}

// options are the client's: run is the context of the partitions' goroutines.
func (m *member) options(run context.Context, topics []string) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeTopics(topics...),
		kgo.WithHooks(m),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, assigned map[string][]int32) { m.assigned(cl, assigned) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, revoked map[string][]int32) { m.revoked(ctx, revoked) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { m.lost(lost) }),
		kgo.OnOffsetsFetched(m.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return m.adjust(ctx, run, offsets)
		}),
	}
}

// poll hands records over to their partitions until ctx ends. Nothing in it waits
// for anything but Kafka.
func (m *member) poll(ctx context.Context) {
	step := m.dog.add("the poll loop of group "+m.group, watchLimit)
	defer m.dog.remove(step)
	for {
		step.rest()
		fetches := m.client.PollRecords(ctx, 2000)
		step.begin()
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, id int32, err error) {
			if errors.Is(err, context.Canceled) {
				return
			}
			if lost, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
				m.dataLoss(lost)
			}
			if errors.Is(err, kerr.UnknownTopicID) {
				m.suspect(topic)
			}
			m.met.fetchErrors.Inc()
			if m.denied.Note("READ", topic, err) {
				return
			}
			m.log.Error("fetch", zap.String("topic", topic), zap.Int32("partition", id), zap.Error(err))
		})
		now := time.Now()
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			m.countMissed(f)
			if len(f.Records) > 0 {
				m.denied.Note("READ", f.Topic, nil)
			}
			m.deliver(f.Records, now)
		})
	}
}

// deliver gives each run of records to the generation they were buffered for.
func (m *member) deliver(records []*kgo.Record, now time.Time) {
	for len(records) > 0 {
		p, _ := ownerOf(records[0])
		n := 1
		for n < len(records) {
			if next, _ := ownerOf(records[n]); next != p {
				break
			}
			n++
		}
		if p != nil {
			m.hand(p, records[:n], now)
		}
		records = records[n:]
	}
}

func (m *member) hand(p *partition, records []*kgo.Record, now time.Time) {
	pause, skewed := p.accept(records, now)
	if pause {
		m.flow(p)
	}
	if skewed {
		m.met.skewed.Inc()
		m.log.Warn("a due time lies too far ahead for its tier: some process's clock is wrong; waiting the tier from now on",
			zap.String("topic", p.topic), zap.Int32("partition", p.id))
	}
}

// flow lets the client fetch the partition or not, as its backlog wants it now. The
// wish is read under the lock under which it is carried out: a pause that is
// overtaken by the resume after it, or by the next generation of the partition,
// would stand for ever.
func (m *member) flow(p *partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := topicPartition{p.topic, p.id}
	if m.partitions[key] != p {
		return
	}
	named := map[string][]int32{p.topic: {p.id}}
	if p.full() {
		m.client.PauseFetchPartitions(named)
	} else {
		m.client.ResumeFetchPartitions(named)
	}
}

func ownerOf(r *kgo.Record) (*partition, bool) {
	if r.Context == nil {
		return nil, false
	}
	p, ok := r.Context.Value(owner{}).(*partition)
	return p, ok
}

// assigned makes a new generation for each partition. It runs before kgo fetches
// their offsets, so that no record can be buffered before its owner is there.
func (m *member) assigned(cl *kgo.Client, assigned map[string][]int32) {
	<-m.ready
	m.mu.Lock()
	defer m.mu.Unlock()
	m.as, _ = cl.GroupMetadata()
	m.said = ""
	m.id.Store(m.as)
	var replaced []*partition // of a topic that was purged and taken up again before it was revoked
	for topic, ids := range assigned {
		for _, id := range ids {
			key := topicPartition{topic, id}
			if old := m.partitions[key]; old != nil {
				m.untaken.clear(old)
				m.budget.give(old, old.kill())
				replaced = append(replaced, old)
			}
			m.partitions[key] = newPartition(m, topic, id)
		}
	}
	if len(replaced) > 0 {
		m.forget(replaced)
	}
	// A pause outlives the assignment that it was made for.
	cl.ResumeFetchPartitions(assigned)
	m.joined.OK()
}

// revoked lets the partitions go: what is under way may end, its end is
// committed, nothing is parked, and the rest is the next owner's.
func (m *member) revoked(ctx context.Context, revoked map[string][]int32) {
	going := m.take(revoked)
	if len(going) == 0 {
		return
	}
	// All of them before waiting for any: one that is not drained yet would go on
	// starting attempts, which the deadline then finds under way.
	for _, p := range going {
		p.drain()
	}
	deadline := time.NewTimer(m.revoke)
	defer deadline.Stop()
wait:
	for _, p := range going {
		select {
		case <-p.quiet:
		case <-deadline.C:
			m.log.Warn("partitions revoked while attempts are still under way: they may come again elsewhere", zap.String("group", m.group))
			break wait
		}
	}
	if err := m.commitLast(context.WithoutCancel(ctx), going); err != nil {
		m.log.Warn("commit of revoked partitions: what they delivered since the last commit comes again", zap.String("group", m.group), zap.Error(err))
	}
	m.drop(going)
}

// lost forgets the partitions: somebody else may own them already, so there is
// nothing left to commit.
func (m *member) lost(lost map[string][]int32) { m.drop(m.take(lost)) }

func (m *member) take(named map[string][]int32) []*partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	var taken []*partition
	for topic, ids := range named {
		for _, id := range ids {
			if p := m.partitions[topicPartition{topic, id}]; p != nil {
				taken = append(taken, p)
			}
		}
	}
	return taken
}

func (m *member) drop(going []*partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range going {
		m.untaken.clear(p)
		m.budget.give(p, p.kill())
		if key := (topicPartition{p.topic, p.id}); m.partitions[key] == p {
			delete(m.partitions, key)
		}
	}
	m.forget(going)
}

// halt stops the handling of records and waits until nothing is handled any more
// and, for a while, until no gap is left below what has begun.
func (m *member) halt() {
	m.mu.Lock()
	m.halted = true
	m.mu.Unlock()
	all := m.all()
	for _, p := range all {
		p.drain()
	}
	m.runs.Wait()
	closing := time.NewTimer(closingTime)
	defer closing.Stop()
	for _, p := range all {
		select {
		case <-p.quiet:
		case <-closing.C:
			return // attempts that are under way are the dispatcher's to wait for
		}
	}
}

// leave commits what is settled and leaves the group. What is still open comes
// again to the next owner.
func (m *member) leave(ctx context.Context) error {
	err := m.commitLast(ctx, m.all())
	m.drop(m.all())
	if e := m.client.LeaveGroupContext(ctx); e != nil {
		err = errors.Join(err, fmt.Errorf("leave group %s: %w", m.group, e))
	}
	m.client.Close()
	return err
}

func (m *member) all() []*partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*partition, 0, len(m.partitions))
	for _, p := range m.partitions {
		all = append(all, p)
	}
	return all
}

// run handles the partition's records, one after the other, until it ends.
func (m *member) run(ctx context.Context, p *partition) {
	m.dog.watch(p.step)
	defer m.dog.remove(p.step)
	var newer <-chan struct{}
	for ctx.Err() == nil {
		p.step.rest()
		p.handing.Store(false)
		if m.takeUp != nil {
			var ok bool
			if newer, ok = m.takeUp(ctx, p); !ok {
				return
			}
		}
		h, resume := p.next(ctx, newer)
		p.step.begin()
		if h.record == nil {
			continue
		}
		if resume {
			m.flow(p)
		}
		m.handle(ctx, p, h)
		p.handedOn(h.record.Offset + 1)
	}
}
