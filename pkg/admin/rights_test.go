package admin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"causeway/pkg/catalog"
)

// described is one operation of the description.
type described struct{ id, method, path string }

func operations(s *Server) []described {
	var all []described
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op != nil {
				all = append(all, described{op.OperationID, method, strings.TrimPrefix(path, BasePath)})
			}
		}
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.id, b.id) })
	return all
}

func (d described) body() any {
	if d.method == http.MethodPost || d.method == http.MethodPut {
		return "{}"
	}
	return nil
}

// whoMay is written down here a second time on purpose: a new operation, or a right that
// moves, has to be decided on in both places.
func whoMay() map[string]string {
	return map[string]string{
		"list-sources": "viewer operator editor payloads admin", "get-source": "viewer operator editor payloads admin",
		"create-source": "editor admin", "update-source": "editor admin", "delete-source": "editor admin",
		"pause-source": "operator editor admin", "resume-source": "operator editor admin", "test-source": "operator editor admin",
		"rotate-source-secret": "editor admin",

		"list-subscriptions": "viewer operator editor payloads admin", "get-subscription": "viewer operator editor payloads admin",
		"create-subscription": "editor admin", "update-subscription": "editor admin", "delete-subscription": "editor admin",
		"pause-subscription": "operator editor admin", "resume-subscription": "operator editor admin", "test-subscription": "operator editor admin",
		"rotate-subscription-secret": "editor admin",

		"list-tenants": "viewer operator editor payloads admin", "get-tenant": "viewer operator editor payloads admin",
		"create-tenant": "admin", "update-tenant": "admin", "delete-tenant": "admin",
		"list-keys": "admin", "create-key": "admin", "revoke-key": "admin",
		"apply": "admin", "reseal": "admin",
		"list-topics": "viewer operator editor payloads admin", "get-health": "viewer operator editor payloads admin",
	}
}

// operatorOnly are the operations that no key of a tenant may ask for.
func operatorOnly() []string {
	return []string{
		"create-source", "update-source", "delete-source", "create-tenant", "update-tenant", "delete-tenant",
		"list-keys", "create-key", "revoke-key", "apply", "reseal",
	}
}

func TestEachRoleMayWhatTheTableSays(t *testing.T) {
	w := newWorld(t)
	w.tenant("acme")
	keys, tenants := map[string]string{}, map[string]string{}
	for _, role := range catalog.Roles() {
		keys[role], tenants[role] = w.key("", role), w.key("acme", role)
	}
	table := whoMay()
	for _, op := range operations(w.Server) {
		roles, ok := table[op.id]
		if !ok {
			t.Errorf("%s is not in the table", op.id)
		}
		delete(table, op.id)
		for _, role := range catalog.Roles() {
			path := strings.ReplaceAll(op.path, "{id}", "nobody")
			may := slices.Contains(strings.Fields(roles), role)
			got := w.ask(op.method, path, keys[role], op.body())
			if refused := got.Code == 403 || got.Code == 401; refused == may {
				t.Errorf("%s as %s: %d, and it may: %v: %s", op.id, role, got.Code, may, got.Body)
			}
			if !may && !strings.Contains(got.Body.String(), "needs the right") {
				t.Errorf("%s as %s: does not say which right: %s", op.id, role, got.Body)
			}
			may = may && !slices.Contains(operatorOnly(), op.id)
			got = w.ask(op.method, path, tenants[role], op.body())
			if refused := got.Code == 403 || got.Code == 401; refused == may {
				t.Errorf("%s as a tenant's %s: %d, and it may: %v: %s", op.id, role, got.Code, may, got.Body)
			}
		}
	}
	for id := range table {
		t.Errorf("%s is in the table, and no operation", id)
	}
}

func TestRolesAreThoseOfTheCatalogAndAddUp(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(rightsOf())), slices.Sorted(slices.Values(catalog.Roles())); !slices.Equal(got, want) {
		t.Errorf("roles %q, want %q", got, want)
	}
	w := newWorld(t)
	w.refusal(403, "forbidden", "POST", "/sources/nobody/pause", w.key("", "payloads"), nil)
	w.refusal(404, "not_found", "POST", "/sources/nobody/pause", w.key("", "payloads", "operator"), nil)
}

