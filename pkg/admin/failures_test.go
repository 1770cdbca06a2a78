package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

// failing is a catalog that cannot be written.
type failing struct {
	*catalog.File
	update func(context.Context) error
}

func (f failing) Update(ctx context.Context, change catalog.Change) (*catalog.State, error) {
	if _, err := change(f.State()); err != nil {
		return nil, err
	}
	return nil, f.update(ctx)
}

func TestACatalogThatCannotBeWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		err        error
		code, says string
	}{
		"an answer that was lost":                {fmt.Errorf("broker-7: %w", catalog.ErrUnknownOutcome), "unknown_outcome", "read it"},
		"no time left, and nothing asked for":    {fmt.Errorf("broker-7: %w", context.DeadlineExceeded), "catalog_unavailable", "nothing was changed"},
		"no time left for an answer":             {fmt.Errorf("broker-7: %w: %w", catalog.ErrUnknownOutcome, context.DeadlineExceeded), "unknown_outcome", "read it"},
		"a transaction hangs":                    {fmt.Errorf("broker-7: %w", catalog.ErrHanging), "catalog_unavailable", "catalog_followed"},
		"a disk that is full":                    {errors.New("broker-7: no space left on device"), "catalog_unavailable", "try again"},
		"it went back":                           {fmt.Errorf("broker-7: %w", catalog.ErrWentBack), "catalog_unavailable", "restart"},
		"it seemed so until no time was left":    {fmt.Errorf("broker-7: %w: %w", context.DeadlineExceeded, catalog.ErrWentBack), "catalog_unavailable", "restart"},
		"it went back, after an answer was lost": {fmt.Errorf("broker-7: %w: %w", catalog.ErrUnknownOutcome, catalog.ErrWentBack), "unknown_outcome", "read it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.source("orders")
			w.o.Catalog = failing{w.store, func(context.Context) error { return tc.err }}
			p := w.refusal(503, tc.code, "POST", "/sources/orders/pause", "", nil, "Idempotency-Key", "one")
			if !strings.Contains(p.Detail, tc.says) || strings.Contains(p.Detail, "broker-7") || !strings.Contains(w.logged.String(), "broker-7") {
				t.Errorf("said %q, logged %s", p.Detail, w.logged)
			}
			w.refusal(404, "not_found", "POST", "/sources/nobody/pause", "", nil) // it needs no writing
			w.o.Catalog = w.store
			must[Source](w, 200, "POST", "/sources/orders/pause", "", nil, "Idempotency-Key", "one") // was not remembered
		})
	}
}

func TestKafkaThatIsAwayHangsNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.source("orders")
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		w.o.Catalog = failing{w.store, hang}
		w.o.Topics = func(ctx context.Context) ([]Topic, error) { return nil, hang(ctx) }
		start := time.Now()
		w.refusal(503, "catalog_unavailable", "POST", "/sources/orders/pause", "", nil)
		if took := time.Since(start); took != updateTimeout {
			t.Errorf("took %s", took)
		}
		w.refusal(503, "kafka_unavailable", "GET", "/topics", "", nil)
		must[Source](w, 200, "GET", "/sources/orders", "", nil)
		w.o.Ends = func(ctx context.Context, _ []string) (map[string][]int64, error) { return nil, hang(ctx) }
		w.refusal(503, "kafka_unavailable", "POST", "/subscriptions", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
			Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/",
		}})
	})
}

func TestAChangeIsMadeThoughItsRequestGoesAway(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	ctx, cancel := context.WithCancel(t.Context())
	w.o.Catalog = &moving{w.store, cancel}
	r := httptest.NewRequestWithContext(ctx, "POST", "http://localhost"+BasePath+"/sources/orders/pause", nil)
	r.RemoteAddr = "127.0.0.1:5"
	r.Header.Set("Content-Type", "application/json")
	w.serveOne(r)
	if got := must[Source](w, 200, "GET", "/sources/orders", "", nil); !got.Paused {
		t.Error("was not paused")
	}
}

func TestOfTwentyWritersOneMakesAName(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.tenant("acme", "orders")
	spec := must[Tenant](w, 200, "GET", "/tenants/acme", "", nil).Spec
	spec.MaxSubscriptions = 3
	must[Tenant](w, 200, "PUT", "/tenants/acme", "", TenantInput{Spec: spec})
	for _, tc := range []struct {
		what string
		name func(int) string
		want int
	}{
		{"one name", func(int) string { return "billing" }, 1},
		{"what the limit leaves", func(i int) string { return fmt.Sprint("sub", i) }, 2},
	} {
		var wg sync.WaitGroup
		codes := make([]int, 20)
		for i := range codes {
			wg.Go(func() {
				codes[i] = w.ask("POST", "/subscriptions", "", SubscriptionInput{Tenant: "acme", Spec: catalog.SubscriptionSpec{
					Name: tc.name(i), Sources: []string{"orders"}, URL: "https://billing.example.com/",
				}}).Code
			})
		}
		wg.Wait()
		made := len(slices.DeleteFunc(slices.Clone(codes), func(code int) bool { return code != 201 }))
		if made != tc.want {
			t.Errorf("%s: %d made: %v", tc.what, made, codes)
		}
	}
}

