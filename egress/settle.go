package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	e      *Egress

	stopping chan struct{}

	mu      sync.Mutex
	stopped bool           // no write is made again any more
	repeats sync.WaitGroup // writes that are made again
}

func newSettler(client *kgo.Client, e *Egress) *settler {
	return &settler{client: client, e: e, stopping: make(chan struct{})}
}

// parkSteps are the waits of deliveries that are parked without an attempt: the
// n-th time in a row takes the n-th, and the last one from then on.
var parkSteps = [...]string{"5s", "30s", "5m", "30m"}

// park parks the task without an attempt.
func (e *Egress) park(t *task, why parkedReason) {
	if t.partition.begin() {
		e.settle.parkBegun(t, why)
	}
}

func (s *settler) parkBegun(t *task, why parkedReason) {
	tier, _ := delay.Find(parkSteps[min(t.delivery.Waits, len(parkSteps)-1)])
	t.delivery.Waits++
	s.carryOn(t, tier, time.Now().Add(tier.Wait), nil, why)
}

// carryOn writes the delivery to a tier, where it is due then and has the rest of
// the tiers still ahead.
func (s *settler) carryOn(t *task, tier delay.Tier, due time.Time, rest []delay.Tier, why parkedReason) {
	d := &t.delivery
	d.Hop++
	d.Due = due
	d.Hops = nil
	for _, next := range rest {
		d.Hops = append(d.Hops, next.Name)
	}
	s.write(t, d.DelayRecord(tier.Topic(s.e.o.Kafka.Prefix)), func() { s.e.met.parked[why].Inc() })
}

// bury writes the delivery to the DLQ.
func (s *settler) bury(t *task, reason schemas.Reason) {
	d := &t.delivery
	d.Reason, d.Hops = reason, nil
	s.write(t, d.DLQRecord(s.e.o.Kafka.Prefix+"dlq"), func() {
		s.e.met.dead[reason].Inc()
		s.e.log.Warn("delivery dead-lettered", zap.String("reason", string(reason)), zap.String("origin", d.Origin.String()),
			zap.String(keySubscription, d.Subscription.String()), zap.Int("attempt", d.Attempt), zap.String("error", d.Error))
	})
}

// write produces the record and, once it is acknowledged, completes the task. A
// write that fails leaves the entry open, which stops the watermark, and is made
// again: going on without it would lose the delivery. The context is never a
// request's: kgo fails every record of a batch with the first one's.
func (s *settler) write(t *task, r *kgo.Record, acknowledged func()) {
	s.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err == nil {
			acknowledged()
			s.e.complete(t.partition, t.entry)
			t.partition.end()
			return
		}
		s.again(t, func() { s.failed(t, r, acknowledged, err) })
	})
}

// again runs what makes the task's write again, and lets the task go when that is
// no use: in a stop, and when the partition has gone, whose next owner makes the
// delivery and its writes anew. A promise must not produce by itself: with a full
// buffer it would wait for itself.
func (s *settler) again(t *task, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || !t.partition.owned() {
		t.partition.end()
		return
	}
	s.repeats.Go(f)
}

func (s *settler) failed(t *task, r *kgo.Record, acknowledged func(), err error) {
	dlq := s.e.o.Kafka.Prefix + "dlq"
	switch {
	case errors.Is(err, kerr.MessageTooLarge) && r.Topic != dlq:
		t.delivery.Error = fmt.Sprintf("%s does not take a record of %d bytes", r.Topic, recordSize(r))
		s.bury(t, schemas.ReasonTooLarge)
		return
	case errors.Is(err, kerr.MessageTooLarge) && r.Value != nil:
		// Even the DLQ does not take it: a letter without the value still says
		// where the event stands.
		t.delivery.Value = nil
		s.bury(t, schemas.ReasonTooLarge)
		return
	}
	s.e.met.settleErrors.Inc()
	s.e.log.Error("write to Kafka, trying again", zap.String("topic", r.Topic), zap.Error(err))
	pause := time.NewTimer(time.Second)
	defer pause.Stop()
	select {
	case <-s.stopping:
		t.partition.end()
	case <-pause.C:
		if !t.partition.owned() {
			t.partition.end()
			return
		}
		s.write(t, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}, acknowledged)
	}
}

// stop waits until what was written is acknowledged, or ctx ends.
func (s *settler) stop(ctx context.Context) error {
	err := s.client.Flush(ctx)
	s.mu.Lock()
	s.stopped = true
	close(s.stopping)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("flush delay and DLQ records, what they settle comes again: %w", err)
	}
	return within(ctx, "repeated writes", s.repeats.Wait)
}
