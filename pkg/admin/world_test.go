package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/secret"
)

// world is a server on a catalog in a file, with a Kafka that is a map.
type world struct {
	*Server
	t       testing.TB
	dir     string
	store   *catalog.File
	logged  *bytes.Buffer
	metrics *prometheus.Registry
	keys    []byte // text of the keyring

	mu     sync.Mutex
	audit  []catalog.AuditRecord
	topics map[string][]int64 // ends by partition
	asked  [][]string         // of Ends
}

func newWorld(t testing.TB, more ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), logged: &bytes.Buffer{}, metrics: prometheus.NewRegistry(), topics: map[string][]int64{}}
	w.keys = keyText(t, "one")
	ring := ringOf(t, w.keys)
	store, err := catalog.OpenFile(filepath.Join(w.dir, "catalog"), catalog.FileOptions{Audit: func(_ context.Context, records []catalog.AuditRecord) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.audit = append(w.audit, records...)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.store = store
	logs := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&locked{Buffer: w.logged}), zapcore.DebugLevel)
	o := Options{
		Catalog: store, Keyring: ring, PublicURL: "https://hooks.example.com", Version: "v1.2.3",
		Health:   health.NewSet(nil),
		Loopback: true,
		Logger:   zap.New(logs), Registerer: w.metrics,
		Rate: 1e6, Burst: 1e6, FailedRate: 1e6, FailedBurst: 1e6, TenantRate: 1e6, TenantBurst: 1e6,
		Checks: catalog.CheckOptions{Options: catalog.Options{
			Resolver: secret.NewResolver().WithKeyring(ring), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"},
			ResolveSources: true, ResolveSubscriptions: true,
		}, SecretsAllow: []string{"env:TEAM_*"}, MaxBody: 1 << 20},
		Ends: func(_ context.Context, topics []string) (map[string][]int64, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked = append(w.asked, topics)
			ends := map[string][]int64{}
			for _, topic := range topics {
				ends[topic] = slices.Clone(w.topics[topic])
			}
			return ends, nil
		},
		Prepare: func(_ context.Context, topics []NewTopic) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, topic := range topics {
				if w.topics[topic.Name] == nil {
					w.topics[topic.Name] = make([]int64, max(1, topic.Partitions))
				}
			}
			return nil
		},
		Topics: func(context.Context) ([]Topic, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			var topics []Topic
			for _, name := range slices.Sorted(maps.Keys(w.topics)) {
				topics = append(topics, Topic{Name: name, Kind: "events", Partitions: len(w.topics[name]), Copies: 1, Records: 7, Lag: new(int64(3))})
			}
			return topics, nil
		},
		Test: func(context.Context, *catalog.Subscription) TestResult {
			return TestResult{OK: true, Status: 204, Took: "3ms"}
		},
	}
	var compiling sync.Mutex
	var compiled *catalog.State
	var live *catalog.Snapshot
	o.Live = func() *catalog.Snapshot {
		compiling.Lock()
		defer compiling.Unlock()
		if state := store.State(); state != compiled {
			compiled, live = state, catalog.NewCompiler(o.Checks.Options).Compile(state)
		}
		return live
	}
	for _, change := range more {
		change(&o)
	}
	w.Server = New(o)
	return w
}

func keyText(t testing.TB, id string) []byte {
	t.Helper()
	key, err := secret.GenerateKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return key.Reveal()
}

func ringOf(t testing.TB, keys ...[]byte) *secret.Keyring {
	t.Helper()
	ring, err := secret.ParseKeyring(secret.New(bytes.Join(keys, []byte(","))))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// locked is a buffer that several may write to.
type locked struct {
	mu sync.Mutex
	*bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// ask is one request to the handler; headers are name, value, name, value.
func (w *world) ask(method, path, key string, body any, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://localhost:8701"+BasePath+path, reader)
	r.RemoteAddr = "127.0.0.1:50000"
	if method != http.MethodGet && method != http.MethodDelete {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	out := httptest.NewRecorder()
	w.Handler().ServeHTTP(out, r)
	w.described(r, out)
	return out
}

// described fails the test for an answer that the description does not have.
func (w *world) described(r *http.Request, out *httptest.ResponseRecorder) {
	w.t.Helper()
	for path, item := range w.api.OpenAPI().Paths {
		op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete}[r.Method]
		form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(path), `\{id\}`, "[^/]+") + "$")
		if op == nil || !form.MatchString(r.URL.Path) {
			continue
		}
		answer := op.Responses[strconv.Itoa(out.Code)]
		if answer == nil {
			w.t.Errorf("%s answered %d, which is not described: %s", op.OperationID, out.Code, out.Body)
			return
		}
		if got := out.Header().Get("Content-Type"); out.Body.Len() > 0 && answer.Content[got] == nil {
			w.t.Errorf("%s answered %d with %s, which is not described", op.OperationID, out.Code, got)
		}
	}
}

// must is ask with an answer that has to have the status; it is read into out.
func must[T any](w *world, status int, method, path, key string, body any, headers ...string) T {
	w.t.Helper()
	var out T
	got := w.ask(method, path, key, body, headers...)
	if got.Code != status {
		w.t.Fatalf("%s %s answered %d, want %d: %s", method, path, got.Code, status, got.Body)
	}
	if got.Body.Len() > 0 {
		if err := json.Unmarshal(got.Body.Bytes(), &out); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, got.Body)
		}
	}
	return out
}

// refusal is ask with an answer that has to be a problem of that code.
func (w *world) refusal(status int, code, method, path, key string, body any, headers ...string) Problem {
	w.t.Helper()
	p := must[Problem](w, status, method, path, key, body, headers...)
	if p.Code != code || p.Status != status || p.Detail == "" || p.Title == "" {
		w.t.Errorf("%s %s: problem %+v, want the code %s", method, path, p, code)
	}
	return p
}

// key makes a key with the roles, of a tenant or "".
func (w *world) key(tenant string, roles ...string) string {
	w.t.Helper()
	return must[Key](w, 201, "POST", "/keys", "", KeyInput{Tenant: tenant, Roles: roles}).Key
}

func (w *world) tenant(name string, sources ...string) {
	w.t.Helper()
	must[Tenant](w, 201, "POST", "/tenants", "", TenantInput{Spec: catalog.TenantSpec{Name: name, Sources: sources}})
}

func (w *world) source(name string) Source {
	w.t.Helper()
	return must[Source](w, 201, "POST", "/sources", "", SourceInput{Spec: catalog.SourceSpec{
		Name: name, Provider: "github", Secrets: []string{"plain:the secret of " + name},
	}})
}

func (w *world) subscription(key, name string, sources ...string) Subscription {
	w.t.Helper()
	return must[Subscription](w, 201, "POST", "/subscriptions", key, SubscriptionInput{Spec: catalog.SubscriptionSpec{
		Name: name, Sources: sources, URL: "https://" + name + ".example.com/hooks",
	}})
}

// actions are the actions that were audited since the last call.
func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var actions []string
	for _, r := range w.audit {
		actions = append(actions, r.Action)
	}
	w.audit = nil
	return actions
}

// files is all that the catalog has on disk.
func (w *world) files() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "catalog"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}
