package admin

import (
	"context"
	"sync"
	"testing"

	"causeway/pkg/catalog"
)

func TestATenantChangesNoFasterThanItsShare(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.TenantRate, o.TenantBurst = 1e-6, 3 })
	w.source("github")
	w.tenant("acme", "github")
	w.tenant("zeta", "github")
	first, second := w.key("acme", "editor"), w.key("acme", "editor")
	w.subscription(first, "one", "github")
	w.ask("POST", "/subscriptions/one/pause", first, nil)
	w.ask("POST", "/subscriptions/nothing/resume", second, nil) // a refusal counts
	w.refusal(429, "rate_limited", "POST", "/subscriptions/one/resume", second, nil)
	w.refusal(429, "rate_limited", "DELETE", "/subscriptions/one", first, nil)
	must[Subscription](w, 200, "GET", "/subscriptions/one", first, nil)
	w.subscription(w.key("zeta", "editor"), "one", "github")
	for range 5 {
		must[Subscription](w, 200, "POST", "/subscriptions/"+w.store.State().Named(catalog.KindSubscription, "acme", "one").UID+"/pause", "", nil)
	}
}

func TestATenantIsAnsweredSoManyTimesAtOnce(t *testing.T) {
	entered, release := make(chan bool, mostAtOnce), make(chan bool)
	w := newWorld(t, func(o *Options) {
		o.Test = func(context.Context, *catalog.Subscription) TestResult {
			entered <- true
			<-release
			return TestResult{OK: true}
		}
	})
	w.source("github")
	w.tenant("acme", "github")
	w.tenant("zeta", "github")
	key, other := w.key("acme", "editor"), w.key("zeta", "viewer")
	w.subscription(key, "one", "github")
	var wg sync.WaitGroup
	for range mostAtOnce {
		wg.Go(func() { w.ask("POST", "/subscriptions/one/test", key, nil) })
	}
	for range mostAtOnce {
		<-entered
	}
	w.refusal(429, "rate_limited", "GET", "/subscriptions", key, nil)
	must[Page[Subscription]](w, 200, "GET", "/subscriptions", other, nil)
	must[Page[Subscription]](w, 200, "GET", "/subscriptions", "", nil)
	close(release)
	wg.Wait()
	must[Page[Subscription]](w, 200, "GET", "/subscriptions", key, nil)
	if len(w.crowd.in) != 0 {
		t.Errorf("%v are remembered", w.crowd.in)
	}
}
