package egress

import (
	"testing"
	"time"

	"causeway/pkg/catalog"
)

// Without sources there is nothing to read yet, and parked deliveries still go out.
func TestNoSourcesAreNoFault(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		snapshot := catalog.NewSnapshot(0, nil, b.subs)
		b.tune = func(o *Options) { o.Catalog = func() *catalog.Snapshot { return snapshot } }
		b.produce(b.parkedRecord("evt-0", 1, "causeway.delay.1s"))
		stop := b.start()
		time.Sleep(10 * time.Second)
		if ready, failing := b.health.Ready(); !ready {
			t.Errorf("not ready: %+v", failing)
		}
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if n := len(b.sink.of("a", "evt-0")); n != 1 {
			t.Errorf("%d arrivals, want 1", n)
		}
	})
}
