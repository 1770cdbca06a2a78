package egress

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/egress/match"
	"causeway/pkg/cursor"
	"causeway/schemas"
)

// This is the one place that says how a subscription gets its first event while egress
// runs, and why it misses none. Until there are ranges (pkg/cursor), it is done so:
//
// Each partition of events goes by one version of the catalog at a time: the one that
// it has taken up. Which that is rides in its commits, so that offset and version are
// always of one moment: everything below the offset is settled for everybody whom the
// catalog had at that version. A newer version is taken up between two records, by the
// partition's own goroutine, and also when no record comes.
//
// To take a version up, the partition looks for births: subscriptions that it added
// (their Start says which version that was) and whose start lies below the next record.
// Process A has taken up version 10 and handed on offsets up to 499; version 11 adds a
// subscription that begins at 490: 490 to 499 went by without it. Those are read once
// more, matched for the births alone, and parked in the shortest delay topic, as
// deliveries that nobody has attempted yet. Once all of that is acknowledged the version
// is taken up, and a commit says so, also if no offset moved. What is read again is what
// was written between the making of the entry and this process's seeing it: mostly
// nothing, after a long stop a backlog. The partition waits for it meanwhile, which is
// simple and hurts its other subscriptions for that long; ranges will not.
//
// A crash on the way goes back to the commit, which has the older version with the older
// offset: the births are found again, by whoever is next, and read and parked again. The
// second copy of a parked delivery is dropped in the delay topic like any twin. What was
// handed on by the older version and is not committed is then handed on by the newer
// one, births included: copies, after a crash, and never a missing event. A rebalance in
// the middle is the same: the goroutine ends, the version is not taken up.
//
// Nobody hands on a record of a partition before his own catalog has come to the version
// in its commit: a process that is behind would leave out births that are not births
// any more. Nor by a catalog with an entry that a later release wrote in a form that he
// cannot read: he would leave out whoever that is about. So the version of a partition
// never goes down. One beyond the end of the catalog can only be of a catalog that is no
// more, whose versions say nothing about this one's: the partition is refused, as with a
// commit that somebody made by hand.
//
// Nothing below its start ever goes to a subscription. A subscription that pauses is no
// birth when it is resumed: its deliveries are made all the time, and wait in the delay
// topics (see rests).

// How long a partition waits for the catalog before the catalog is asked where it ends,
// and between two such questions.
const behindFor = 2 * time.Second

// takeUp lets the partition go by the newest catalog, and gives a channel that is closed
// when there is a newer one. False: the partition has ended or is refused.
func (e *Egress) takeUp(ctx context.Context, p *partition) (newer <-chan struct{}, ok bool) {
	for ctx.Err() == nil {
		x := e.current()
		if x.snapshot.Newer != nil {
			e.awaitReadable(ctx, p, x)
			continue
		}
		if owed := p.owes(); x.snapshot.Version < owed {
			if !e.awaitCatalog(ctx, p, x, owed) {
				return nil, false
			}
			continue
		}
		if p.sees == x {
			return x.newer, true
		}
		if !e.checkStarts(ctx, p, x) || !e.bear(ctx, p, x) {
			return nil, false
		}
		p.sees = x
		if p.tookUp(x.snapshot.Version) {
			p.member.touch()
		}
		return x.newer, true
	}
	return nil, false
}

// awaitReadable waits for another catalog than x, of which this release cannot read all.
func (e *Egress) awaitReadable(ctx context.Context, p *partition, x *indexed) {
	defer e.behind.clear(p)
	if e.behind.note(p, fmt.Errorf("%s/%d waits: %w", p.topic, p.id, x.snapshot.Newer)) {
		e.log.Error("partition waits, for nobody knows here who is to get its events", zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Error(x.snapshot.Newer))
	}
	select {
	case <-x.newer:
	case <-ctx.Done():
	}
}

