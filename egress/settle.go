package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/schemas"
)

// settler is the only place that parks, dead-letters and completes. Every method
// takes a task whose partition's begin was called, and calls end when the record
// that settles it is acknowledged.
type settler struct {
	client *kgo.Client
	alone  *kgo.Client // its batches hold one record each
	e      *Egress

	stopping chan struct{}
	// blocked is how many calls wait because the client's buffer is full: Kafka takes
	// no writes, or not as fast.
	blocked atomic.Int64
	// promised is the step of each client's promises, which it makes one by one.
	promised [2]*step

	mu      sync.Mutex
	stopped bool           // no write is made again any more
	repeats sync.WaitGroup // writes that are made again

	waiting unacknowledged
}

func newSettler(e *Egress) (*settler, error) {
	o := e.o.Kafka
	client, err := kgo.NewClient(o.SettleProducer()...)
	if err != nil {
		return nil, fmt.Errorf("make the producer of delay and DLQ records: %w", err)
	}
	o.Registerer = nil // its metrics would have the same names
	alone, err := kgo.NewClient(append(o.SettleProducer(), kgo.MaxBufferedRecords(1), kgo.ProducerLinger(0))...)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("make the producer of single records: %w", err)
	}
	return &settler{
		client: client, alone: alone, e: e, stopping: make(chan struct{}),
		promised: [2]*step{e.dog.add("what follows a write", watchLimit), e.dog.add("what follows a single write", watchLimit)},
	}, nil
}

func (s *settler) close() {
	s.client.Close()
	s.alone.Close()
}

// parkSteps are the waits of deliveries that are parked without an attempt: the
// n-th time in a row takes the n-th, and the last one from then on. Only a tenant's
// rate says by itself when it is worth coming back.
var parkSteps = [...]string{"5s", "30s", "5m", "30m"}

// park parks the task without an attempt.
func (e *Egress) park(t *task, why parkedReason) {
	if t.partition.begin(t.entry.Offset()) {
		e.settle.parkBegun(t, why)
	}
}

func (s *settler) parkBegun(t *task, why parkedReason) {
	if why == parkedRate { // known to the second, so it need not try
		plan := delay.UpTo(s.e.dispatch.turn(t.subscription.Owner))
		t.delivery.Waits++
		s.carryOn(t, plan[0], time.Now().Add(plan[0].Wait), plan[1:], why)
		return
	}
	step := parkSteps[min(t.delivery.Waits, len(parkSteps)-1)]
	if why == parkedBehind {
		step = parkSteps[0] // the catalog comes within seconds, however long it waited before
	}
	tier, _ := delay.Find(step)
	t.delivery.Waits++
	s.carryOn(t, tier, time.Now().Add(tier.Wait), nil, why)
}

// carryOn writes the delivery to a tier, where it is due then and has the rest of
// the tiers still ahead.
func (s *settler) carryOn(t *task, tier delay.Tier, due time.Time, rest []delay.Tier, why parkedReason) {
	d := &t.delivery
	t.processing.note("parked", t, string(why))
	d.Hop++
	d.Due = due
	d.Hops = nil
	for _, next := range rest {
		d.Hops = append(d.Hops, next.Name)
	}
	s.produce(&write{task: t, record: d.DelayRecord(tier.Topic(s.e.o.Kafka.Prefix)), acknowledged: func() { s.e.met.parked[why].Inc() }})
}

// bury writes the delivery to the DLQ.
func (s *settler) bury(t *task, reason schemas.Reason) {
	d := &t.delivery
	t.processing.note("dead-lettered", t, string(reason))
	d.Reason, d.Hops = reason, nil
	s.produce(&write{task: t, record: d.DLQRecord(s.e.o.Kafka.Prefix + "dlq"), acknowledged: func() {
		s.e.met.dead[reason].Inc()
		s.e.log.Warn("delivery dead-lettered", zap.String("reason", string(reason)), zap.String("origin", d.Origin.String()),
			zap.String(keySubscription, t.name()), zap.Stringer("uid", d.Subscription), zap.Int("attempt", d.Attempt), zap.String("error", d.Error))
	}})
}

