package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Change works out what to write from the catalog as it is, which nobody else can
// change before it is written. It may be called again, with a newer state, and then
// has to start anew. No entries change nothing. Its error ends the Update.
type Change func(*State) (Changes, error)

// Changes are what one update writes: all of it or nothing.
type Changes struct {
	Put    []*Entry // new ones, or Copies that were changed; their Version says nothing
	Remove []*Entry
	// Audit says who does it. It is written together with the entries, so that there is
	// never one without the other.
	Audit []AuditRecord
}

// ErrUnknownOutcome means that nobody can say whether a change was written: the answer
// to it was lost, and no later try could find out. The catalog says it to whoever
// reads it next.
var ErrUnknownOutcome = errors.New("the change may have been written or not: look before you make it again")

// ErrStale means that an entry is not in the version any more for which a change was
// meant.
var ErrStale = errors.New("the entry was changed meanwhile")

// Versions that Fresh takes beside those that entries have.
const (
	Absent int64 = 0  // the entry must not be there
	Any    int64 = -1 // it must be there
)

// Fresh is ErrStale, with what it is about, unless the entry is there in the version.
func (s *State) Fresh(kind Kind, uid string, version int64) error {
	switch e := s.Entry(kind, uid); {
	case version == Absent && e == nil, version == Any && e != nil, e != nil && e.Version == version:
		return nil
	case e == nil:
		return fmt.Errorf("%w: %s is not there", ErrStale, EntryKey(kind, uid))
	default:
		return fmt.Errorf("%w: %s has version %d, not %d", ErrStale, e.Key(), e.Version, version)
	}
}

// encoded is one record to be written.
type encoded struct {
	key   string
	value []byte // nil takes the key out
}

func (c Changes) encode() ([]encoded, error) {
	var records []encoded
	for _, e := range c.Put {
		if e.newer {
			return nil, fmt.Errorf("%s was written by a newer release: update this one to change it", e.Key())
		}
		value, err := e.encode()
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", e.Key(), err)
		}
		records = append(records, encoded{e.Key(), value})
	}
	for _, e := range c.Remove {
		records = append(records, encoded{e.Key(), nil})
	}
	return records, nil
}

// decode reads the record that made a version of the catalog.
func decode(version int64, key string, value []byte) (record, error) {
	if value == nil {
		return record{key: key}, nil
	}
	e, err := decodeEntry(key, value)
	if err != nil {
		return record{}, err
	}
	e.Version = version
	for topic, start := range e.Starts {
		if start.Added == 0 {
			start.Added = version
			e.Starts[topic] = start
		}
	}
	return record{key, e}, nil
}

// recent knows the last changes by their names.
type recent struct {
	mu    sync.Mutex
	known map[string]bool
	order []string // a ring
	next  int
}

// recentChanges is how many a reader knows again. A writer looks for its own as soon
// as it has fenced the others, so a few would do.
const recentChanges = 4096

func (r *recent) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[id] {
		return
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	if len(r.order) < recentChanges {
		r.order = append(r.order, id)
	} else {
		delete(r.known, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % recentChanges
	}
	r.known[id] = true
}

func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[id]
}

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 3 * time.Second
)

// pause waits, longer each time, and not all writers equally long. It begins with as
// long as a try takes: where Kafka is slow, writers that come back sooner than another
// can write would end each other's transactions for ever.
func pause(ctx context.Context, attempt int, took time.Duration) error {
	longest := min(max(firstPause, took)<<min(attempt, 5), longestPause)
	timer := time.NewTimer(longest/2 + time.Duration(uuid.New().ID())%(longest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
