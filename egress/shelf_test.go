package egress

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"causeway/pkg/catalog"
	"causeway/pkg/cursor"
	"causeway/schemas"
)

// shelf is a catalog as the tests change it.
type shelf struct {
	mu       sync.Mutex
	end      int64
	snapshot *catalog.Snapshot
	tenants  map[string]*catalog.Tenant // of each version that is put from now on
	changed  chan struct{}
}

func newShelf(version int64, sources []*catalog.Source, subs ...*catalog.Subscription) *shelf {
	s := &shelf{changed: make(chan struct{})}
	s.put(version, sources, subs...)
	return s
}

// put makes another version of the catalog, which is its end.
func (s *shelf) put(version int64, sources []*catalog.Source, subs ...*catalog.Subscription) {
	snapshot := catalog.NewSnapshot(version, sources, subs)
	snapshot.Tenants = s.tenants
	s.show(snapshot)
}

func (s *shelf) show(snapshot *catalog.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot, s.end = snapshot, snapshot.Version
	close(s.changed)
	s.changed = make(chan struct{})
}

// grow lets the catalog end further on than what was read of it.
func (s *shelf) grow(end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = end
}

func (s *shelf) next() (*catalog.Snapshot, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, s.changed
}

func (s *shelf) at(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end, nil
}

// by lets every egress that is started from now on go by the shelf.
func (b *bed) by(s *shelf) {
	b.tune = func(o *Options) {
		o.Catalog, o.Changed, o.CatalogEnd = nil, s.next, s.at
		o.Logger, o.Kafka.Logger = nil, nil
		o.extra = quickSessions()
	}
}

// shop is the source of the tests' topic.
func shop() []*catalog.Source { return []*catalog.Source{{Name: "shop", Topic: testTopic}} }

// born is a subscription that a version of the catalog added, and where it begins.
func born(t *testing.T, path string, version int64, offsets ...int64) *catalog.Subscription {
	t.Helper()
	sub := subscription(t, path)
	sub.Version = version
	sub.Starts = map[string]catalog.Start{testTopic: {Added: version, Offsets: offsets}}
	return sub
}

// changed is another form of the subscription.
func changed(sub *catalog.Subscription, version int64, how func(*catalog.Subscription)) *catalog.Subscription {
	other := *sub
	other.Version = version
	how(&other)
	return &other
}

// events publishes evt-from to evt-(to-1), at those offsets of an empty topic.
func (b *bed) events(from, to int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
	}
}

// want checks how often evt-from to evt-(to-1) came to the path.
func (b *bed) want(path string, from, to, times int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		if n := len(b.sink.of(path, fmt.Sprintf("evt-%d", i))); n != times {
			b.t.Errorf("%s: evt-%d came %d times, want %d", path, i, n, times)
		}
	}
}

// wantCommit checks the commit of the tests' topic.
func (b *bed) wantCommit(offset, version int64) cursor.Metadata {
	b.t.Helper()
	offsets, err := kadm.NewClient(b.client).FetchOffsets(b.t.Context(), "causeway.egress")
	if err != nil {
		b.t.Fatal(err)
	}
	o, _ := offsets.Lookup(testTopic, 0)
	meta, err := cursor.Parse(o.Metadata)
	if err != nil || o.At != offset || meta.Catalog != version {
		b.t.Errorf("committed %d with version %d (%v), want %d with %d", o.At, meta.Catalog, err, offset, version)
	}
	return meta
}

// count is the value of a counter or gauge with one label.
func (b *bed) count(name, label string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	b.t.Errorf("no metric %s with %s", name, label)
	return 0
}

func (b *bed) halt(stop func() error) {
	b.t.Helper()
	if err := stop(); err != nil {
		b.t.Fatal(err)
	}
}

const soon = 5 * time.Second // in the bubble: for what takes a moment
