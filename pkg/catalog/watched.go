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
}

func newWatched() *watched {
	w := &watched{moved: make(chan struct{})}
	w.state.Store(emptyState())
	return w
}

func (w *watched) publish(s *State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Store(s)
	close(w.moved)
	w.moved = make(chan struct{})
}

// next gives the state and a channel that is closed when there is another.
func (w *watched) next() (*State, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Load(), w.moved
}

// await waits until the state has got to a version.
func (w *watched) await(ctx context.Context, version int64) (*State, error) {
	for {
		s, moved := w.next()
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
