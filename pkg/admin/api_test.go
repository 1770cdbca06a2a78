package admin

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"causeway/pkg/catalog"
)

func TestASourceIsMadeChangedAndRemoved(t *testing.T) {
	w := newWorld(t)
	made := w.source("orders")
	if made.Topic != "webhooks.orders" || made.URL != "https://hooks.example.com/webhooks/orders" || made.By != "loopback" || made.Fault != "" {
		t.Errorf("made %+v", made)
	}
	if len(w.topics["webhooks.orders"]) != 1 {
		t.Error("its topic was not made")
	}
	in := SourceInput{Spec: made.Spec}
	in.Spec.Headers = []string{"x-more"}
	changed := must[Source](w, 200, "PUT", "/sources/orders", "", in, "If-Match", etag(made.Version))
	if changed.Version <= made.Version || !slices.Equal(changed.Spec.Headers, in.Spec.Headers) || !slices.Equal(changed.Spec.Secrets, made.Spec.Secrets) {
		t.Errorf("changed %+v", changed)
	}
	if got := must[Source](w, 200, "GET", "/sources/"+made.UID, "", nil); !reflect.DeepEqual(got, changed) {
		t.Errorf("by uid %+v, want %+v", got, changed)
	}
	if got := must[Source](w, 200, "POST", "/sources/orders/pause", "", nil); !got.Paused {
		t.Errorf("not paused: %+v", got)
	}
	again := must[Source](w, 200, "POST", "/sources/orders/pause", "", nil)
	if got := must[Source](w, 200, "POST", "/sources/orders/resume", "", nil); got.Paused || got.Version != again.Version+1 {
		t.Errorf("resumed %+v after %+v", got, again)
	}
	must[struct{}](w, 204, "DELETE", "/sources/orders", "", nil)
	w.refusal(404, "not_found", "GET", "/sources/orders", "", nil)
	want := []string{"source.create", "source.update", "source.pause", "source.resume", "source.delete"}
	if got := w.actions(); !slices.Equal(got, want) {
		t.Errorf("audited %q, want %q", got, want)
	}
}

func TestASubscriptionBeginsAtTheEndOfItsTopics(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.source("refunds")
	w.topics["webhooks.orders"] = []int64{7, 9}
	w.topics["webhooks.refunds"] = []int64{3}
	made := w.subscription("", "billing", "orders")
	if want := (map[string]catalog.Start{"webhooks.orders": {Added: made.Version, Offsets: []int64{7, 9}}}); !reflect.DeepEqual(made.Starts, want) {
		t.Errorf("begins at %+v, want %+v", made.Starts, want)
	}
	w.topics["webhooks.orders"] = []int64{70, 90}
	in := SubscriptionInput{Spec: made.Spec}
	in.Spec.Sources = []string{"orders", "refunds"}
	changed := must[Subscription](w, 200, "PUT", "/subscriptions/billing", "", in)
	want := map[string]catalog.Start{"webhooks.orders": made.Starts["webhooks.orders"], "webhooks.refunds": {Added: changed.Version, Offsets: []int64{3}}}
	if !reflect.DeepEqual(changed.Starts, want) {
		t.Errorf("begins at %+v, want %+v", changed.Starts, want)
	}
	in.Spec.Sources = []string{"refunds"}
	changed = must[Subscription](w, 200, "PUT", "/subscriptions/billing", "", in)
	if _, still := changed.Starts["webhooks.orders"]; still {
		t.Errorf("begins in a topic that it does not read: %+v", changed.Starts)
	}
}

// moving is a catalog that somebody else changes just before it is held.
type moving struct {
	*catalog.File
	before func()
}

func (m *moving) Update(ctx context.Context, change catalog.Change) (*catalog.State, error) {
	if before := m.before; before != nil {
		m.before = nil
		before()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m.File.Update(ctx, change)
}

func TestASubscriptionBeginsInTopicsThatCameMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.topics["webhooks.orders"] = []int64{7}
	other := w.o
	other.Registerer = nil
	there := &world{Server: New(other), t: t}
	w.o.Catalog = &moving{w.store, func() {
		w.topics["webhooks.orders2"] = []int64{5}
		there.source("orders2")
	}}
	made := must[Subscription](w, 201, "POST", "/subscriptions", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "billing", Topics: []string{"webhooks.orders*"}, URL: "https://billing.example.com/hooks",
	}})
	if len(made.Starts) != 2 || !slices.Equal(made.Starts["webhooks.orders2"].Offsets, []int64{5}) {
		t.Errorf("begins at %+v, want both topics", made.Starts)
	}
}

