package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"causeway/pkg/catalog"
)

func set(names ...string) ApplyInput {
	in := ApplyInput{Set: "team-a", Tenants: []catalog.TenantSpec{{Name: "acme", Sources: []string{"orders"}}}}
	in.Sources = []catalog.SourceSpec{{Name: "orders", Provider: "github", Secrets: []string{"plain:the secret of orders"}}}
	for _, name := range names {
		in.Subscriptions = append(in.Subscriptions, catalog.SubscriptionSpec{
			Name: name, Owner: "acme", Sources: []string{"orders"}, URL: "https://" + name + ".example.com/", Secrets: []string{"plain:whsec_MDEyMzQ1Njc4OWFiY2RlZg=="},
		})
	}
	return in
}

func actions(a Applied) string {
	var all []string
	for _, d := range a.Differences {
		all = append(all, fmt.Sprintf("%s %s %s", d.Action, d.Kind, d.Name))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestASetIsApplied(t *testing.T) {
	w := newWorld(t)
	w.key("", "viewer") // a catalog that was written before
	w.topics["webhooks.orders"] = []int64{4, 5}
	dry := set("billing", "audit")
	dry.DryRun = true
	before := w.store.State().Version
	want := "add source orders, add subscription audit, add subscription billing, add tenant acme"
	if got := actions(must[Applied](w, 200, "POST", "/apply", "", dry)); got != want || w.store.State().Version != before {
		t.Errorf("would do %s", got)
	}
	w.actions()
	done := must[Applied](w, 200, "POST", "/apply", "", set("billing", "audit"))
	if got := actions(done); got != want || done.Unchanged != 0 || done.Version != w.store.State().Version {
		t.Errorf("did %s: %+v", got, done)
	}
	if got := w.actions(); len(got) != 4 {
		t.Errorf("audited %q", got)
	}
	sub := must[Subscription](w, 200, "GET", "/subscriptions/billing", "", nil)
	if sub.Set != "team-a" || sub.Tenant != "acme" || !slices.Equal(sub.Starts["webhooks.orders"].Offsets, []int64{4, 5}) || sub.Fault != "" {
		t.Errorf("made %+v", sub)
	}
	if again := must[Applied](w, 200, "POST", "/apply", "", set("billing", "audit")); len(again.Differences) != 0 || again.Unchanged != 4 {
		t.Errorf("again: %+v", again)
	}
	// What causeway shows can be applied as it is.
	shown := set("billing", "audit")
	shown.Subscriptions[0].Secrets = sub.Spec.Secrets
	if again := must[Applied](w, 200, "POST", "/apply", "", shown); len(again.Differences) != 0 {
		t.Errorf("as shown: %+v", again)
	}
	shown.Subscriptions[0].URL = "https://evil.example.com/"
	p := w.refusal(422, "invalid", "POST", "/apply", "", shown)
	if p.Errors[0].Location != "body.subscriptions.0.secrets.0" {
		t.Errorf("another host: %+v", p)
	}
	// State is changed elsewhere and kept, the spec is not.
	must[Subscription](w, 200, "POST", "/subscriptions/billing/pause", "", nil)
	for method, path := range map[string]string{"PUT": "", "DELETE": "", "POST": "/rotate-secret"} {
		body := any(SubscriptionInput{Spec: sub.Spec})
		if method == "DELETE" {
			body = nil
		}
		if method == "POST" {
			body = RotateInput{}
		}
		w.refusal(409, "belongs_to_set", method, "/subscriptions/billing"+path, "", body)
	}
	less := set("billing")
	less.Sources[0].Headers = []string{"x-more"}
	if got := actions(must[Applied](w, 200, "POST", "/apply", "", less)); got != "change source orders" {
		t.Errorf("without prune: %s", got)
	}
	less.Prune = true
	if got := actions(must[Applied](w, 200, "POST", "/apply", "", less)); got != "remove subscription audit" {
		t.Errorf("with prune: %s", got)
	}
	if got := must[Subscription](w, 200, "GET", "/subscriptions/billing", "", nil); !got.Paused || got.UID != sub.UID {
		t.Errorf("after it %+v", got)
	}
	if strings.Contains(w.files()+w.logged.String(), "the secret of orders") {
		t.Error("a secret is in the clear")
	}
}

func TestASetIsAppliedWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	w.tenant("acme", "orders") // by hand
	before := w.store.State().Version
	p := w.refusal(409, "conflict", "POST", "/apply", "", set("billing"))
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.tenants.0" {
		t.Errorf("conflicts %+v", p.Errors)
	}
	dry := set("billing")
	dry.DryRun = true
	if got := actions(must[Applied](w, 200, "POST", "/apply", "", dry)); !strings.Contains(got, "conflict tenant acme") {
		t.Errorf("dry run: %s", got)
	}
	bad := set("billing", "Not_A_Name", "audit")
	bad.Tenants = nil
	bad.Subscriptions[2].Sources = []string{"nobody"}
	bad.Sources[0].Secrets = []string{"env:KAFKA_PASSWORD"}
	p = w.refusal(422, "invalid", "POST", "/apply", "", bad)
	var places []string
	for _, item := range p.Errors {
		places = append(places, item.Location)
	}
	slices.Sort(places)
	if want := []string{"body.sources.0.secrets.0", "body.subscriptions.1.name", "body.subscriptions.2.sources.0"}; !slices.Equal(places, want) {
		t.Errorf("wrong at %q, want %q: %+v", places, want, p.Errors)
	}
	twice := set("billing", "billing")
	twice.Tenants = nil
	w.refusal(409, "conflict", "POST", "/apply", "", twice)
	w.o.Ends = func(context.Context, []string) (map[string][]int64, error) { return nil, errors.New("away") }
	good := set("billing")
	good.Tenants = nil
	w.refusal(503, "kafka_unavailable", "POST", "/apply", "", good)
	if got := w.store.State().Version; got != before {
		t.Errorf("the catalog went from %d to %d", before, got)
	}
}