func TestAnotherURLNeedsItsOwnRight(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	made := w.subscription("", "billing", "orders")
	v := &visit{caller: caller{who: "k", rights: map[right]bool{mayRead: true, mayWrite: true}}}
	in := &updateSubscriptionIn{ID: "billing"}
	in.Body.Spec.SubscriptionSpec, in.Body.Spec.Secrets = made.Spec, made.Spec.Secrets
	in.Body.Spec.URL += "/more"
	_, err := w.updateSubscription(t.Context(), v, in)
	if !isCode(err, "forbidden") || !strings.Contains(err.Error(), "right url") {
		t.Errorf("another URL: %v", err)
	}
	in.Body.Spec.URL, in.Body.Spec.Secrets = made.Spec.URL, []string{"plain:another secret, long enough"}
	_, err = w.updateSubscription(t.Context(), v, in)
	if !isCode(err, "forbidden") || !strings.Contains(err.Error(), "right rotate") {
		t.Errorf("another secret: %v", err)
	}
	in.Body.Spec.Secrets, in.Body.Spec.MaxConcurrency = nil, 3
	if _, err = w.updateSubscription(t.Context(), v, in); err != nil {
		t.Errorf("another limit: %v", err)
	}
}

// secretive is all that belongs to tenant B, in a world with a tenant A that sees only
// the source "shared".
func secretive(t *testing.T) (w *world, b map[string][2]string) {
	t.Helper()
	w = newWorld(t)
	w.source("shared")
	w.source("onlyb-source")
	w.tenant("acme", "shared")
	w.tenant("onlyb", "shared", "onlyb-*")
	w.subscription(w.key("acme", "editor"), "mine", "shared")
	sub := w.subscription(w.key("onlyb", "editor"), "onlyb-sub", "onlyb-source")
	src := must[Source](w, 200, "GET", "/sources/onlyb-source", "", nil)
	return w, map[string][2]string{
		"sources": {"onlyb-source", src.UID}, "subscriptions": {"onlyb-sub", sub.UID}, "tenants": {"onlyb", "onlyb"}, "keys": {"onlyb", "onlyb"},
	}
}

func TestATenantLearnsNothingOfAnother(t *testing.T) {
	w, b := secretive(t)
	const nobody, nobodysUID = "nobody-there", "11111111-2222-4333-8444-555555555555"
	for _, role := range catalog.Roles() {
		key := w.key("acme", role)
		for _, op := range operations(w.Server) {
			bodies := []any{op.body()}
			collection := strings.Split(op.path, "/")[1]
			switch op.id {
			case "update-subscription":
				bodies = append(bodies, SubscriptionInput{Spec: catalog.SubscriptionSpec{Name: "new", Sources: []string{"shared"}, URL: "https://new.example.com/"}})
			case "create-subscription":
				for i, hidden := range []string{"onlyb-source", nobody} {
					bodies = append(bodies, SubscriptionInput{Spec: catalog.SubscriptionSpec{Name: fmt.Sprint("new", i), Sources: []string{hidden}, URL: "https://new.example.com/"}})
				}
			}
			for _, body := range bodies {
				if !strings.Contains(op.path, "{id}") {
					for _, query := range []string{"", "?prefix=onlyb", "?tenant=onlyb", "?limit=1"} {
						if got := w.ask(op.method, op.path+query, key, body); strings.Contains(strings.ReplaceAll(got.Body.String(), `there is no source \"onlyb-source\"`, ""), "onlyb") {
							t.Errorf("%s%s as %s tells of another tenant: %s", op.id, query, role, got.Body)
						}
					}
					continue
				}
				for i, other := range []string{nobody, nobodysUID} {
					there, not := b[collection][i], other
					got := w.ask(op.method, strings.ReplaceAll(op.path, "{id}", there), key, body)
					want := w.ask(op.method, strings.ReplaceAll(op.path, "{id}", not), key, body)
					got.Header().Del("X-Request-Id")
					want.Header().Del("X-Request-Id")
					if a, b := strings.ReplaceAll(got.Body.String(), there, "?"), strings.ReplaceAll(want.Body.String(), not, "?"); a != b || got.Code != want.Code || !maps.EqualFunc(got.Header(), want.Header(), slices.Equal) {
						t.Errorf("%s as %s: of another tenant's %d %v %s of nobody's %d %v %s", op.id, role, got.Code, got.Header(), a, want.Code, want.Header(), b)
					}
				}
			}
		}
	}
	if got := w.ask("GET", "/subscriptions/onlyb-sub", "", nil); got.Code != 200 {
		t.Errorf("what was walked past is gone: %s", got.Body)
	}
}

