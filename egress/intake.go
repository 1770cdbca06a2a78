package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/egress/match"
	"causeway/egress/watermark"
	"causeway/pkg/seen"
	"causeway/schemas"
)

// fanOut turns an event into a delivery for each subscription that wants it.
func (e *Egress) fanOut(ctx context.Context, p *partition, h held) {
	r := h.record
	if p.earlier(r.Offset) {
		return
	}
	if r.Value == nil { // a tombstone: nothing to deliver, and no fault
		e.met.tombstones.Inc()
		e.pass(p, r)
		return
	}
	now := p.sees // to the letter: the next version is taken up between two records
	if now.snapshot.ForeignTopic(r.Topic) != nil && len(now.topic(r.Topic).subscribed) == 0 {
		e.pass(p, r) // read so that its offsets stay, not for what is in it
		return
	}
	event, own, err := e.read(ctx, p, r)
	if err != nil {
		if !errors.Is(err, schemas.ErrUnresolved) { // else the partition has gone while it waited
			e.unreadable(ctx, p, r, schemas.NewDelivery(own, e.cluster, noSubscription, now.snapshot.Version), err)
		}
		return
	}
	subs := now.index.Match(match.Key{Topic: r.Topic, Source: event.Source, Tenant: event.Tenant, Type: event.Type})
	subs = p.wanting(subs, r.Offset)
	if len(subs) == 0 {
		e.pass(p, r)
		return
	}
	size := heldSize(own, event)
	entry := e.open(ctx, p, r, size, len(subs))
	if entry == nil {
		return
	}
	processing := e.process(p, r, event, len(subs))
	for _, sub := range subs {
		e.enqueue(ctx, &task{
			delivery: schemas.NewDelivery(own, e.cluster, sub.UID, now.snapshot.Version),
			event:    event, subscription: sub, entry: entry, partition: p, processing: processing, size: size,
		})
	}
}

// comeBack takes a delivery that has come to its due time on to the next tier of
// its wait, or into the queue of its subscription.
func (e *Egress) comeBack(ctx context.Context, p *partition, h held) {
	r, d := h.record, h.delivery
	copied := d != nil && p.seen.Earlier(twin(d), r.Offset, r.Timestamp)
	if evicted := p.seen.Evicted(); evicted > p.evicted {
		e.met.twinsForgotten.Add(float64(evicted - p.evicted))
		p.evicted = evicted
	}
	if copied && !p.earlier(r.Offset) {
		// Somebody died between carrying the delivery on and committing that, and
		// carried it on once more: this is the second chain, the first one counts.
		e.met.duplicates.Inc()
		e.pass(p, r)
		return
	}
	if p.earlier(r.Offset) {
		return
	}
	if d == nil {
		e.unreadable(ctx, p, r, schemas.NewDelivery(r, e.cluster, noSubscription, e.snapshot().Version), h.err)
		return
	}
	event, err := e.readParked(ctx, p, r)
	unknown := errors.Is(err, schemas.ErrUnresolved) // for now: then the delivery goes on without its event
	var ahead []delay.Tier
	if err == nil || unknown {
		ahead, err = tiersOf(d.Hops)
	}
	if err != nil {
		e.unreadable(ctx, p, r, *d, err)
		return
	}
	size := heldSize(r, event)
	entry := e.open(ctx, p, r, size, 1)
	if entry == nil {
		return
	}
	t := &task{delivery: *d, event: event, entry: entry, partition: p, processing: e.process(p, r, event, 1), size: size}
	if tier, due, rest, ok := delay.Next(d.Due, time.Now(), ahead); ok {
		if p.begin(r.Offset) {
			e.settle.carryOn(t, tier, due, rest, parkedHop)
		}
		return
	}
	now := e.snapshot()
	t.subscription = now.Subscription(d.Subscription)
	behind := d.Version > now.Version
	if behind && e.anotherCatalogs(d, r.Timestamp, now) {
		if behind = false; t.subscription != nil {
			t.delivery.Version, t.delivery.Waits = now.Version, 0 // it is this catalog's from here on
		}
	}
	switch {
	case behind, t.subscription == nil && now.Newer != nil: // it may be what cannot be read here
		e.park(t, parkedBehind)
	case t.subscription == nil && d.Version == 0 && d.Waits < unknownWaits:
		e.park(t, parkedUnknown)
	case t.subscription == nil:
		e.buryDeleted(t)
	case unknown:
		e.park(t, parkedSchema)
	default:
		e.enqueue(ctx, t)
	}
}

// buryDeleted ends a delivery whose subscription is gone, which a catalog that is not
// older than the delivery says for sure.
func (e *Egress) buryDeleted(t *task) {
	if t.partition.begin(t.entry.Offset()) {
		e.settle.bury(t, schemas.ReasonSubscriptionDeleted)
	}
}

