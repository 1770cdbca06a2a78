package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/schemas"
)

// read gives the event of a record, and the record as it is carried from here on:
// itself, but for one that causeway did not write. It waits as long as the record's
// schema cannot be looked up.
func (e *Egress) read(ctx context.Context, p *partition, r *kgo.Record) (event *schemas.Event, own *kgo.Record, err error) {
	if topic := e.snapshot().ForeignTopic(r.Topic); topic != nil {
		return e.foreign(ctx, p, r, topic)
	}
	err = e.resolve(ctx, p, r, func() (err error) {
		event, err = e.o.Decoder.FromRecord(ctx, r)
		return err
	})
	return event, r, err
}

// lookEvery is how often a record's schema is asked for again.
const lookEvery = time.Second

// resolve reads until the schema registry has answered. A record whose schema
// cannot be looked up now is not poison: its partition waits, and nobody else does.
func (e *Egress) resolve(ctx context.Context, p *partition, r *kgo.Record, read func() error) error {
	defer e.unresolved.clear(p)
	for {
		err := read()
		if !errors.Is(err, schemas.ErrUnresolved) || ctx.Err() != nil {
			return err
		}
		if e.unresolved.note(p, fmt.Errorf("%s/%d waits at offset %d: %w", p.topic, p.id, r.Offset, err)) {
			e.log.Error("partition waits for the schema of a record, trying on",
				zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int64("offset", r.Offset), zap.Error(err))
		}
		p.step.rest()
		waited(ctx, lookEvery)
		p.step.begin()
	}
}

// patience is how long a delivery that has come back may wait for its schema. Those
// behind it wait with it, so it is short.
const patience = 200 * time.Millisecond

// lookUpLimit is how long a look-up may go on for which nobody waits any more. Its
// answer is there for those that ask next, also the one that the registry does not
// know the schema, of which the look-up makes sure for some seconds.
const lookUpLimit = 30 * time.Second

// readParked gives the event of a delay record, without making the deliveries
// behind it wait for long: while one schema is looked up and that takes its time,
// those that need another fail at once, and come back later.
func (e *Egress) readParked(ctx context.Context, p *partition, r *kgo.Record) (*schemas.Event, error) {
	known, end := context.WithCancel(ctx)
	end()
	event, err := e.o.Decoder.FromRecord(known, r)
	if !errors.Is(err, schemas.ErrUnresolved) {
		return event, err
	}
	select {
	case e.lookingUp <- struct{}{}:
	default:
		return nil, err
	}
	type answer struct {
		event *schemas.Event
		err   error
	}
	answered := make(chan answer, 1)
	p.member.runs.Go(func() {
		defer func() { <-e.lookingUp }()
		ctx, cancel := context.WithTimeout(ctx, lookUpLimit)
		defer cancel()
		event, err := e.o.Decoder.FromRecord(ctx, r)
		answered <- answer{event, err}
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-answered:
		return a.event, a.err
	case <-timer.C:
		return nil, err
	case <-ctx.Done():
		return nil, err
	}
}

// waits is a condition that fails while some partition waits for something.
type waits struct {
	handle *health.Handle

	mu      sync.Mutex
	waiting map[any]string // who waits, and for what
}

func newWaits(handle *health.Handle) *waits { return &waits{handle: handle, waiting: map[any]string{}} }

// note says that somebody waits, and reports whether that is news.
func (w *waits) note(who any, why error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := why.Error()
	news := w.waiting[who] != text
	w.waiting[who] = text
	w.handle.Fail(text)
	return news
}

// clear says that somebody does not wait any more.
func (w *waits) clear(who any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waited := w.waiting[who]; !waited {
		return
	}
	delete(w.waiting, who)
	for _, text := range w.waiting {
		w.handle.Fail(text)
		return
	}
	w.handle.OK()
}

// beginAtEnd names the topics of which only what comes from now on is wanted.
func (e *Egress) beginAtEnd() map[string]bool {
	topics := map[string]bool{}
	for _, f := range e.snapshot().Foreign {
		topics[f.Topic] = f.Latest
	}
	return topics
}
