package catalog_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

// A retired secret counts until its time, for both sides, without the entry being
// written again; the first one always does, and one that is gone from the environment
// meanwhile is nobody's fault.
func TestARetiredSecretCountsUntilItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Setenv("CATALOG_OLD", strings.Replace(goodSecret, "MfKQ", "aaaa", 1))
		c := newCompiled(t, nil)
		until := time.Now().Add(time.Hour)
		both := func(e *catalog.Entry) *catalog.Entry {
			spec(e, `"env:CATALOG_TEST"`, `"env:CATALOG_TEST","env:CATALOG_OLD"`)
			e.Retire = map[string]time.Time{"env:CATALOG_OLD": until, "env:CATALOG_TEST": until}
			return e
		}
		snapshot := c.after(both(sourceEntry("stripe", stripeSpec)), both(subscriptionEntry("", "billing", billingSpec)))
		src, sub := snapshot.Source("stripe"), snapshot.Subscriptions[0]
		if src.Fault != nil || sub.Fault != nil {
			t.Fatal(src.Fault, sub.Fault)
		}
		shows := func(when string, want int) {
			t.Helper()
			one, err := src.Keys()
			two, err2 := sub.Keys()
			if err != nil || err2 != nil || len(one) != want || len(two) != want {
				t.Errorf("%s: %d keys verify (%v), %d sign (%v), want %d", when, len(one), err, len(two), err2, want)
			}
		}
		shows("at first", 2)
		time.Sleep(time.Until(until) - time.Nanosecond)
		shows("just before its time", 2)
		time.Sleep(time.Nanosecond)
		shows("at its time", 1)
		time.Sleep(1000 * time.Hour)
		shows("long after", 1)
		t.Setenv("CATALOG_OLD", "")
		again := c.State().Named(catalog.KindSubscription, "", "billing")
		if s := c.after(again.Copy()); s.Subscriptions[0].Fault != nil {
			t.Errorf("the retired one is not set any more: %v", s.Subscriptions[0].Fault)
		}
	})
}
