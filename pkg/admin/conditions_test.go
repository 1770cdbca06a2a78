package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	made := w.source("orders")
	in := SourceInput{Spec: made.Spec}
	now := etag(made.Version)
	for name, tc := range map[string]struct {
		header, code string
		status       int
	}{
		"garbage":              {"17", "bad_if_match", 400},
		"without its quotes":   {`"1`, "bad_if_match", 400},
		"an older version":     {`"0"`, "stale", 412},
		"a weak tag":           {"W/" + now, "stale", 412},
		"the entry's name":     {`"orders"`, "stale", 412},
		"one of several":       {`"0", ` + now, "", 200},
		"any":                  {"*", "", 200},
		"nothing asked":        {"", "", 200},
		"the version as it is": {now, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if tc.code == "" {
				must[Source](w, 200, "PUT", "/sources/orders", "", in, "If-Match", tc.header) // changes nothing: the version stays
				return
			}
			w.refusal(tc.status, tc.code, "DELETE", "/sources/orders", "", nil, "If-Match", tc.header)
			p := w.ask("PUT", "/sources/orders", "", in, "If-Match", tc.header)
			if p.Code != tc.status || tc.status == 412 && p.Header().Get("ETag") != now {
				t.Errorf("%d %v", p.Code, p.Header())
			}
		})
	}
}

func TestIfNoneMatch(t *testing.T) {
	w := newWorld(t)
	made := w.source("orders")
	for header, want := range map[string]int{etag(made.Version): 304, "W/" + etag(made.Version): 304, "*": 304, `"0"`: 200, "garbage": 200, "": 200} {
		got := w.ask("GET", "/sources/orders", "", nil, "If-None-Match", header)
		if got.Code != want || got.Header().Get("ETag") != etag(made.Version) || want == 304 && got.Body.Len() > 0 {
			t.Errorf("If-None-Match %s: %d %v %s", header, got.Code, got.Header(), got.Body)
		}
	}
}

func TestTheSameRequestGetsTheSameAnswer(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	in := SubscriptionInput{Spec: catalog.SubscriptionSpec{Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/hooks"}}
	first := w.ask("POST", "/subscriptions", "", in, "Idempotency-Key", "one")
	again := w.ask("POST", "/subscriptions", "", in, "Idempotency-Key", "one")
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" ||
		first.Header().Get("ETag") != again.Header().Get("ETag") || first.Header().Get("Location") != again.Header().Get("Location") ||
		first.Header().Get("Content-Type") != again.Header().Get("Content-Type") {
		t.Errorf("%d %s, then %d %v %s", first.Code, first.Body, again.Code, again.Header(), again.Body)
	}
	w.refusal(409, "name_taken", "POST", "/subscriptions", "", in, "Idempotency-Key", "two")
	w.refusal(409, "name_taken", "POST", "/subscriptions", "", in)
	other := in
	other.Spec.Name = "other"
	w.refusal(422, "idempotency_mismatch", "POST", "/subscriptions", "", other, "Idempotency-Key", "one")
	// The key is the caller's: another's is another request.
	w.refusal(409, "name_taken", "POST", "/subscriptions", w.key("", "admin"), in, "Idempotency-Key", "one")
	for _, bad := range []string{" ", "a b", strings.Repeat("x", 201), "é"} {
		w.refusal(400, "bad_idempotency_key", "POST", "/subscriptions", "", in, "Idempotency-Key", bad)
	}
	// A refusal is asked anew: what was wrong may have been put right.
	other.Spec.Sources = []string{"later"}
	w.refusal(422, "invalid", "POST", "/subscriptions", "", other, "Idempotency-Key", "three")
	w.source("later")
	must[Subscription](w, 201, "POST", "/subscriptions", "", other, "Idempotency-Key", "three")
	// Nothing that is remembered shows the secret.
	var made Subscription
	if err := json.Unmarshal(first.Body.Bytes(), &made); err != nil || made.Secret == "" {
		t.Fatalf("%v: %s", err, first.Body)
	}
	for _, p := range w.remembered.shares[""].order {
		if strings.Contains(string(p.sealed), made.Secret) {
			t.Error("the secret is in memory")
		}
	}
}

func TestARequestThatIsBeingAnsweredIsNotMadeTwice(t *testing.T) {
	w := newWorld(t)
	var second *httptest.ResponseRecorder
	var once sync.Once
	w.o.Catalog = &moving{w.store, func() {
		once.Do(func() {
			second = w.ask("POST", "/tenants", "", TenantInput{Spec: catalog.TenantSpec{Name: "acme"}}, "Idempotency-Key", "one")
		})
	}}
	must[Tenant](w, 201, "POST", "/tenants", "", TenantInput{Spec: catalog.TenantSpec{Name: "acme"}}, "Idempotency-Key", "one")
	if second == nil || second.Code != 409 || !strings.Contains(second.Body.String(), "in_flight") {
		t.Errorf("the second one: %v", second)
	}
}

func TestAnswersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRemembered()
		body := []byte("an answer")
		give := func(n byte) (*past, past) { return m.begin("", requestID{n}, bodyTag{}) }
		p, _ := give(1)
		m.end(p, given{Status: 201, Body: body}, mac(nil, "seal"))
		if fresh, earlier := give(1); fresh != nil || earlier.sealed == nil {
			t.Fatal("forgotten at once")
		}
		time.Sleep(rememberFor + time.Second)
		if fresh, _ := give(1); fresh == nil {
			t.Error("remembered for over a day")
		}
		if of := m.shares[""]; len(of.order) != 1 || of.bytes != 0 {
			t.Errorf("%d answers of %d bytes are left", len(of.order), of.bytes)
		}
		// Of a flood the newest are remembered.
		for i := range 2 * mostAnswers {
			id := requestID{2, byte(i), byte(i >> 8), byte(i >> 16)}
			p, _ := m.begin("", id, bodyTag{})
			m.end(p, given{Status: 201, Body: body}, mac(nil, "seal"))
		}
		if of := m.shares[""]; len(of.order) > mostAnswers+1 || len(m.known) > mostAnswers+1 {
			t.Errorf("%d answers, %d known", len(of.order), len(m.known))
		}
	})
}