func TestNothingIsMadeWhenKafkaDoesNotSayWhereTopicsEnd(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.o.Ends = func(context.Context, []string) (map[string][]int64, error) {
		return nil, errors.New("broker-7 is away")
	}
	p := w.refusal(503, "kafka_unavailable", "POST", "/subscriptions", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/hooks",
	}})
	if strings.Contains(p.Detail, "broker-7") {
		t.Errorf("tells of the inside: %s", p.Detail)
	}
	w.refusal(404, "not_found", "GET", "/subscriptions/billing", "", nil)
}

func TestASourceWhoseTopicMayNotBeMadeIsRefused(t *testing.T) {
	w := newWorld(t)
	w.o.Prepare = func(context.Context, []NewTopic) error {
		return errors.New(`the topic "webhooks.orders" is not there, and kafka.topics.create is off`)
	}
	p := w.refusal(409, "topic_not_made", "POST", "/sources", "", SourceInput{Spec: catalog.SourceSpec{
		Name: "orders", Provider: "github", Secrets: []string{"plain:some long secret"},
	}})
	if !strings.Contains(p.Detail, "kafka.topics.create is off") {
		t.Errorf("does not say why: %s", p.Detail)
	}
	w.refusal(404, "not_found", "GET", "/sources/orders", "", nil)
}

func TestATenantAndItsKey(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.tenant("acme", "orders")
	key := w.key("acme", "editor")
	w.subscription(key, "billing", "orders")
	got := must[Tenant](w, 200, "GET", "/tenants/acme", key, nil)
	if got.Subscriptions != 1 || got.Spec.Name != "acme" {
		t.Errorf("tenant %+v", got)
	}
	spec := got.Spec
	spec.MaxSubscriptions = 1
	must[Tenant](w, 200, "PUT", "/tenants/acme", "", TenantInput{Spec: spec})
	p := w.refusal(422, "invalid", "POST", "/subscriptions", key, SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "more", Sources: []string{"orders"}, URL: "https://more.example.com/hooks",
	}})
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.tenant" {
		t.Errorf("over the limit: %+v", p)
	}
	spec.Name = "other"
	w.refusal(422, "invalid", "PUT", "/tenants/acme", "", TenantInput{Spec: spec})
	p = w.refusal(409, "in_use", "DELETE", "/tenants/acme", "", nil)
	if !strings.Contains(p.Detail, "billing") {
		t.Errorf("does not say what it has: %s", p.Detail)
	}
	w.refusal(409, "in_use", "DELETE", "/sources/orders", "", nil)
	must[struct{}](w, 204, "DELETE", "/subscriptions/billing", key, nil)
	id, _ := parseKey(key)
	must[struct{}](w, 204, "DELETE", "/keys/"+id, "", nil)
	must[struct{}](w, 204, "DELETE", "/tenants/acme", "", nil)
}

func TestEverythingWrongIsSaidAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.refusal(422, "invalid", "POST", "/subscriptions", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "Not A Name", Sources: []string{"nobody"}, URL: "https://user:pw@billing.example.com/hooks", Secrets: []string{"env:KAFKA_PASSWORD"},
	}})
	var places []string
	for _, item := range p.Errors {
		places = append(places, item.Location)
	}
	slices.Sort(places)
	if want := []string{"body.spec.name", "body.spec.secrets.0", "body.spec.sources.0", "body.spec.url"}; !slices.Equal(places, want) {
		t.Errorf("wrong at %q, want %q: %+v", places, want, p.Errors)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.subscription("", "billing", "orders")
	sub := func(change func(*catalog.SubscriptionSpec)) SubscriptionInput {
		spec := catalog.SubscriptionSpec{Name: "new", Sources: []string{"orders"}, URL: "https://new.example.com/hooks"}
		change(&spec)
		return SubscriptionInput{Spec: spec}
	}
	src := func(change func(*catalog.SourceSpec)) SourceInput {
		spec := catalog.SourceSpec{Name: "new", Provider: "github", Secrets: []string{"plain:a secret that is long"}}
		change(&spec)
		return SourceInput{Spec: spec}
	}
	for name, tc := range map[string]struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		"a URL with credentials":                   {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.URL = "https://me:pw@new.example.com/" }), 422, "invalid"},
		"a private address":                        {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.URL = "http://10.0.0.1/" }), 422, "invalid"},
		"a unicode host":                           {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.URL = "https://bücher.example/" }), 422, "invalid"},
		"a name that needs escaping":               {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.Name = "a/../b" }), 422, "invalid"},
		"a name with control characters":           {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.Name = "a\x1b[31m" }), 422, "invalid"},
		"a name that is taken":                     {"POST", "/subscriptions", sub(func(s *catalog.SubscriptionSpec) { s.Name = "billing" }), 409, "name_taken"},
		"a source's name that is taken":            {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Name = "orders" }), 409, "name_taken"},
		"a topic named like an internal one":       {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Topic = "causeway.catalog" }), 422, "invalid"},
		"a topic that is not allowed":              {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Topic = "payments" }), 422, "invalid"},
		"a body that is too large for the topics":  {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.MaxBody = 1 << 30 }), 422, "invalid"},
		"a file as a secret":                       {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"file:/etc/passwd"} }), 422, "invalid"},
		"a variable that is not allowed":           {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"env:KAFKA_PASSWORD"} }), 422, "invalid"},
		"a variable of causeway's":                 {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"env:CAUSEWAY_KEYS"} }), 422, "invalid"},
		"a secret as it is":                        {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"whatever"} }), 422, "invalid"},
		"too many secrets":                         {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = slices.Repeat(s.Secrets, 6) }), 422, "invalid"},
		"a handle of nothing":                      {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"sealed:one#01234567"} }), 422, "invalid"},
		"a weak secret":                            {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = []string{"plain:short"} }), 422, "invalid"},
		"no secret for a source":                   {"POST", "/sources", src(func(s *catalog.SourceSpec) { s.Secrets = nil }), 422, "invalid"},
		"a tenant that is not there":               {"POST", "/subscriptions", SubscriptionInput{Tenant: "nobody", Spec: sub(func(*catalog.SubscriptionSpec) {}).Spec}, 422, "invalid"},
		"another owner":                            {"PUT", "/subscriptions/billing", SubscriptionInput{Tenant: "nobody", Spec: sub(func(*catalog.SubscriptionSpec) {}).Spec}, 422, "invalid"},
		"a field that is not there":                {"POST", "/subscriptions", `{"spec":{"name":"x","url":"https://x.example.com","headers":{"Host":"y"}}}`, 422, "invalid"},
		"no JSON":                                  {"POST", "/subscriptions", `{"spec"`, 400, "bad_request"},
		"no body":                                  {"POST", "/subscriptions", nil, 400, "bad_request"},
		"a body that is too large":                 {"POST", "/subscriptions", `{"spec":"` + strings.Repeat("x", smallBody) + `"}`, 413, "too_large"},
		"a query that is not known":                {"GET", "/subscriptions?sort=name", nil, 422, "invalid"},
		"a key without a role":                     {"POST", "/keys", KeyInput{}, 422, "invalid"},
		"a key with a role that is not there":      {"POST", "/keys", KeyInput{Roles: []string{"root"}}, 422, "invalid"},
		"a key for nobody":                         {"POST", "/keys", KeyInput{Roles: []string{"viewer"}, Tenant: "nobody"}, 422, "invalid"},
		"a set without a name":                     {"POST", "/apply", ApplyInput{}, 422, "invalid"},
		"an overlap without end":                   {"POST", "/subscriptions/billing/rotate-secret", `{"overlap":"99999h"}`, 422, "invalid"},
		"a tenant with a bad name":                 {"POST", "/tenants", TenantInput{Spec: catalog.TenantSpec{Name: "A B"}}, 422, "invalid"},
		"rotating to the secret that is there":     {"POST", "/sources/orders/rotate-secret", RotateInput{Secret: "plain:the secret of orders"}, 422, "invalid"},
		"rotating to a file":                       {"POST", "/sources/orders/rotate-secret", RotateInput{Secret: "file:/etc/passwd"}, 422, "invalid"},
		"a source that is not there to be removed": {"DELETE", "/sources/nobody", nil, 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			p := w.refusal(tc.status, tc.code, tc.method, tc.path, "", tc.body)
			if len(p.Errors) > 0 && p.Errors[0].Location == "" {
				t.Errorf("says no place: %+v", p)
			}
		})
	}
}
