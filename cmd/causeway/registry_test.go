package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// TestRegistryAwayAtStartAndLater holds what a schema registry may do to a process:
// away at the start it keeps the avro source at 503 and touches no other; once the
// schema is registered, nobody notices that it is away.
func TestRegistryAwayAtStartAndLater(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	const password = "canary-of-the-registry"
	t.Setenv("TEST_REGISTRY_PASSWORD", password)
	fake := srfake.NewRegistry()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		switch {
		case subtle.ConstantTimeCompare([]byte(given), []byte(password)) == 0:
			http.Error(w, "who are you", http.StatusUnauthorized)
		case away.Load():
			http.Error(w, "away", http.StatusBadGateway)
		default:
			fake.Handler().ServeHTTP(w, r)
		}
	}))
	defer registry.Close()
	arrived := make(chan string, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- r.Header.Get("Causeway-Source") + " " + string(body)
	}))
	defer sink.Close()

	dir, door, ops, broker := t.TempDir(), freeAddress(t), freeAddress(t), freeAddress(t)
	t.Setenv("TEST_SECRET", "a-token-that-is-long-enough")
	t.Setenv("TEST_SIGNING", bridgeSecret)
	file := filepath.Join(dir, "causeway.yaml")
	if err := os.WriteFile(file, []byte(`
registry: {urls: ["`+registry.URL+`"], username: causeway, password: env:TEST_REGISTRY_PASSWORD}
ingress:
  listen: `+door+`
  reply_timeout: 25s
  sources:
    - {name: framed, provider: token, secrets: [env:TEST_SECRET]}
    - {name: plain, provider: token, secrets: [env:TEST_SECRET], format: raw}
egress:
  allow_http: true
  subscriptions:
    - {name: all, topics: ["webhooks.*"], url: "`+sink.URL+`", secrets: [env:TEST_SIGNING]}
ops: {listen: `+ops+`}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"dev", "-c", file, "--data", filepath.Join(dir, "data"), "--broker-listen", broker}, io.Discard, &stderr)
	}()
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("causeway dev ended with %d\n%s", code, stderr.String())
		}
	}
	defer end()
	ready := awaitText(t, "http://"+ops+"/readyz", "webhooks.framed-value")
	if !strings.Contains(ready, "502") {
		t.Errorf("/readyz does not say what the registry answers: %s", ready)
	}
	post := func(source string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+door+"/webhooks/"+source, strings.NewReader(`{"to":"`+source+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a-token-that-is-long-enough")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := post("framed"); code != 503 || !strings.Contains(body, "schema_not_registered") {
		t.Errorf("registry away: %d %s", code, body)
	}
	if code, body := post("plain"); code != 200 {
		t.Errorf("a source that needs none: %d %s", code, body)
	}
	if got := <-arrived; got != `plain {"to":"plain"}` {
		t.Errorf("arrived %s", got)
	}
	away.Store(false)
	awaitText(t, "http://"+ops+"/metrics", `causeway_health{condition="registry"} 1`)
	away.Store(true)
	if code, body := post("framed"); code != 200 {
		t.Errorf("registry away again: %d %s", code, body)
	}
	if got := <-arrived; got != `framed {"to":"framed"}` {
		t.Errorf("arrived %s", got)
	}

	away.Store(false)
	var out bytes.Buffer
	t.Setenv("CAUSEWAY_KAFKA_BROKERS", broker)
	if code := run(t.Context(), []string{"tail", "webhooks.framed", "--from-start", "-n", "1", "-c", file}, &out, &out); code != 0 || !strings.Contains(out.String(), `{"to":"framed"}`) {
		t.Errorf("causeway tail ended with %d\n%s", code, out.String())
	}
	out.Reset()
	if run(t.Context(), []string{"check", "-c", file}, &out, &out); !strings.Contains(out.String(), "takes the schema of events for 1 topics") {
		t.Errorf("causeway check says\n%s", out.String())
	}
	end()
	if all := stderr.String() + out.String(); strings.Contains(all, password) {
		t.Error("the registry's password was printed")
	}
}