// write is one record that settles a task.
type write struct {
	task         *task
	record       *kgo.Record
	acknowledged func()
	alone        bool // in a batch of its own
}

// anew is the same write with a record that no client has had in its hands.
func (w *write) anew() *write {
	r := w.record
	fresh := *w
	fresh.record = &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
	return &fresh
}

// produce writes the record and, once it is acknowledged, completes the task. A
// write that fails leaves the entry open, which stops the watermark, and is made
// again: going on without it would lose the delivery. The context is never a
// request's: kgo fails every record of a batch with the first one's.
func (s *settler) produce(w *write) {
	client, promised := s.client, s.promised[0]
	if w.alone {
		client, promised = s.alone, s.promised[1]
	}
	s.waiting.add(w.task, w.record.Topic)
	s.blocked.Add(1)
	defer s.blocked.Add(-1)
	client.Produce(context.Background(), w.record, func(_ *kgo.Record, err error) {
		promised.begin()
		defer promised.rest()
		if err != nil {
			s.again(w, err)
			return
		}
		s.e.denied.Note("WRITE", w.record.Topic, nil)
		w.acknowledged()
		w.task.acknowledged = true
		s.e.settled(w.task)
		s.done(w.task)
	})
}

// done lets a task go whose record is acknowledged, or is of no use any more.
func (s *settler) done(t *task) {
	s.waiting.remove(t)
	t.partition.end()
	if t.reborn != nil {
		t.reborn.done(t.acknowledged)
	}
}

// again makes a failed write again, and lets its task go when that is no use: in a
// stop, and when the partition has gone, whose next owner makes the delivery and its
// writes anew. A promise must not produce by itself: with a full buffer it would
// wait for itself.
func (s *settler) again(w *write, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || !w.task.partition.owned() {
		s.done(w.task)
		return
	}
	s.repeats.Go(func() { s.failed(w, err) })
}

func (s *settler) failed(w *write, err error) {
	if errors.Is(err, kerr.MessageTooLarge) && s.smaller(w) {
		return
	}
	s.e.met.settleErrors.Inc()
	if s.e.denied.Note("WRITE", w.record.Topic, err) {
		s.client.ForceMetadataRefresh() // the client looks again for itself only after a while
		s.alone.ForceMetadataRefresh()
	} else {
		s.e.log.Error("write to Kafka, trying again", zap.String("topic", w.record.Topic), zap.Error(err))
	}
	pause := time.NewTimer(time.Second)
	defer pause.Stop()
	select {
	case <-s.stopping:
		s.done(w.task)
	case <-pause.C:
		if !w.task.partition.owned() {
			s.done(w.task)
			return
		}
		s.produce(w.anew())
	}
}

// smaller makes what was too large smaller step by step, until there is nothing
// left to leave out. A topic whose limit is below our batches refuses the whole of
// one, so the first step is the record by itself. A letter without the value or the
// headers still says where the event stands.
func (s *settler) smaller(w *write) bool {
	t, r := w.task, w.record
	switch {
	case !w.alone:
		single := w.anew()
		single.alone = true
		s.produce(single)
	case r.Topic != s.e.o.Kafka.Prefix+"dlq":
		t.delivery.Error = fmt.Sprintf("%s does not take a record of %d bytes", r.Topic, recordSize(r))
		s.bury(t, schemas.ReasonTooLarge)
	case r.Value != nil:
		t.delivery.Value = nil
		s.bury(t, schemas.ReasonTooLarge)
	case len(t.delivery.Headers) > 0:
		t.delivery.Headers = nil
		s.bury(t, schemas.ReasonTooLarge)
	default:
		return false
	}
	return true
}

// stop waits until what was written is acknowledged, or ctx ends.
func (s *settler) stop(ctx context.Context) error {
	err := errors.Join(s.client.Flush(ctx), s.alone.Flush(ctx))
	s.mu.Lock()
	s.stopped = true
	close(s.stopping)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("flush delay and DLQ records, what they settle comes again: %w", err)
	}
	return within(ctx, "repeated writes", s.repeats.Wait)
}