func TestOfTwentyWritersWithOneVersionOneChangesIt(t *testing.T) {
	w := newWorld(t)
	made := w.source("orders")
	var wg sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		wg.Go(func() {
			in := SourceInput{Spec: made.Spec}
			in.Spec.Headers = []string{fmt.Sprint("x-", i)}
			codes[i] = w.ask("PUT", "/sources/orders", "", in, "If-Match", etag(made.Version)).Code
		})
	}
	wg.Wait()
	slices.Sort(codes)
	if codes[0] != 200 || codes[1] != 412 || codes[19] != 412 {
		t.Errorf("answered %v", codes)
	}
}

func TestANameThatIsMadeAgainIsAnother(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.tenant("acme", "orders")
	w.tenant("other", "orders")
	first := must[Subscription](w, 201, "POST", "/subscriptions", "", SubscriptionInput{Tenant: "acme", Spec: catalog.SubscriptionSpec{Name: "billing", Sources: []string{"orders"}, URL: "https://a.example.com/"}})
	must[struct{}](w, 204, "DELETE", "/subscriptions/billing", "", nil)
	second := must[Subscription](w, 201, "POST", "/subscriptions", "", SubscriptionInput{Tenant: "other", Spec: catalog.SubscriptionSpec{Name: "billing", Sources: []string{"orders"}, URL: "https://b.example.com/"}})
	if first.UID == second.UID || first.Secret == second.Secret {
		t.Error("they share an uid or a secret")
	}
	w.refusal(404, "not_found", "GET", "/subscriptions/billing", w.key("acme", "viewer"), nil)
	w.refusal(404, "not_found", "GET", "/subscriptions/"+first.UID, "", nil)
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	w := newWorld(t)
	w.o.Topics = func(context.Context) ([]Topic, error) { panic("a canary") }
	p := w.refusal(500, "internal", "GET", "/topics", "", nil)
	if strings.Contains(p.Detail, "canary") || !strings.Contains(w.logged.String(), "a canary") {
		t.Errorf("said %q, logged %s", p.Detail, w.logged)
	}
}

func TestASourceIsTried(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	got := must[TestResult](w, 200, "POST", "/sources/orders/test", "", nil)
	var what []string
	for _, c := range got.Checks {
		what = append(what, c.What)
	}
	if !got.OK || !slices.Equal(what, []string{"settings", "open", "secrets", "signature", "topic"}) {
		t.Errorf("tried %+v", got)
	}
	must[Source](w, 200, "POST", "/sources/orders/pause", "", nil)
	delete(w.topics, "webhooks.orders")
	got = must[TestResult](w, 200, "POST", "/sources/orders/test", "", nil)
	if got.OK || got.Checks[1].OK || got.Checks[4].OK {
		t.Errorf("paused and without its topic: %+v", got)
	}
	w.o.Checks.Resolver = nil
	w.o.Live = func() *catalog.Snapshot { return catalog.NewSnapshot(0, nil, nil) }
	if got := must[TestResult](w, 200, "POST", "/sources/orders/test", "", nil); got.OK || got.Checks[0].OK {
		t.Errorf("not taken up: %+v", got)
	}
}

func TestASubscriptionIsTried(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.subscription("", "billing", "orders")
	w.actions()
	if got := must[TestResult](w, 200, "POST", "/subscriptions/billing/test", "", nil); !got.OK || got.Status != 204 {
		t.Errorf("tried %+v", got)
	}
	if got := w.actions(); !slices.Equal(got, []string{"subscription.test"}) {
		t.Errorf("audited %q", got)
	}
	w.o.Live = func() *catalog.Snapshot { return catalog.NewSnapshot(0, nil, nil) }
	if got := must[TestResult](w, 200, "POST", "/subscriptions/billing/test", "", nil); got.OK || len(got.Checks) != 1 {
		t.Errorf("not taken up: %+v", got)
	}
}

func TestWhatIsWrongByNowCanStillBeRun(t *testing.T) {
	t.Setenv("TEAM_HOOK", "whsec_c2VjcmV0LW9mLXRoZS1lbnZpcm9ubWVudA==")
	w := newWorld(t)
	w.source("orders")
	must[Subscription](w, 201, "POST", "/subscriptions", "", SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/", Secrets: []string{"env:TEAM_HOOK"},
	}})
	if err := os.Unsetenv("TEAM_HOOK"); err != nil {
		t.Fatal(err)
	}
	if got := must[Subscription](w, 200, "POST", "/subscriptions/billing/pause", "", nil); !got.Paused || !strings.Contains(got.Fault, "TEAM_HOOK") {
		t.Errorf("paused %+v", got)
	}
	must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	w.refusal(422, "invalid", "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{Secret: "plain:no secret of this kind"})
	w.o.Keyring = ringOf(t, keyText(t, "two"), w.keys)
	if got := must[Resealed](w, 200, "POST", "/reseal", "", nil); got.Resealed != 2 {
		t.Errorf("resealed %+v", got)
	}
}
