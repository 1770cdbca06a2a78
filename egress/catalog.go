package egress

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"causeway/egress/match"
	"causeway/pkg/catalog"
)

// indexed is the catalog at one version, and what is worked out of it once for all who
// deliver by it.
type indexed struct {
	snapshot *catalog.Snapshot
	index    *match.Index
	newer    chan struct{} // closed when this is not the newest any more
	topics   sync.Map      // topic -> *topicView, made when the topic is first asked for
}

func newIndexed(snapshot *catalog.Snapshot) *indexed {
	return &indexed{snapshot: snapshot, index: match.New(snapshot), newer: make(chan struct{})}
}

// topic gives what the snapshot says of a topic. Many partitions ask at once when the
// catalog has changed: one works it out, the others wait for that.
func (x *indexed) topic(name string) *topicView {
	v, ok := x.topics.Load(name)
	if !ok {
		v, _ = x.topics.LoadOrStore(name, &topicView{})
	}
	view := v.(*topicView)
	view.once.Do(func() { view.fill(x, name) })
	return view
}

// snapshot is the catalog as it is now.
func (e *Egress) snapshot() *catalog.Snapshot { return e.current().snapshot }

// current gives the newest catalog that is ready for use.
func (e *Egress) current() *indexed {
	if x := e.indexed.Load(); x != nil {
		return x
	}
	snapshot, _ := e.newest()
	x := newIndexed(snapshot)
	if !e.indexed.CompareAndSwap(nil, x) {
		return e.indexed.Load()
	}
	e.countSubscriptions()
	return x
}

// newest gives the catalog and a channel that is closed when there is a newer one.
func (e *Egress) newest() (*catalog.Snapshot, <-chan struct{}) {
	if e.o.Changed == nil {
		return e.o.Catalog(), nil
	}
	return e.o.Changed()
}

// How long the next catalog is let wait after one was made ready: twice what that took,
// within bounds. Changes that come in bursts are taken together then, and leave the
// processor to the deliveries.
const (
	followFirst = 50 * time.Millisecond
	followMost  = 500 * time.Millisecond
)

// follow makes each newer catalog ready and lets everybody have it, until ctx ends.
// Deliveries go on by the one before for as long as that takes.
func (e *Egress) follow(ctx context.Context, events *member) {
	for {
		snapshot, changed := e.newest()
		if snapshot != e.snapshot() {
			began := time.Now()
			e.publish(snapshot, events)
			waited(ctx, min(max(2*time.Since(began), followFirst), followMost))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Egress) publish(snapshot *catalog.Snapshot, events *member) {
	old := e.current()
	if snapshot.Version < old.snapshot.Version {
		e.log.Error("the catalog went back, so what is known of it stays in use: restart this process if the catalog was made anew",
			zap.Int64("from", old.snapshot.Version), zap.Int64("to", snapshot.Version))
		return
	}
	x := newIndexed(snapshot)
	for _, p := range events.all() {
		x.topic(p.topic)
	}
	e.indexed.Store(x)
	close(old.newer)
	e.forgetDisabled(snapshot)
	e.countSubscriptions()
	e.dispatch.sweep(func(uid uuid.UUID) bool { return snapshot.Subscription(uid) != nil })
	e.dispatch.limit(snapshot.Tenants)
	e.showLag(events.addTopics(snapshot.Readable()))
}

// declared is the version of the catalog that declared a topic of a source; 0 for topics
// that the process file names, which were there always.
func (e *Egress) declared(topic string) int64 { return e.current().topic(topic).declared.Added }

// countSubscriptions keeps the gauge of their states.
func (e *Egress) countSubscriptions() {
	counts := map[parkedReason]int{"": 0, parkedPaused: 0, parkedFaulty: 0, parkedDisabled: 0}
	for _, sub := range e.snapshot().Subscriptions {
		counts[e.rests(sub)]++
	}
	for why, n := range counts {
		state := string(why)
		if why == "" {
			state = "live"
		}
		e.met.subscriptions.WithLabelValues(state).Set(float64(n))
	}
}

// rests says why no delivery of the subscription is attempted now; "": they are. Until
// there are ranges, such deliveries go round the delay topics, a step further each
// time, and come within the last one's half hour of the subscription's being live
// again. Its max_age goes on counting meanwhile for what was attempted before.
func (e *Egress) rests(sub *catalog.Subscription) parkedReason {
	switch at, off := e.disabled.Load(sub.UID); {
	case sub.Paused:
		return parkedPaused
	case sub.Fault != nil:
		return parkedFaulty
	case off && at.(int64) >= sub.Version:
		return parkedDisabled
	default:
		return ""
	}
}

// live says whether deliveries of the subscription are attempted.
func (e *Egress) live(sub *catalog.Subscription) bool { return e.rests(sub) == "" }

// forgetDisabled forgets what is known of forms of entries that are no more: a newer one
// begins anew.
func (e *Egress) forgetDisabled(snapshot *catalog.Snapshot) {
	e.disabled.Range(func(uid, at any) bool {
		if sub := snapshot.Subscription(uid.(uuid.UUID)); sub == nil || sub.Version > at.(int64) {
			e.disabled.Delete(uid)
		}
		return true
	})
}

// renew gives the task the subscription as it is now: what waited in a queue must not
// go to an old URL, nor be signed with an old secret. False: it is gone.
func (e *Egress) renew(t *task) bool {
	sub := e.snapshot().Subscription(t.delivery.Subscription)
	if sub == nil {
		return false
	}
	t.subscription = sub
	return true
}
