package catalog

import (
	"context"
	"sync"
	"sync/atomic"
)

// watched is a state that others wait for.
type watched struct {
	state atomic.Pointer[State]

	mu    sync.Mutex
	moved chan struct{} // closed at the next change
	lost  error         // why no other state is ever shown
}

func newWatched() *watched {
	w := &watched{moved: make(chan struct{})}
	w.state.Store(emptyState())
	return w
}

func (w *watched) publish(s *State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return
	}
	w.state.Store(s)
	close(w.moved)
	w.moved = make(chan struct{})
}

// lose keeps the state as it is from now on. False: it is kept already.
func (w *watched) lose(why error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost != nil {
		return false
	}
	w.lost = why
	close(w.moved) // for those that wait for what never comes
	w.moved = make(chan struct{})
	return true
}

// WentBack is ErrWentBack, with how it was found out, when the catalog that is kept lost
// what was read of it; nil: nothing is known of that.
func (w *watched) WentBack() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// next gives the state and a channel that is closed when there is another.
func (w *watched) next() (*State, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Load(), w.moved
}

// await waits until the state has got to a version, which it never does once the catalog
// went back.
func (w *watched) await(ctx context.Context, version int64) (*State, error) {
	for {
		s, moved := w.next()
		if err := w.WentBack(); err != nil {
			return nil, err
		}
		if s.Version >= version {
			return s, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