// A tenant that has much remembered makes forgotten what is its own, and all of them
// together no more than they may.
func TestATenantMakesOnlyItsOwnForgotten(t *testing.T) {
	m := newRemembered()
	large := given{Status: 201, Body: make([]byte, 300<<10)}
	answer := func(tenant string, n uint16, g given) requestID {
		id := requestID(mac(nil, tenant, strconv.Itoa(int(n))))
		p, _ := m.begin(tenant, id, bodyTag{})
		m.end(p, g, mac(nil, "seal"))
		return id
	}
	operators := answer("", 1, large)
	other := answer("b", 1, given{Status: 201, Body: []byte("once")})
	for n := range uint16(2 * mostOfTenant) {
		answer("a", n, large)
	}
	for _, id := range []requestID{operators, other} {
		if m.known[id] == nil {
			t.Error("another's answer is forgotten")
		}
	}
	if a := m.shares["a"]; a.bytes > mostBytesOfOne+1<<20 || a.bytes == 0 {
		t.Errorf("a tenant has %d bytes", a.bytes)
	}
	for n := range 100 {
		tenant := "t" + strconv.Itoa(n)
		answer(tenant, 1, large)
		answer(tenant, 2, large)
	}
	if m.tenants > mostRemember || m.tenants < mostRemember/2 {
		t.Errorf("all tenants have %d bytes, may have %d", m.tenants, mostRemember)
	}
	sum := 0
	for tenant, of := range m.shares {
		if tenant != "" {
			sum += of.bytes
		}
	}
	if sum != m.tenants {
		t.Errorf("they have %d bytes, counted are %d", sum, m.tenants)
	}
	if m.known[operators] == nil || m.known[other] == nil {
		t.Error("a small share is forgotten for the sake of large ones")
	}
}

func TestWhoAsksTooOftenIsToldToWait(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Rate, o.Burst, o.FailedRate, o.FailedBurst = 0.001, 3, 0.001, 2 })
	key := w.key("", "viewer")
	for range 3 {
		must[Page[Source]](w, 200, "GET", "/sources", key, nil)
	}
	w.refusal(429, "rate_limited", "GET", "/sources", key, nil)
	if got := w.ask("GET", "/sources", key, nil).Header().Get("Retry-After"); got == "" || got == "0" {
		t.Errorf("Retry-After %q", got)
	}
	must[Page[Source]](w, 200, "GET", "/sources", "", nil) // without a key it is counted apart
	w.refusal(401, "unauthenticated", "GET", "/sources", "wrong", nil)
	w.refusal(401, "unauthenticated", "GET", "/sources", "wrong", nil)
	w.refusal(429, "rate_limited", "GET", "/sources", "wrong", nil)
	if got := w.ask("GET", "/sources", w.o.Version, nil); got.Code != http.StatusTooManyRequests {
		t.Errorf("a third wrong one: %d", got.Code)
	}
}
