package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/secret"
)

// liveAPI is the admin API itself, on a catalog in a file and with a Kafka that has
// every topic.
type liveAPI struct {
	*httptest.Server
	server *admin.Server
	mu     sync.Mutex
	asked  []string // method and path
}

func newLiveAPI(t *testing.T) *liveAPI {
	t.Helper()
	l, err := openLiveAPI(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	t.Setenv(envServer, l.URL)
	t.Setenv(envAPIKey, "")
	t.Setenv("TEAM_STRIPE", "whsec_0123456789abcdef0123456789abcdef")
	t.Setenv("TEAM_SHOP", "shop-canary-0123456789")
	t.Chdir(t.TempDir())
	return l
}

// startAPI starts the admin API, and names it in CAUSEWAY_SERVER:
//
//	api
func startAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: api")
	}
	l, err := openLiveAPI(ts.MkAbs("."), false)
	if err != nil {
		ts.Fatalf("start the API: %v", err)
	}
	ts.Defer(l.Close)
	ts.Setenv(envServer, l.URL)
}

// openLiveAPI opens it with what is in that directory. It resolves secrets where its
// environment is that of the test.
func openLiveAPI(dir string, resolve bool) (*liveAPI, error) {
	key, err := secret.GenerateKey("one")
	if err != nil {
		return nil, err
	}
	ring, err := secret.ParseKeyring(key)
	if err != nil {
		return nil, err
	}
	store, err := catalog.OpenFile(filepath.Join(dir, "catalog"), catalog.FileOptions{Audit: unaudited})
	if err != nil {
		return nil, err
	}
	options := catalog.Options{
		Resolver: secret.NewResolver().WithKeyring(ring), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"},
		ResolveSources: resolve, ResolveSubscriptions: resolve,
	}
	compiler := catalog.NewCompiler(options)
	l := &liveAPI{}
	l.server = admin.New(admin.Options{
		Catalog: store, Checks: catalog.CheckOptions{Options: options, SecretsAllow: []string{"env:TEAM_*"}, MaxBody: 1 << 20}, Keyring: ring,
		PublicURL: "https://hooks.example.com", Version: "v1.2.3", Health: health.NewSet(nil), Loopback: true,
		Topics: func(context.Context) ([]admin.Topic, error) {
			return []admin.Topic{{Name: "webhooks.shop", Kind: "events", Partitions: 12, Copies: 3, Records: 7, Lag: new(int64(3))}, {Name: "webhooks.gone", Kind: "events", Missing: true}}, nil
		},
		Test: func(context.Context, *catalog.Subscription) admin.TestResult {
			return admin.TestResult{Status: 500, Took: "3ms", Response: "no\x1b[2J", Checks: []admin.TestCheck{{What: "address", OK: true}, {What: "answer", Text: "500"}}}
		},
		Live: func() *catalog.Snapshot {
			l.mu.Lock()
			defer l.mu.Unlock()
			return compiler.Compile(store.State())
		},
	})
	handler := l.server.Handler()
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.asked = append(l.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, admin.BasePath))
		l.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	return l, nil
}

func unaudited(context.Context, []catalog.AuditRecord) error { return nil }