// awaitCatalog waits for a newer catalog than x. False: there is no use in it.
func (e *Egress) awaitCatalog(ctx context.Context, p *partition, x *indexed, owed int64) bool {
	defer e.behind.clear(p)
	for {
		ask := time.NewTimer(behindFor)
		select {
		case <-x.newer:
		case <-ctx.Done():
		case <-ask.C:
		}
		ask.Stop()
		if e.current() != x || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		if end, known := e.catalogEnd(ctx); known && end < owed {
			p.member.refuseOne(p, fmt.Errorf("%w: it carries version %d and the catalog ends at %d; put the catalog's topic back, or stop egress and delete the group's offsets of this topic, which is then delivered from its oldest record",
				errCatalogAnew, owed, end))
			return false
		}
		e.behind.note(p, fmt.Errorf("%s/%d waits for version %d of the catalog, this process has read %d", p.topic, p.id, owed, x.snapshot.Version))
	}
}

var errCatalogAnew = errors.New("the commit was made with a catalog that is no more")

// births are the subscriptions that x adds to what the partition has taken up and whose
// start was passed by, with their starts; and the first offset that one of them needs.
func (x *indexed) births(p *partition, took, oldest, next int64, anew cursor.Anew) (starts map[uuid.UUID]int64, from int64) {
	view := x.topic(p.topic)
	for _, a := range view.additions {
		if a.version <= took {
			break // they stand newest first
		}
		start := max(firstOffset(view.start(a.subscription, p.topic), p.id, anew), oldest)
		if start >= next {
			continue
		}
		if starts == nil {
			starts, from = map[uuid.UUID]int64{}, start
		}
		starts[a.subscription.UID], from = start, min(from, start)
	}
	return starts, from
}

// birth is one reading again of a partition for those who came too late for it.
type birth struct {
	e      *Egress
	p      *partition
	x      *indexed
	starts map[uuid.UUID]int64
	// room holds a token for each record that is on its way to Kafka.
	room chan struct{}
	lost atomic.Bool // a record was given up: the partition has gone, or egress stops
}

// birthWrites bounds what one birth has on its way: it must not take all the room
// there is for writes.
const birthWrites = 1000

