package kafka

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/pkg/secret"
)

// endpoint answers as tests want it and counts who asks.
type endpoint struct {
	*TokenEndpoint
	mu     sync.Mutex
	asked  int
	status int
	answer string
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.asked++
		user, password, _ := r.BasicAuth()
		if user != "me%40here" || password != "s%3Ac+ret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
			t.Errorf("asked by %q, %q", user, r.Form)
		}
		w.WriteHeader(e.status)
		fmt.Fprint(w, e.answer)
	}))
	t.Cleanup(server.Close)
	e.TokenEndpoint = &TokenEndpoint{
		URL: server.URL, ClientID: "me@here", Secret: secret.Fixed(secret.New([]byte("s:c ret"))),
		Scopes: []string{"a", "b"}, Secrets: secret.NewResolver(),
	}
	return e
}

func (e *endpoint) get(t *testing.T) string {
	t.Helper()
	token, err := e.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(token.Reveal())
}

func TestATokenIsKeptUntilShortlyBeforeItExpires(t *testing.T) {
	e := newEndpoint(t)
	e.answer = `{"access_token":"one","token_type":"Bearer","expires_in":100}`
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := e.token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left := time.Until(e.until); e.asked != 1 || left < 75*time.Second || left > 80*time.Second {
		t.Errorf("asked %d times, used for %s of 100 s", e.asked, left)
	}
	e.answer = `{"access_token":"two","expires_in":"7200"}`
	e.until = time.Now()
	if got := e.get(t); got != "two" || time.Until(e.until) < 118*time.Minute || time.Until(e.until) > 119*time.Minute {
		t.Errorf("got %q for %s", got, time.Until(e.until))
	}
	// A broker that does not take it makes for another one at once.
	used := e.have
	e.answer = `{"access_token":"three"}`
	e.refused(used)
	if got := e.get(t); got != "three" || time.Until(e.until) > tokenRest {
		t.Errorf("got %q for %s", got, time.Until(e.until))
	}
	e.refused(used) // somebody who still had the old one
	if e.get(t); e.asked != 3 {
		t.Errorf("asked %d times", e.asked)
	}
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(50*time.Second).Unix()))
	e.answer = `{"access_token":"e30.` + claims + `.x"}`
	e.until = time.Now()
	if e.get(t); time.Until(e.until) > 41*time.Second || time.Until(e.until) < 35*time.Second {
		t.Errorf("a JWT's own exp: used for %s of 50 s", time.Until(e.until))
	}
}

func TestTokenEndpointRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		status       int
		answer, want string
	}{
		"a wrong secret":  {401, `{"error":"invalid_client","error_description":"canary s:c ret"}`, "answered 401 invalid_client: check kafka.sasl.client_id"},
		"a wrong scope":   {400, `{"error":"invalid_scope"}`, "answered 400 invalid_scope: check kafka.sasl.scopes"},
		"a wrong address": {404, `<html>canary</html>`, "answered 404: check kafka.sasl.token_url"},
		"a redirect":      {302, ``, "answered 302"},
		"an error of its": {500, `{"error":"canary CANARY"}`, "answered 500"},
		"no token":        {200, `{"token":"canary"}`, "holds no access_token"},
		"something else":  {200, `canary`, "holds no access_token"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t)
			e.status, e.answer = tc.status, tc.answer
			_, err := e.token(t.Context())
			step, ok := errors.AsType[*StepError](err)
			if !ok || step.Step != StepToken || !strings.Contains(err.Error(), tc.want) || strings.Contains(strings.ToLower(err.Error()), "canary") {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if _, again := e.token(t.Context()); !errors.Is(again, err) || e.asked != 1 {
				t.Errorf("asked %d times within a moment", e.asked)
			}
			e.at = time.Time{}
			e.status, e.answer = 200, `{"access_token":"good","expires_in":60}`
			if got := e.get(t); got != "good" {
				t.Errorf("mended: %q", got)
			}
		})
	}
}
