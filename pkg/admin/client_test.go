package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

func TestTheClientMakesEveryCall(t *testing.T) {
	w := newWorld(t)
	w.o.Topics = func(context.Context) ([]Topic, error) { return []Topic{{Name: "webhooks.orders", Kind: "events"}}, nil }
	key := w.key("", "admin")
	listener := httptest.NewServer(w.Handler())
	defer listener.Close()
	c, err := NewClient(ClientOptions{URL: listener.URL, Key: secret.New([]byte(key))})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tenant, err := c.CreateTenant(ctx, TenantInput{Spec: catalog.TenantSpec{Name: "acme", Sources: []string{"orders"}}})
	fail(err)
	tenant, err = c.UpdateTenant(ctx, "acme", tenant.Version, TenantInput{Spec: catalog.TenantSpec{Name: "acme", Sources: []string{"orders"}, MaxSubscriptions: 5}})
	fail(err)
	if got, err := c.Tenant(ctx, "acme"); err != nil || got.Spec.MaxSubscriptions != 5 {
		t.Errorf("tenant %+v, %v", got, err)
	}
	src, err := c.CreateSource(ctx, SourceInput{Spec: catalog.SourceSpec{Name: "orders", Provider: "github", Secrets: []string{"plain:the secret of orders"}, MaxBody: 1 << 19, Rate: 500}})
	fail(err)
	if _, err := c.UpdateSource(ctx, "orders", src.Version-1, SourceInput{Spec: src.Spec}); !isCode(err, "stale") {
		t.Errorf("an older version: %v", err)
	}
	_, err = c.UpdateSource(ctx, "orders", src.Version, SourceInput{Spec: src.Spec})
	fail(err)
	_, err = c.PauseSource(ctx, "orders")
	fail(err)
	_, err = c.ResumeSource(ctx, "orders")
	fail(err)
	rotated, err := c.RotateSourceSecret(ctx, "orders", RotateInput{Overlap: new(catalog.Duration(time.Hour))})
	fail(err)
	if rotated.Secret == "" || rotated.Retires == nil {
		t.Errorf("rotated %+v", rotated)
	}
	if got, err := c.TestSource(ctx, "orders"); err != nil || !got.OK {
		t.Errorf("test %+v, %v", got, err)
	}
	if got, err := c.Source(ctx, "orders"); err != nil || got.Spec.Rate != 500 {
		t.Errorf("source %+v, %v", got, err)
	}
	sub, err := c.CreateSubscription(ctx, SubscriptionInput{Tenant: "acme", Spec: catalog.SubscriptionSpec{Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/", Timeout: catalog.Duration(90 * time.Second / 2)}})
	fail(err)
	_, err = c.UpdateSubscription(ctx, "billing", sub.Version, SubscriptionInput{Spec: sub.Spec})
	fail(err)
	_, err = c.PauseSubscription(ctx, "billing")
	fail(err)
	_, err = c.ResumeSubscription(ctx, sub.UID)
	fail(err)
	_, err = c.RotateSubscriptionSecret(ctx, "billing", RotateInput{})
	fail(err)
	_, err = c.TestSubscription(ctx, "billing")
	fail(err)
	if got, err := c.Subscription(ctx, "billing"); err != nil || got.Spec.Timeout != sub.Spec.Timeout || got.Secret != "" {
		t.Errorf("subscription %+v, %v", got, err)
	}
	if _, err := c.Subscription(ctx, "no/body there"); !isCode(err, "no_such_path") && !isCode(err, "not_found") {
		t.Errorf("a name that needs escaping: %v", err)
	}
	made, err := c.CreateKey(ctx, KeyInput{Roles: []string{"viewer"}})
	fail(err)
	fail(c.RevokeKey(ctx, made.UID))
	_, err = c.Reseal(ctx)
	fail(err)
	applied, err := c.Apply(ctx, ApplyInput{Set: "team-a", Sources: []catalog.SourceSpec{{Name: "more", Provider: "github", Secrets: []string{"plain:the secret of more"}}}})
	fail(err)
	if len(applied.Differences) != 1 {
		t.Errorf("applied %+v", applied)
	}
	var names []string
	for got, err := range Each(ctx, ListOptions{Limit: 1}, c.Sources) {
		fail(err)
		names = append(names, got.Spec.Name)
	}
	if !slices.Equal(names, []string{"more", "orders"}) {
		t.Errorf("sources %q", names)
	}
	_, err = c.Subscriptions(ctx, ListOptions{Tenant: "acme", Prefix: "b", Set: "x"})
	fail(err)
	_, err = c.Tenants(ctx, ListOptions{})
	fail(err)
	_, err = c.Keys(ctx, ListOptions{})
	fail(err)
	_, err = c.Topics(ctx, ListOptions{Limit: 1})
	fail(err)
	_, err = c.Health(ctx)
	fail(err)
	fail(c.DeleteSubscription(ctx, "billing", AnyVersion))
	fail(c.DeleteSource(ctx, "orders", AnyVersion))
	fail(c.DeleteTenant(ctx, "acme", tenant.Version))

	for _, op := range operations(w.Server) {
		if n := count(w, op.id); n == 0 {
			t.Errorf("%s was not called", op.id)
		}
	}
}

// count is how many requests an operation has had.
func count(w *world, operation string) int {
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, family := range families {
		if family.GetName() != "causeway_admin_requests_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "operation" && label.GetValue() == operation {
					n += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return n
}

func isCode(err error, code string) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Code == code
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.ask("GET", "/sources", "", nil)
	w.ask("GET", "/sources/nobody", "", nil)
	w.ask("GET", "/some/strange/path", "", nil)
	w.ask("GET", "/sources", "wrong", nil)
	err := testutil.GatherAndCompare(w.metrics, strings.NewReader(`
# HELP causeway_admin_requests_total Requests to the admin API, by operation and status of the answer.
# TYPE causeway_admin_requests_total counter
causeway_admin_requests_total{operation="get-source",status="404"} 1
causeway_admin_requests_total{operation="list-sources",status="200"} 1
causeway_admin_requests_total{operation="none",status="401"} 1
causeway_admin_requests_total{operation="none",status="404"} 1
`), "causeway_admin_requests_total")
	if err != nil {
		t.Error(err)
	}
}

func TestTheDescription(t *testing.T) {
	w := newWorld(t)
	got := w.ask("GET", "/openapi.json", "", nil)
	var d struct {
		OpenAPI    string                                `json:"openapi"`
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(got.Body.Bytes(), &d); err != nil || d.OpenAPI != "3.1.0" || !bytes.Equal(got.Body.Bytes(), w.OpenAPI()) {
		t.Fatalf("%v: %.200s", err, got.Body)
	}
	seen := map[string]bool{}
	for path, methods := range d.Paths {
		for method, text := range methods {
			var op struct {
				ID        string                     `json:"operationId"`
				Summary   string                     `json:"summary"`
				Responses map[string]json.RawMessage `json:"responses"`
			}
			if err := json.Unmarshal(text, &op); err != nil {
				t.Fatal(err)
			}
			if op.ID == "" || seen[op.ID] || op.Summary == "" || op.Responses["401"] == nil || op.Responses["429"] == nil || op.Responses["503"] == nil {
				t.Errorf("%s %s: %s", method, path, text)
			}
			seen[op.ID] = true
		}
	}
	// Every reference leads somewhere.
	for part := range strings.SplitSeq(got.Body.String(), `"$ref":"#/components/schemas/`) {
		if name, _, ok := strings.Cut(part, `"`); ok && !strings.HasPrefix(part, "{") && d.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	for _, name := range []string{"ErrorModel", "ErrorDetail", "KeySpec"} {
		if d.Components.Schemas[name] != nil {
			t.Errorf("%s is described", name)
		}
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	id, _ := parseKey(key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, l) }()
	ask := func(key string) error {
		c, err := NewClient(ClientOptions{URL: "http://" + l.Addr().String(), Key: secret.New([]byte(key))})
		if err != nil {
			return err
		}
		_, err = c.Sources(t.Context(), ListOptions{})
		return err
	}
	if err := errors.Join(ask(key), ask("")); err != nil {
		t.Error(err)
	}
	if err := ask("wrong"); !isCode(err, "unauthenticated") {
		t.Errorf("a wrong key: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	// What was left to be written is.
	if spec, err := w.store.State().Entry(catalog.KindKey, id).KeySpec(); err != nil || spec.LastUsed == nil {
		t.Errorf("last used %v, %v", spec.LastUsed, err)
	}
	if got := w.actions(); !slices.Contains(got, "refused.auth.refused") {
		t.Errorf("audited %q", got)
	}
	if err := ask(key); err == nil {
		t.Error("it still answers")
	}
}

// outside is a listener that is not on loopback.
type outside struct{ net.Listener }

func (outside) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 8701} }

func TestRunRefusesAListenerThatIsNotOnLoopbackAfterAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := newWorld(t).Run(t.Context(), outside{l}); err == nil || !strings.Contains(err.Error(), "not loopback") {
		t.Errorf("ran: %v", err)
	}
}