// unknownWaits is how many times a delivery of the process file's subscriptions is
// parked because it is not known here, before that counts as deleted. While processes
// are restarted one by one with a new file, those that have not been yet do not know
// what the others deliver already: it comes back after 5 s, 30 s and 5 min.
const unknownWaits = 3

// twin is what two delay records have in common when one of them is the trace of
// a crash: origin, subscription, run, hop. The event itself is among it because a
// topic that is made again, or a log that lost its end, gives the same origins to
// other events, whose keys may be equal: a customer's, or none.
func twin(d *schemas.Delivery) seen.Fingerprint {
	return seen.Of([]byte(d.Cluster), []byte(d.Origin.String()), d.Subscription[:], []byte(d.Run), strconv.AppendInt(nil, int64(d.Hop), 10),
		d.Key, d.Value, header(d.Headers, schemas.HeaderReceived))
}

// header is the value of the first header of that name, nil without one.
func header(headers []kgo.RecordHeader, name string) []byte {
	i := slices.IndexFunc(headers, func(h kgo.RecordHeader) bool { return h.Key == name })
	if i < 0 {
		return nil
	}
	return headers[i].Value
}

// tiersOf looks planned tiers up. One that this release does not have was planned
// by a later one: without it the delivery would come early.
func tiersOf(names []string) ([]delay.Tier, error) {
	var tiers []delay.Tier
	for _, name := range names {
		t, ok := delay.Find(name)
		if !ok {
			return nil, fmt.Errorf("%w: no delay tier %q here", schemas.ErrNewerSchema, name)
		}
		tiers = append(tiers, t)
	}
	return tiers, nil
}

// pass tracks a record that needs no settlement.
func (e *Egress) pass(p *partition, r *kgo.Record) {
	if entry := p.push(r, 0, 0, time.Now()); entry != nil {
		e.complete(p, entry)
	}
}

// open tracks a record whose deliveries are to be settled, when the memory budget
// has room for it; nil when the partition has ended meanwhile or the record is
// tracked already.
func (e *Egress) open(ctx context.Context, p *partition, r *kgo.Record, size int64, pending int) *watermark.Entry {
	p.step.rest() // others hold the memory, whose own steps are watched
	bytes, err := e.budget.take(ctx, p, size)
	p.step.begin()
	if err != nil {
		return nil
	}
	p.handing.Store(true)
	entry := p.push(r, pending, bytes, time.Now())
	if entry == nil {
		e.budget.give(p, bytes)
	}
	return entry
}

// settled completes a task.
func (e *Egress) settled(t *task) {
	if t.reborn != nil {
		return // of a birth, which has no entry
	}
	e.complete(t.partition, t.entry)
	t.processing.settled()
}

// complete counts one settlement of an entry.
func (e *Egress) complete(p *partition, entry *watermark.Entry) {
	freed, moved := p.complete(entry)
	e.budget.give(p, freed)
	if moved {
		p.member.touch()
	}
}

// crowdLook is how often a partition that waits for one queue looks whether that
// lets another one run low.
const crowdLook = 5 * time.Millisecond

// enqueue queues the task. When the queue is full the partition waits as long as
// that holds nobody else up: nobody else is live on it, or all who are have plenty
// of work waiting. Otherwise the task is parked.
func (e *Egress) enqueue(ctx context.Context, t *task) {
	for ctx.Err() == nil {
		if !e.renew(t) {
			e.buryDeleted(t)
			return
		}
		if why := e.rests(t.subscription); why != "" {
			e.park(t, why)
			return
		}
		if e.dispatch.offer(t) {
			return
		}
		if e.starves(t.partition, t.subscription) {
			e.park(t, e.dispatch.crowded(t.subscription.UID))
			return
		}
		t.partition.step.rest()
		look := time.NewTimer(crowdLook)
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-e.dispatch.room(t.subscription.UID):
		}
		look.Stop()
		t.partition.step.begin()
	}
}

// unreadable ends a record that no release can read, and holds the partition at
// one that a later release wrote.
func (e *Egress) unreadable(ctx context.Context, p *partition, r *kgo.Record, d schemas.Delivery, err error) {
	if errors.Is(err, schemas.ErrNewerSchema) {
		e.holdAt(ctx, p, r, err)
		return
	}
	e.log.Warn("unreadable record goes to the DLQ", zap.Error(err))
	entry := e.open(ctx, p, r, recordSize(r), 1)
	if entry == nil || !p.begin(r.Offset) {
		return
	}
	d.Error = err.Error()
	e.settle.bury(&task{delivery: d, entry: entry, partition: p}, schemas.ReasonPoison)
}

// holdAt holds the partition at a record of a newer release until the partition goes.
func (e *Egress) holdAt(ctx context.Context, p *partition, r *kgo.Record, err error) {
	e.served.Fail(fmt.Sprintf("%s/%d is held at offset %d: %v", p.topic, p.id, r.Offset, err))
	e.log.Error("partition held at a record of a newer release: update this process to go on", zap.Error(err))
	p.step.rest()
	<-ctx.Done()
}
