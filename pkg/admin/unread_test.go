package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"causeway/pkg/catalog"
)

// An entry that cannot be read holds egress, so it can be mended here; but nobody may take
// a source away of which nobody knows what it leaves where.
func TestWhatCannotBeReadIsMended(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.source("other")
	sub := w.subscription("", "billing", "orders")
	spoil := func(kind catalog.Kind, name, field string) {
		t.Helper()
		_, err := w.store.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
			e := now.Named(kind, "", name).Copy()
			e.Spec = json.RawMessage(strings.Replace(string(e.Spec), "{", "{"+field+",", 1))
			return catalog.Changes{Put: []*catalog.Entry{e}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	spoil(catalog.KindSubscription, "billing", `"timeout":"5 parsecs"`)
	if err := w.o.Live().Newer; err == nil || !strings.Contains(err.Error(), `"billing"`) {
		t.Fatalf("egress is not held: %v", err)
	}
	got := must[Subscription](w, 200, "PUT", "/subscriptions/billing", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/hooks",
	}})
	if got.Secret == "" || got.UID != sub.UID { // where it went before is not known
		t.Errorf("mended: %+v", got)
	}
	spoil(catalog.KindSource, "other", `"max_body":"5 parsecs"`)
	if err := w.o.Live().Newer; err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Fatalf("egress is not held: %v", err)
	}
	w.refusal(409, "in_use", "DELETE", "/sources/other", "", nil)
	must[Source](w, 200, "PUT", "/sources/other", "", SourceInput{Spec: catalog.SourceSpec{Name: "other", Provider: "github", Secrets: []string{"plain:another secret of other"}}})
	if err := w.o.Live().Newer; err != nil {
		t.Errorf("egress is still held: %v", err)
	}
	must[struct{}](w, 204, "DELETE", "/sources/other", "", nil)
	if orphans := w.o.Live().Orphans; !slices.ContainsFunc(orphans, func(o catalog.Orphan) bool { return o.Topic == "webhooks.other" }) {
		t.Errorf("orphans %+v", orphans)
	}
}
