package admin

import (
	"strings"
	"testing"

	"causeway/pkg/catalog"
)

// A shared source is shown without its owner and its set, so a list must not tell them
// to whoever tries names.
func TestAListIsNoOracleForOwners(t *testing.T) {
	w := newWorld(t)
	w.tenant("acme", "*")
	w.tenant("zeta")
	must[Source](w, 201, "POST", "/sources", "", SourceInput{Tenant: "zeta", Spec: catalog.SourceSpec{
		Name: "shared", Provider: "github", Secrets: []string{"plain:the secret of zeta"},
	}})
	must[Applied](w, 200, "POST", "/apply", "", ApplyInput{Set: "team-z", Sources: []catalog.SourceSpec{{
		Name: "in-a-set", Provider: "github", Secrets: []string{"plain:the secret of a set"},
	}}})
	viewer := w.key("acme", "viewer")
	names := func(key, query string) string {
		var names []string
		for _, s := range must[Page[Source]](w, 200, "GET", "/sources"+query, key, nil).Items {
			names = append(names, s.Spec.Name)
		}
		return strings.Join(names, " ")
	}
	for _, tc := range []struct{ key, query, want string }{
		{viewer, "", "in-a-set"},
		{viewer, "?tenant=zeta", ""},
		{viewer, "?set=team-z", ""},
		{"", "?tenant=zeta", "shared"},
		{"", "?set=team-z", "in-a-set"},
	} {
		if got := names(tc.key, tc.query); got != tc.want {
			t.Errorf("with key %.8q, %q lists %q, want %q", tc.key, tc.query, got, tc.want)
		}
	}
}

// A pattern that lets a tenant have what is shared lets it have nothing of another
// tenant's own, whose events it would never get.
func TestAPatternShowsNothingOfAnotherTenant(t *testing.T) {
	w := newWorld(t)
	must[Tenant](w, 201, "POST", "/tenants", "", TenantInput{Spec: catalog.TenantSpec{Name: "acme", Sources: []string{"*"}, Topics: []string{"webhooks.*"}}})
	w.tenant("zeta")
	w.source("github")
	must[Source](w, 201, "POST", "/sources", "", SourceInput{Tenant: "zeta", Spec: catalog.SourceSpec{
		Name: "private", Provider: "github", Secrets: []string{"plain:the secret of zeta"},
	}})
	key := w.key("acme", "editor")
	there, missing := w.ask("GET", "/sources/private", key, nil), w.ask("GET", "/sources/missing", key, nil)
	if there.Code != 404 || strings.ReplaceAll(there.Body.String(), "private", "missing") != missing.Body.String() {
		t.Errorf("one that is another's: %s\none that is not there: %s", there.Body, missing.Body)
	}
	topics := func() string {
		var topics []string
		for _, topic := range must[Page[Topic]](w, 200, "GET", "/topics", key, nil).Items {
			topics = append(topics, topic.Name)
		}
		return strings.Join(topics, " ")
	}
	if got := topics(); got != "webhooks.github" {
		t.Errorf("topics %s", got)
	}
	tried := func(spec catalog.SubscriptionSpec) string {
		spec.Name, spec.URL = "probe", "https://probe.example.com/"
		return w.ask("POST", "/subscriptions", key, SubscriptionInput{Spec: spec}).Body.String()
	}
	for _, spec := range []func(string) catalog.SubscriptionSpec{
		func(name string) catalog.SubscriptionSpec { return catalog.SubscriptionSpec{Sources: []string{name}} },
		func(name string) catalog.SubscriptionSpec {
			return catalog.SubscriptionSpec{Topics: []string{"webhooks." + name}}
		},
		func(name string) catalog.SubscriptionSpec {
			return catalog.SubscriptionSpec{Topics: []string{"webhooks." + name + "*"}}
		},
	} {
		there, missing := tried(spec("private")), tried(spec("missing"))
		if !strings.Contains(missing, "there is no source") && !strings.Contains(missing, "is the topic of no source") || strings.ReplaceAll(there, "private", "missing") != missing {
			t.Errorf("one that is another's: %s\none that is not there: %s", there, missing)
		}
	}
	w.subscription(key, "allowed", "github")

	// The source goes and its topic stays, as secret as before.
	w.actions()
	if out := w.ask("DELETE", "/sources/private", "", nil); out.Code != 204 {
		t.Fatalf("%d %s", out.Code, out.Body)
	}
	if got := w.actions(); len(got) != 1 || got[0] != "source.delete" {
		t.Errorf("audited %q", got)
	}
	if w.store.State().Entry(catalog.KindOrphan, "webhooks.private") == nil {
		t.Error("the catalog has forgotten the topic")
	}
	if got := topics(); got != "webhooks.github" {
		t.Errorf("topics %s", got)
	}
	if there, missing := tried(catalog.SubscriptionSpec{Topics: []string{"webhooks.private"}}), tried(catalog.SubscriptionSpec{Topics: []string{"webhooks.missing"}}); strings.ReplaceAll(there, "private", "missing") != missing {
		t.Errorf("one that another left: %s\none that is not there: %s", there, missing)
	}
}