func TestWhatATenantNamesDoesNotTellWhatOthersHave(t *testing.T) {
	w, _ := secretive(t)
	key := w.key("acme", "editor")
	refusal := func(spec catalog.SubscriptionSpec) string {
		spec.Name, spec.URL = "new", "https://new.example.com/"
		got := w.ask("POST", "/subscriptions", key, SubscriptionInput{Spec: spec}).Body.String()
		return strings.NewReplacer("onlyb-source", "?", "nobody-at-all", "?").Replace(got)
	}
	for name, pair := range map[string][2]catalog.SubscriptionSpec{
		"sources": {{Sources: []string{"onlyb-source"}}, {Sources: []string{"nobody-at-all"}}},
		"topics":  {{Topics: []string{"webhooks.onlyb-source"}}, {Topics: []string{"webhooks.nobody-at-all"}}},
	} {
		if a, b := refusal(pair[0]), refusal(pair[1]); a != b || !strings.Contains(a, "invalid") {
			t.Errorf("%s: %s, and of nobody's %s", name, a, b)
		}
	}
	// Two tenants may both have a subscription of one name.
	made := must[Subscription](w, 201, "POST", "/subscriptions", key, SubscriptionInput{Spec: catalog.SubscriptionSpec{Name: "onlyb-sub", Sources: []string{"shared"}, URL: "https://new.example.com/"}})
	p := w.refusal(409, "ambiguous_name", "GET", "/subscriptions/onlyb-sub", "", nil)
	if len(p.Errors) != 2 {
		t.Errorf("does not say which there are: %+v", p)
	}
	if got := must[Subscription](w, 200, "GET", "/subscriptions/onlyb-sub", key, nil); got.UID != made.UID {
		t.Errorf("got %s, want %s", got.UID, made.UID)
	}
}

func TestATenantIsShownLessOfWhatIsShared(t *testing.T) {
	w, _ := secretive(t)
	key := w.key("acme", "viewer")
	got := must[Source](w, 200, "GET", "/sources/shared", key, nil)
	if len(got.Spec.Secrets) != 0 || !got.Created.IsZero() || got.By != "" || got.Spec.Provider != "github" || got.Topic != "webhooks.shared" || got.URL == "" {
		t.Errorf("shown %+v", got)
	}
	topics := must[Page[Topic]](w, 200, "GET", "/topics", key, nil)
	if len(topics.Items) != 1 || topics.Items[0].Name != "webhooks.shared" || topics.Items[0].Lag != nil || topics.Items[0].Records != 0 {
		t.Errorf("topics %+v", topics)
	}
	if all := must[Page[Topic]](w, 200, "GET", "/topics", "", nil); len(all.Items) != 2 || all.Items[0].Lag == nil {
		t.Errorf("the operator's topics %+v", all)
	}
	if h := must[Health](w, 200, "GET", "/health", key, nil); h.Version != "" || h.Catalog != 0 || len(h.Failing) != 0 {
		t.Errorf("health %+v", h)
	}
	if h := must[Health](w, 200, "GET", "/health", "", nil); h.Version != "v1.2.3" || h.Catalog == 0 {
		t.Errorf("the operator's health %+v", h)
	}
	w.refusal(403, "operator_only", "POST", "/sources/shared/pause", w.key("acme", "operator"), nil)
	own := must[Source](w, 201, "POST", "/sources", "", SourceInput{Tenant: "acme", Spec: catalog.SourceSpec{
		Name: "acme-own", Provider: "github", Secrets: []string{"plain:acme's own secret"},
	}})
	if got := must[Source](w, 200, "POST", "/sources/acme-own/pause", w.key("acme", "operator"), nil); !got.Paused || got.UID != own.UID || len(got.Spec.Secrets) != 1 {
		t.Errorf("its own source %+v", got)
	}
}
