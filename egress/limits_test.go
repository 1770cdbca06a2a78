package egress

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/signature"
)

// atRate is a form of the tenant acme, who may have all that the tests' source makes.
func atRate(t *testing.T, version int64, perSecond float64) *catalog.Tenant {
	t.Helper()
	f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	entry := &catalog.Entry{Kind: catalog.KindTenant, UID: "acme", Name: "acme", Spec: []byte(`{"name":"acme","sources":["shop"],"topics":["` + testTopic + `"]}`)}
	state, err := f.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Put: []*catalog.Entry{entry}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tenant := catalog.NewCompiler(catalog.Options{}).Compile(state).Tenants["acme"]
	tenant.Version, tenant.Rate = version, perSecond
	return tenant
}

// A tenant that gets more than its rate allows waits, and nobody else does: what comes of
// it later comes once, and nothing is given up.
func TestATenantOverItsRateWaitsAlone(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		tenant := atRate(t, 1, 5)
		a, theirs, ours := born(t, "a", 1), born(t, "theirs", 2), born(t, "ours", 3)
		a.Owner, theirs.Owner = tenant, tenant
		s := newShelf(3, shop(), a, theirs, ours)
		s.tenants = tenants(tenant)
		b.by(s)
		stop := b.start()
		time.Sleep(soon)
		b.events(0, 200)
		time.Sleep(time.Second)
		b.want("ours", 0, 200, 1)
		of := func() (n int) {
			b.sink.mu.Lock()
			defer b.sink.mu.Unlock()
			for _, got := range b.sink.arrivals {
				if got.path != "ours" {
					n++
				}
			}
			return n
		}
		if n := of(); n < 5 || n > 10 {
			t.Errorf("%d deliveries within the first second or so, want the bucket's 5 and at most 5 more", n)
		}
		if n := b.metric("causeway_egress_rate_limited_subscriptions"); n != 2 {
			t.Errorf("%v subscriptions are shown to wait for their rate, want 2", n)
		}
		s.put(4, shop(), a, changed(theirs, 4, func(*catalog.Subscription) {}), ours) // no reason for another bucket
		time.Sleep(5 * time.Second)
		if n := of(); n > 35 {
			t.Errorf("%d deliveries in six seconds of 5/s", n)
		}
		b.wantCommit(200, 4)         // it holds nobody's partition up
		time.Sleep(90 * time.Second) // of the 80 that 400 take
		b.halt(stop)
		b.want("a", 0, 200, 1)
		b.want("theirs", 0, 200, 1)
		for _, got := range b.sink.arrivals {
			if n := got.header.Get("Causeway-Attempt"); n != "1" {
				t.Errorf("%s of %s is attempt %s: waiting counts as none", got.id, got.path, n)
			}
		}
		if n := b.count("causeway_egress_parked_total", "rate"); n < 300 {
			t.Errorf("%v deliveries were parked because of the rate, want most of the 400", n)
		}
		if n := len(b.deadLetters()); n > 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// Who is alone on its partition waits in the queue and in Kafka, however long that
// takes: nothing is written for it, and nobody takes it for stuck.
func TestARateThatHoldsNobodyUpWritesNothing(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a := born(t, "a", 1)
		a.Owner = atRate(t, 1, 1./600)
		s := newShelf(1, shop(), a)
		s.tenants = tenants(a.Owner)
		b.by(s)
		stop := b.start()
		time.Sleep(soon)
		b.events(0, 10)
		time.Sleep(11 * time.Minute)
		b.want("a", 0, 2, 1)
		b.want("a", 2, 10, 0)
		faster := atRate(t, 2, 100)
		s.tenants = tenants(faster)
		s.put(2, shop(), changed(a, 1, func(sub *catalog.Subscription) { sub.Owner = faster }))
		time.Sleep(time.Second)
		b.want("a", 0, 10, 1)
		b.halt(stop)
		if n := b.count("causeway_egress_parked_total", "rate"); n > 0 {
			t.Errorf("%v deliveries were parked", n)
		}
	})
}

// A secret that a process cannot resolve is not the subscriber's fault: however long
// that takes, no attempt of the schedule is used up.
func TestDeliveriesWaitForTheirSecret(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		whole := born(t, "a", 1)
		without := changed(whole, 1, func(sub *catalog.Subscription) {
			sub.Schedule = []time.Duration{5 * time.Second}
			sub.Keys = func() ([]signature.Key, error) { return nil, errors.New("no usable secret") }
		})
		s := newShelf(2, shop(), without, born(t, "b", 2))
		b.by(s)
		stop := b.start()
		b.events(0, 3)
		time.Sleep(2 * time.Minute)
		b.want("a", 0, 3, 0)
		b.want("b", 0, 3, 1)
		if n := b.count("causeway_egress_parked_total", "secret"); n != 9 {
			t.Errorf("parked %v times for the secret, want each of the 3 after 0 s, 5 s and 35 s", n)
		}
		if n := len(b.deadLetters()); n > 0 {
			t.Errorf("%d dead letters", n)
		}
		s.put(3, shop(), changed(whole, 3, func(*catalog.Subscription) {}), born(t, "b", 2))
		time.Sleep(4 * time.Minute)
		b.halt(stop)
		b.want("a", 0, 3, 1)
		for _, got := range b.sink.arrivals {
			if n := got.header.Get("Causeway-Attempt"); n != "1" {
				t.Errorf("%s of %s is attempt %s: waiting counts as none", got.id, got.path, n)
			}
		}
	})
}