func manyIn(n int) ApplyInput {
	in := set()
	for i := range n {
		in.Subscriptions = append(in.Subscriptions, catalog.SubscriptionSpec{
			Name: fmt.Sprintf("sub-%06d", i), Sources: []string{"orders"}, URL: fmt.Sprintf("https://%06d.example.com/", i), Secrets: []string{"plain:whsec_MDEyMzQ1Njc4OWFiY2RlZg=="},
		})
	}
	return in
}

func TestALargeSet(t *testing.T) {
	w := newWorld(t)
	w.key("", "viewer")
	in := manyIn(3000)
	done := must[Applied](w, 200, "POST", "/apply", "", in)
	if len(done.Differences) != 3002 || w.store.State().Len() != 3003 {
		t.Errorf("did %d", len(done.Differences))
	}
	if again := must[Applied](w, 200, "POST", "/apply", "", in); len(again.Differences) != 0 || again.Unchanged != 3002 {
		t.Errorf("again: %d", len(again.Differences))
	}
	page := must[Page[Subscription]](w, 200, "GET", "/subscriptions?limit=10&prefix=sub-0029", "", nil)
	if len(page.Items) != 10 {
		t.Errorf("listed %d", len(page.Items))
	}
}

// BenchmarkApply applies a set of 100,000 subscriptions to a catalog in a file, which
// is one that was empty.
func BenchmarkApply(b *testing.B) {
	in := manyIn(100_000)
	for b.Loop() {
		w := newWorld(b)
		must[Key](w, 201, "POST", "/keys", "", KeyInput{Roles: []string{"viewer"}})
		must[Applied](w, 200, "POST", "/apply", "", in)
	}
}

// Names in JSON are what they are: a decoder that takes SET for set as well lets pass
// what was looked at only under its own name.
func TestNamesOfFieldsAreTakenAsTheyAre(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		`{"set": "team-a", "SET": "\u001b[31m", "tenants": [{"name": "acme"}]}`,
		`{"set": "team-a", "\u017fet": "\u001b[31m", "tenants": [{"name": "acme"}]}`,
		`{"Set": "team-a", "tenants": [{"name": "acme"}]}`,
	} {
		w.refusal(422, "invalid", "POST", "/apply", "", body)
	}
	if w.store.State().Len() != 0 {
		t.Error("and it was applied")
	}
}