// bear parks what births need of what the partition has handed on already. False: it did
// not come to its end.
func (e *Egress) bear(ctx context.Context, p *partition, x *indexed) bool {
	took, oldest, next, anew := p.position()
	starts, from := x.births(p, took, oldest, next, anew)
	if len(starts) == 0 {
		return true
	}
	e.log.Info("reading again for new subscriptions what was delivered before they were seen here",
		zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int("subscriptions", len(starts)), zap.Int64("from", from), zap.Int64("to", next))
	b := &birth{e: e, p: p, x: x, starts: starts, room: make(chan struct{}, birthWrites)}
	if err := b.read(ctx, from, next); err != nil {
		if ctx.Err() == nil {
			e.log.Error("read again for new subscriptions: the partition waits until its next assignment", zap.Error(err))
			p.member.refuseOne(p, err)
		}
		return false
	}
	for range cap(b.room) { // then every token is ours, and nothing on its way
		select {
		case b.room <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	return !b.lost.Load()
}

// read reads the partition from one offset to another, as the group does, with a client
// of its own. It keeps control records, for they tell as well that the end was passed,
// where the last record before it was compacted away.
func (b *birth) read(ctx context.Context, from, next int64) error {
	o := b.e.o.Kafka
	o.Registerer = nil // there may be several at once, whose metrics would have the same names
	client, err := kgo.NewClient(append(
		o.Base("birth"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.p.topic: {b.p.id: kgo.NewOffset().At(from)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(1<<20),
		kgo.FetchMaxPartitionBytes(1<<20),
		kgo.MaxConcurrentFetches(1),
		kgo.MaxDecompressBatchBytes(64<<20),
		// It writes nothing. kgo writes to the list of codecs that it is given, which
		// clients that are made at the same time must not share.
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)...)
	if err != nil {
		return fmt.Errorf("make a client to read %s/%d again: %w", b.p.topic, b.p.id, err)
	}
	defer client.Close()
	for at := from; at < next; {
		if at, err = b.poll(ctx, client, at, next); err != nil {
			return err
		}
	}
	return nil
}

// birthLook is how long nothing may come before it is looked whether anything is left.
const birthLook = time.Second

// poll takes what the client has from an offset on, and says where that ends.
func (b *birth) poll(ctx context.Context, client *kgo.Client, at, next int64) (int64, error) {
	m, p := b.p.member, b.p
	polling, cancel := context.WithTimeout(ctx, birthLook)
	fetches := client.PollFetches(polling)
	cancel()
	p.step.begin()
	defer p.step.rest()
	if ctx.Err() != nil {
		return at, ctx.Err()
	}
	fetches.EachError(func(topic string, id int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || m.denied.Note("READ", topic, err) {
			return
		}
		m.met.fetchErrors.Inc()
		m.log.Error("fetch for new subscriptions, trying on", zap.String("topic", topic), zap.Int32("partition", id), zap.Error(err))
	})
	var records []*kgo.Record
	start := int64(0)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		records = append(records, f.Records...)
		start = max(start, f.LogStartOffset)
	})
	if len(records) == 0 {
		key := topicPartition{p.topic, p.id}
		p.step.rest()
		start = m.listOffsets(ctx, map[topicPartition]int64{key: logStart})[key]
		if end, ok := m.listOffsets(ctx, map[topicPartition]int64{key: logEnd})[key]; ok && end <= at {
			at = next // all of it was deleted, or the log lost its end
		}
	}
	if start > at {
		m.missed(p, at, min(start, next))
		at = min(start, next)
	}
	for _, r := range records {
		if r.Offset >= next {
			return next, nil
		}
		if err := b.hand(ctx, r); err != nil {
			return at, err
		}
		at = max(at, r.Offset+1)
	}
	return at, nil
}

// hand parks a record for each birth that wants it.
func (b *birth) hand(ctx context.Context, r *kgo.Record) error {
	if r.Attrs.IsControl() || r.Value == nil {
		return nil
	}
	e, p := b.e, b.p
	event, own, err := e.read(ctx, p, r)
	switch {
	case errors.Is(err, schemas.ErrNewerSchema):
		e.holdAt(ctx, p, r, err)
		return ctx.Err()
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return nil // its dead letter was written when it was handed on first
	}
	subs := b.x.index.Match(match.Key{Topic: r.Topic, Source: event.Source, Tenant: event.Tenant, Type: event.Type})
	var wanting []uuid.UUID
	for _, sub := range subs {
		if start, born := b.starts[sub.UID]; born && r.Offset >= start {
			wanting = append(wanting, sub.UID)
		}
	}
	if len(wanting) == 0 {
		return nil
	}
	p.step.rest() // others hold the memory, or Kafka takes its time
	defer p.step.begin()
	bytes, err := e.budget.take(ctx, p, heldSize(own, event))
	if err != nil {
		return err
	}
	reborn := &reborn{birth: b, bytes: bytes}
	reborn.open.Store(int64(len(wanting)))
	shortest := delay.Tiers()[0]
	for i, uid := range wanting {
		if !b.begin(ctx) {
			reborn.close(len(wanting) - i)
			return context.Canceled
		}
		e.settle.carryOn(&task{
			delivery: schemas.NewDelivery(own, e.cluster, uid, b.x.snapshot.Version),
			event:    event, partition: p, reborn: reborn,
		}, shortest, time.Now().Add(shortest.Wait), nil, parkedBirth)
	}
	return nil
}

// begin announces one write, which a revoke then waits for.
func (b *birth) begin(ctx context.Context) bool {
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if !b.p.hold() {
		<-b.room
		return false
	}
	return true
}

// reborn is a record that is parked for births: it has no entry in the watermark, which
// passed it long ago.
type reborn struct {
	birth *birth
	bytes int64 // of the memory budget
	open  atomic.Int64
}

// done ends one write of the record.
func (r *reborn) done(acknowledged bool) {
	if !acknowledged {
		r.birth.lost.Store(true)
	}
	r.close(1)
	<-r.birth.room
}

// close gives the memory back when the last of so many writes has ended.
func (r *reborn) close(n int) {
	if r.open.Add(-int64(n)) == 0 {
		r.birth.e.budget.give(r.birth.p, r.bytes)
	}
}
