package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// fakeAPI answers as the admin API does, for what its own tests cannot be made to do:
// answers that get lost, versions that others changed. It knows subscriptions and apply.
type fakeAPI struct {
	t       *testing.T
	mu      sync.Mutex
	subs    map[string]admin.Subscription
	version int64
	asked   []string                                          // method and path
	bodies  []string                                          // of what was sent
	first   func(w http.ResponseWriter, r *http.Request) bool // true: answered
	plan    admin.Applied
	url     string
}

func newFakeAPI(t *testing.T) *fakeAPI {
	f := &fakeAPI{t: t, subs: map[string]admin.Subscription{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	t.Setenv(envServer, f.url)
	t.Setenv(envAPIKey, "")
	t.Chdir(t.TempDir())
	return f
}

// begin lets the next requests be answered otherwise, once those under way are.
func (f *fakeAPI) begin(first func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = first
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		f.t.Error(err)
	}
	path := strings.TrimPrefix(r.URL.Path, admin.BasePath)
	f.asked, f.bodies = append(f.asked, r.Method+" "+path), append(f.bodies, body.String())
	if f.first != nil && f.first(w, r) {
		return
	}
	var in admin.SubscriptionInput
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.Unmarshal(body.Bytes(), &in); err != nil && path != "/apply" {
			f.t.Error(err)
		}
	}
	name := strings.TrimPrefix(path, "/subscriptions/")
	sub, known := f.subs[name]
	for _, s := range f.subs {
		if s.UID == name {
			sub, known = s, true
		}
	}
	switch {
	case path == "/apply":
		f.answer(w, http.StatusOK, f.plan)
	case path == "/subscriptions" && r.Method == http.MethodGet:
		f.list(w, r)
	case path == "/subscriptions":
		f.version++
		sub = admin.Subscription{Meta: admin.Meta{UID: "uid-" + in.Spec.Name, Version: f.version, Tenant: in.Tenant, Created: time.Now(), Changed: time.Now()}, Spec: in.Spec}
		sub.Spec.Secrets = sealedAsShown(in.Spec.Secrets)
		f.subs[in.Spec.Name] = sub
		if len(in.Spec.Secrets) == 0 {
			sub.Secret = "whsec_shown-once"
		}
		f.answer(w, http.StatusCreated, sub)
	case !known:
		f.problem(w, admin.Problem{Status: 404, Code: "not_found", Detail: "there is no such subscription"})
	case r.Method == http.MethodGet:
		f.answer(w, http.StatusOK, sub)
	case r.Method == http.MethodPut && r.Header.Get("If-Match") != fmt.Sprintf("%q", fmt.Sprint(sub.Version)):
		f.problem(w, admin.Problem{Status: 412, Code: "stale", Detail: "the entry was changed meanwhile"})
	case r.Method == http.MethodPut:
		f.version++
		sub.Version, sub.Spec = f.version, in.Spec
		f.subs[sub.Spec.Name] = sub
		f.answer(w, http.StatusOK, sub)
	case r.Method == http.MethodDelete:
		delete(f.subs, sub.Spec.Name)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.t.Errorf("the fake knows no %s %s", r.Method, path)
		w.WriteHeader(http.StatusNotImplemented)
	}
}

func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	page := admin.Page[admin.Subscription]{Items: []admin.Subscription{}}
	for _, s := range f.subs {
		if strings.HasPrefix(s.Spec.Name, q.Get("prefix")) && (q.Get("tenant") == "" || q.Get("tenant") == s.Tenant) {
			page.Items = append(page.Items, s)
		}
	}
	f.answer(w, http.StatusOK, page)
}

func sealedAsShown(secrets []string) []string {
	var shown []string
	for _, s := range secrets {
		if strings.HasPrefix(s, "plain:") {
			s = "sealed:k1#0a1b2c3d"
		}
		shown = append(shown, s)
	}
	return shown
}

func (f *fakeAPI) answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeAPI) problem(w http.ResponseWriter, p admin.Problem) { f.answer(w, p.Status, p) }

// spec is the one that was sent last.
func (f *fakeAPI) spec() catalog.SubscriptionSpec {
	f.t.Helper()
	var in admin.SubscriptionInput
	if err := json.Unmarshal([]byte(f.bodies[len(f.bodies)-1]), &in); err != nil {
		f.t.Fatal(err)
	}
	return in.Spec
}

// result is what a verb did.
type result struct {
	code     int
	out, err string
}

// causeway runs a verb with that standard input.
func causeway(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	in, err := os.CreateTemp(t.TempDir(), "stdin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = was }()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return result{code, out.String(), errs.String()}
}

// want checks a result: its code, and texts that it must hold.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stdout %q, stderr %q", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("no %q in %q, %q", text, r.out, r.err)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
