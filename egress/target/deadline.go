package target

import (
	"context"
	"maps"
	"sync"
	"time"
)

// deadlines gives attempts contexts that end with their timeout. Those that begin
// within a hundredth of it share one, and so have between 99 % of their timeout and
// all of it: a context of its own, with its timer, costs an attempt as much as its
// signature.
type deadlines struct {
	mu     sync.Mutex
	shared map[time.Duration]*deadline
}

type deadline struct {
	parent, ctx context.Context //nolint:containedctx // that is what it is for
	until       time.Time       // who begins later gets another
}

// context ends with errTimeout as its cause, or when parent does. Nobody need cancel
// it: it lives as long as the timeout.
func (d *deadlines) context(parent context.Context, timeout time.Duration, now time.Time) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.shared[timeout]; s != nil && s.parent == parent && now.Before(s.until) {
		return s.ctx
	}
	maps.DeleteFunc(d.shared, func(_ time.Duration, s *deadline) bool { return !now.Before(s.until) })
	if d.shared == nil {
		d.shared = make(map[time.Duration]*deadline)
	}
	ctx, cancel := context.WithTimeoutCause(parent, timeout, errTimeout)
	context.AfterFunc(ctx, cancel) // not before: others begin with it while the first one ends
	d.shared[timeout] = &deadline{parent, ctx, now.Add(timeout / 100)}
	return ctx
}
