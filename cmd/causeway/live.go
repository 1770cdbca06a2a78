package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
)

// store is where the catalog is kept: catalog.Topic or catalog.File.
type store interface {
	State() *catalog.State
	Next() (*catalog.State, <-chan struct{})
	AwaitEnd(ctx context.Context) (*catalog.State, error)
	End(ctx context.Context) (int64, error)
	WentBack() error
	Hanging() error
	Update(ctx context.Context, change catalog.Change) (*catalog.State, error)
	Audit(ctx context.Context, records ...catalog.AuditRecord) error
}

// liveCatalog is the catalog as this process works from it: of each state that the store
// shows, the snapshot.
type liveCatalog struct {
	store    store
	roles    roles // whose secrets have to be there
	compiler *catalog.Compiler
	log      *zap.Logger
	read     *health.Handle
	followed *health.Handle
	usable   *health.Handle
	version  prometheus.Gauge

	now   atomic.Pointer[catalog.Snapshot]
	mu    sync.Mutex
	moved chan struct{} // closed when there is another snapshot

	// Of run's goroutine, and of whoever calls load and take before it.
	said     map[string]string // what is wrong, by the keys of the entries
	unusable bool              // some entry could not be compiled
}

func newLive(s store, r roles, o catalog.Options, conditions *health.Set, reg prometheus.Registerer, log *zap.Logger) *liveCatalog {
	l := &liveCatalog{
		store: s, roles: r, compiler: catalog.NewCompiler(o), log: log, moved: make(chan struct{}), said: map[string]string{},
		read:     conditions.Declare(health.Condition{Code: "catalog", Title: "the catalog was read to its end", Readiness: true}),
		followed: conditions.Declare(health.Condition{Code: "catalog_followed", Title: "changes of the catalog reach this process"}),
		usable:   conditions.Declare(health.Condition{Code: "catalog_entries", Title: "every source and subscription of the catalog can be used here"}),
		version: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_catalog_version", Help: "Version of the catalog that this process works from.",
		}),
	}
	reg.MustRegister(l.version)
	l.now.Store(catalog.NewSnapshot(0, nil, nil))
	return l
}

// current is the newest snapshot; before the first one it is empty.
func (l *liveCatalog) current() *catalog.Snapshot { return l.now.Load() }

// changed gives it together with a channel that is closed when there is a newer one.
func (l *liveCatalog) changed() (*catalog.Snapshot, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Load(), l.moved
}

// restTime is how long after a snapshot the next one is made at the earliest: whoever
// applies entries one by one costs as many as fit, not one for each.
const restTime = 50 * time.Millisecond

// againTime is how often entries are compiled anew that could not be used: the secret
// may be there by then.
const againTime = 10 * time.Second

// run keeps the snapshot up with the store until ctx ends.
func (l *liveCatalog) run(ctx context.Context) error {
	for {
		state, moved := l.store.Next()
		held := l.store.WentBack() == nil || l.current().Newer != nil
		if state.Version == l.current().Version && held {
			var again <-chan time.Time
			if len(l.said) > 0 {
				again = time.After(againTime)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-moved:
				continue
			case <-again:
				if !l.unusable { // only a secret is missing, for which nothing has to be compiled
					l.report(l.current())
					continue
				}
			}
		}
		l.take(state)
		rest := time.NewTimer(restTime)
		select {
		case <-ctx.Done():
			rest.Stop()
			return nil
		case <-rest.C:
		}
	}
}

// lookEvery is how often the catalog is asked how far it goes.
const lookEvery = 30 * time.Second

// follow looks whether this process still hears of changes and takes them up, until ctx
// ends: one that has fallen behind for good goes on delivering by what it knows, and
// somebody has to be told. To take one up may take a moment: it has until the next look.
func (l *liveCatalog) follow(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var owed int64 // where it ended at the look before
	for {
		before := l.store.State().Version
		try, cancel := context.WithTimeout(ctx, lookEvery)
		end, err := l.store.End(try)
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// What was written just before the question may not have come yet: it has now.
		switch now, lost, hangs := l.store.State().Version, l.store.WentBack(), l.store.Hanging(); {
		case lost != nil:
			l.followed.Fail(lost.Error())
		case err != nil:
			l.followed.Fail(fmt.Sprintf("nobody says how far the catalog goes: %v", err))
		case end < before:
			l.followed.Fail(fmt.Sprintf("the catalog ends at version %d, and this process has read %d: it was made anew; put back what it held, and restart this process", end, before))
		case hangs != nil:
			l.followed.Fail(hangs.Error())
		case now < end:
			l.followed.Fail(fmt.Sprintf("this process has read version %d of the catalog, which goes to %d", now, end))
		case l.current().Version < owed:
			l.followed.Fail(fmt.Sprintf("this process has read version %d of the catalog and still works from version %d: something that its entries need does not answer, mostly the mount of a secret's file; mend it, or restart this process", now, l.current().Version))
		default:
			l.followed.OK()
		}
		if err == nil {
			owed = end
		}
	}
}

// take makes the snapshot of a state and puts it in the place of the last one.
func (l *liveCatalog) take(state *catalog.State) {
	snapshot := l.compiler.Compile(state)
	if lost := l.store.WentBack(); lost != nil {
		snapshot.Newer = lost // others know by now of entries that this process never will
	}
	l.mu.Lock()
	l.now.Store(snapshot)
	close(l.moved)
	l.moved = make(chan struct{})
	l.mu.Unlock()
	l.version.Set(float64(snapshot.Version))
	l.report(snapshot)
}

// shownFaults is how many entries the condition names.
const shownFaults = 5

// report says which entries cannot be used here, each once for each reason.
func (l *liveCatalog) report(snapshot *catalog.Snapshot) {
	faults := map[string]string{}
	var shown []string
	l.unusable = false
	note := func(kind catalog.Kind, name, uid string, err error) {
		if err == nil {
			return
		}
		key, text := catalog.EntryKey(kind, uid), strings.ReplaceAll(err.Error(), "\n", "; ")
		faults[key] = text
		if len(shown) < shownFaults {
			shown = append(shown, fmt.Sprintf("%s %s: %s", kind, name, text))
		}
		if l.said[key] != text {
			l.log.Error("an entry of the catalog cannot be used here", zap.String("kind", string(kind)), zap.String("name", name), zap.String("uid", uid), zap.String("why", text))
		}
	}
	for _, src := range snapshot.Sources {
		err := src.Fault
		l.unusable = l.unusable || err != nil
		if err == nil && l.roles.ingress {
			_, err = src.Keys()
		}
		note(catalog.KindSource, src.Name, src.UID.String(), err)
	}
	for _, sub := range snapshot.Subscriptions {
		err := sub.Fault
		l.unusable = l.unusable || err != nil
		if err == nil && l.roles.egress {
			_, err = sub.Keys()
		}
		note(catalog.KindSubscription, sub.Name, sub.UID.String(), err)
	}
	l.said = faults
	if len(faults) == 0 {
		l.usable.OK()
		return
	}
	if more := len(faults) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	l.usable.Fail(strings.Join(shown, "; "))
}
