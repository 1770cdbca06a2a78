// Package deadline gives many waits of the same length contexts that end with them, for
// less than a context and a timer each cost: waits that begin within a hundredth of the
// length share one, and so last between 99 % of it and all of it.
package deadline

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Shared hands out contexts. The zero value is ready, also for many goroutines at once.
type Shared struct {
	mu  sync.Mutex
	now map[time.Duration]*one
}

type one struct {
	parent, ctx context.Context //nolint:containedctx // that is what it is for
	until       time.Time       // who begins later gets another
}

// Context ends when parent does, or at the latest when the wait has lasted from now on
// for as long as it may; then cause is its cause. Nobody need cancel it. All waits of
// one length have to give the same cause.
func (s *Shared) Context(parent context.Context, wait time.Duration, cause error, now time.Time) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.now[wait]; o != nil && o.parent == parent && now.Before(o.until) {
		return o.ctx
	}
	maps.DeleteFunc(s.now, func(_ time.Duration, o *one) bool { return !now.Before(o.until) })
	if s.now == nil {
		s.now = make(map[time.Duration]*one)
	}
	ctx, cancel := context.WithTimeoutCause(parent, wait, cause)
	context.AfterFunc(ctx, cancel) // not before: others begin with it while the first one ends
	s.now[wait] = &one{parent, ctx, now.Add(wait / 100)}
	return ctx
}
