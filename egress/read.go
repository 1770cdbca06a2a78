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
		pause := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		p.step.begin()
	}
}

// readParked gives the event of a delay record, without making the deliveries
// behind it wait for long.
func (e *Egress) readParked(ctx context.Context, r *kgo.Record) (*schemas.Event, error) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return e.o.Decoder.FromRecord(ctx, r)
}

// unresolved is the condition that the schemas of records can be looked up.
type unresolved struct {
	handle *health.Handle

	mu      sync.Mutex
	waiting map[*partition]string // what each partition waits for
}

func newUnresolved(set *health.Set) *unresolved {
	return &unresolved{
		handle:  set.Declare(health.Condition{Code: "egress_schemas", Title: "egress can look up the schemas of records"}),
		waiting: map[*partition]string{},
	}
}

// note says that the partition waits, and reports whether that is news.
func (u *unresolved) note(p *partition, why error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	text := why.Error()
	news := u.waiting[p] != text
	u.waiting[p] = text
	u.handle.Fail(text)
	return news
}

// clear says that the partition does not wait any more.
func (u *unresolved) clear(p *partition) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, waited := u.waiting[p]; !waited {
		return
	}
	delete(u.waiting, p)
	for _, text := range u.waiting {
		u.handle.Fail(text)
		return
	}
	u.handle.OK()
}

// beginAtEnd names the topics of which only what comes from now on is wanted.
func (e *Egress) beginAtEnd() map[string]bool {
	topics := map[string]bool{}
	for _, f := range e.snapshot().Foreign {
		topics[f.Topic] = f.Latest
	}
	return topics
}
