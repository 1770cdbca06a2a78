package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/secret"
	"causeway/schemas"
)

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func fake(t testing.TB, opts ...srfake.Option) *srfake.Registry {
	t.Helper()
	r := srfake.New(opts...)
	t.Cleanup(r.Close)
	return r
}

func TestEventIsRegisteredOnce(t *testing.T) {
	r := fake(t)
	c := newClient(t, Options{URLs: []string{r.URL()}})
	first, err := c.event(t.Context(), Subject("webhooks.stripe"), true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.event(t.Context(), Subject("webhooks.stripe"), true)
	if err != nil || again != first {
		t.Errorf("registered again: id %d, %v; want %d", again, err, first)
	}
	found, err := c.event(t.Context(), Subject("webhooks.stripe"), false)
	if err != nil || found != first {
		t.Errorf("looked up: id %d, %v; want %d", found, err, first)
	}
	if s, ok := r.GetSchema("webhooks.stripe-value", 1); !ok || s.Schema.Schema != schemas.EventSchema() {
		t.Error("subject webhooks.stripe-value does not hold the schema of events")
	}
	d := schemas.NewDecoder(c.Schema)
	e := &schemas.Event{ID: "1", Source: "stripe", Received: time.Now(), Body: []byte("x")}
	rec, err := e.RegisteredRecord("webhooks.stripe", first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.FromRecord(t.Context(), rec); err != nil || string(got.Body) != "x" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatTheRegistryRefuses(t *testing.T) {
	r := fake(t)
	r.SeedSchema("taken-value", 1, 1, sr.Schema{Schema: `{"type":"record","name":"Other","fields":[{"name":"x","type":"int"}]}`})
	r.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if strings.Contains(q.URL.Path, "taken-value/versions") { // srfake compares no schemas
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"error_code":409,"message":"Schema being registered is incompatible"}`))
			return true
		}
		return false
	})
	c := newClient(t, Options{URLs: []string{r.URL()}})
	_, err := c.event(t.Context(), "taken-value", true)
	want(t, err, "subject taken-value", "incompatible", "another topic", "NONE")
	_, err = c.event(t.Context(), "absent-value", false)
	want(t, err, "subject absent-value", "registry.register: false", "schemas/event.avsc")

	locked := fake(t, srfake.WithAuth("Bearer right"))
	c = newClient(t, Options{URLs: []string{locked.URL()}, Credential: func() (Credential, error) {
		return Credential{Token: secret.New([]byte("wrong-token-of-mine"))}, nil
	}})
	_, err = c.event(t.Context(), "a-value", true)
	want(t, err, "403", "registry.username")
	if strings.Contains(err.Error(), "wrong-token-of-mine") {
		t.Errorf("the error tells the token: %v", err)
	}
}

func want(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error = %v, want one with %q", err, text)
		}
	}
}

func TestCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		credential Credential
		want       string
	}{
		"a token":            {Credential{Token: secret.New([]byte("t\n"))}, "Bearer t"},
		"user and password":  {Credential{Username: "u", Password: secret.New([]byte("p"))}, "Basic dTpw"},
		"the token is first": {Credential{Username: "u", Token: secret.New([]byte("t"))}, "Bearer t"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fake(t, srfake.WithAuth(tc.want))
			c := newClient(t, Options{URLs: []string{r.URL()}, Credential: func() (Credential, error) { return tc.credential, nil }})
			if _, err := c.event(t.Context(), "a-value", true); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whoever answers at the URL may send credentials somewhere else, or send for ever.
func TestAnswersThatAreNotARegistrys(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/schemas/ids/1":
			http.Redirect(w, q, other.URL, http.StatusFound)
		case "/schemas/ids/2":
			http.Error(w, "<html>not here</html>", http.StatusNotFound)
		case "/schemas/ids/3":
			_, _ = w.Write([]byte(`{"schema":"` + strings.Repeat("x", maxAnswer) + `"}`))
		case "/schemas/ids/4":
			http.Error(w, strings.Repeat("x", 100_000), http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	for id, text := range map[int]string{1: "redirects", 2: "no schema registry at", 3: "JSON", 4: "answers 500"} {
		c := newClient(t, Options{URLs: []string{srv.URL}})
		_, err := c.Schema(t.Context(), id)
		want(t, err, text)
		if errors.Is(err, schemas.ErrUnknownID) || len(err.Error()) > 1000 {
			t.Errorf("id %d: %v", id, err)
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

func TestSchemaWithReferences(t *testing.T) {
	r := fake(t)
	r.SeedSchema("customer-value", 1, 1, sr.Schema{Schema: `{"type":"record","name":"shop.Customer","fields":[{"name":"id","type":"int"}]}`})
	r.SeedSchema("order-value", 1, 2, sr.Schema{
		Schema:     `{"type":"record","name":"shop.Order","fields":[{"name":"by","type":"shop.Customer"}]}`,
		References: []sr.SchemaReference{{Name: "shop.Customer", Subject: "customer-value", Version: 1}},
	})
	d := schemas.NewDecoder(newClient(t, Options{URLs: []string{r.URL()}}).Schema)
	if got, err := d.JSON(t.Context(), []byte{0, 0, 0, 0, 2, 14}); err != nil || string(got) != `{"by":{"id":7}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

// bubbled runs a registry's handler inside a bubble, where its pauses cost nothing.
func bubbled(t *testing.T, handler http.Handler, test func(*testing.T, *Client)) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		srv := &http.Server{Handler: handler}
		ln := b.Listen(t, "127.0.0.1:8081")
		go func() { _ = srv.Serve(ln) }()
		defer srv.Close()
		c := newClient(t, Options{URLs: []string{"http://127.0.0.1:8081"}})
		c.http.Transport.(*authorized).next.(*http.Transport).DialContext = b.Net().DialContext
		c.http.Transport.(*authorized).next.(*http.Transport).Proxy = nil
		defer c.CloseIdle()
		test(t, c)
	})
}

func TestUnknownIDIsAskedForAgainBeforeItIsBelieved(t *testing.T) {
	asked := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if asked++; q.URL.Path == "/schemas/ids/5" && asked >= 3 {
			_, _ = w.Write([]byte(`{"schema":"\"string\""}`))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error_code":40403,"message":"Schema not found"}`))
	})
	bubbled(t, handler, func(t *testing.T, c *Client) {
		if s, err := c.Schema(t.Context(), 5); err != nil || s.Text != `"string"` {
			t.Errorf("an id that a second node hears of later: %+v, %v", s, err)
		}
		asked = 0
		began := time.Now()
		if _, err := c.Schema(t.Context(), 6); !errors.Is(err, schemas.ErrUnknownID) {
			t.Errorf("error = %v", err)
		}
		if took := time.Since(began); asked != 4 || took != 7*time.Second {
			t.Errorf("asked %d times in %s", asked, took)
		}
		// Once it is certain, each record costs one question, and no time.
		asked, began = 0, time.Now()
		if _, err := c.Schema(t.Context(), 6); !errors.Is(err, schemas.ErrUnknownID) || asked != 1 || time.Since(began) > time.Second {
			t.Errorf("error %v after %d questions in %s", err, asked, time.Since(began))
		}
	})
}

func TestFailingRegistryIsLeftAlone(t *testing.T) {
	var asked atomic.Int32
	var broken atomic.Bool
	broken.Store(true)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if broken.Load() {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(`{"schema":"\"string\""}`))
	})
	bubbled(t, handler, func(t *testing.T, c *Client) {
		for range 600 { // ten minutes
			if _, err := c.Schema(t.Context(), 1); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Second)
		}
		if n := asked.Load(); n < 10 || n > 40 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		broken.Store(false)
		time.Sleep(31 * time.Second)
		if _, err := c.Schema(t.Context(), 1); err != nil {
			t.Error(err)
		}
		// A caller who gives up says nothing about the registry.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = c.Schema(gone, 2)
		if _, err := c.Schema(t.Context(), 3); err != nil {
			t.Error(err)
		}
	})
}

func TestRegistrationGoesOnTrying(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	registered := srfake.NewRegistry()
	handler := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		registered.Handler().ServeHTTP(w, q)
	})
	bubbled(t, handler, func(t *testing.T, c *Client) {
		set := health.NewSet(nil)
		topics := []string{"webhooks.a", "webhooks.b"}
		var own []int
		g := NewRegistration(RegistrationOptions{
			Client: c, Topics: func() []string { return topics }, Register: true, Own: func(id int) { own = append(own, id) },
			Health: set, Logger: zap.NewNop(),
		})
		if _, err := g.ID("webhooks.a"); !errors.Is(err, errPending) {
			t.Errorf("before it runs: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		time.Sleep(time.Minute)
		_, err := g.ID("webhooks.a")
		want(t, err, "subject webhooks.a-value", "502")
		if ready, failing := set.Ready(); !ready || len(failing) != 1 || !strings.Contains(failing[0].Text, "webhooks.b-value") {
			t.Errorf("ready %v, failing %+v", ready, failing)
		}
		broken.Store(false)
		time.Sleep(16 * time.Second)
		for _, topic := range topics {
			if id, err := g.ID(topic); err != nil || id == 0 {
				t.Errorf("%s: id %d, %v", topic, id, err)
			}
		}
		if _, failing := set.Ready(); len(failing) > 0 || len(own) != 2 {
			t.Errorf("failing %+v, own ids %v", failing, own)
		}
		// Away again: nobody notices.
		broken.Store(true)
		time.Sleep(time.Minute)
		if _, err := g.ID("webhooks.a"); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTLS(t *testing.T) {
	r := srfake.NewRegistry()
	srv := httptest.NewUnstartedServer(r.Handler())
	// Since TLS 1.3 a client hears of its missing certificate behind its first write, which
	// may break before it has read why.
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	_, err := newClient(t, Options{URLs: []string{srv.URL}, TLS: conf}).event(t.Context(), "a-value", true)
	want(t, err, "does not answer", "tls: handshake failure")
	asked := 0
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked++
		return &srv.TLS.Certificates[0], nil
	}
	if _, err := newClient(t, Options{URLs: []string{srv.URL}, TLS: conf}).event(t.Context(), "a-value", true); err != nil || asked == 0 {
		t.Error(asked, err)
	}
}

func TestNextURLIsAskedWhenOneDoesNotAnswer(t *testing.T) {
	r := fake(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := newClient(t, Options{URLs: []string{gone.URL, r.URL()}})
	if _, err := c.event(t.Context(), "a-value", true); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	r := fake(t)
	c := newClient(t, Options{URLs: []string{r.URL()}})
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if errs := c.Check(t.Context(), []string{"a"}, true); len(errs) > 0 {
		t.Error(errs)
	}
	if errs := c.Check(t.Context(), []string{"a"}, false); len(errs) != 1 {
		t.Errorf("not registered and not to be: %v", errs)
	}
	if r.SubjectExists("a-value") {
		t.Error("a check has registered something")
	}
	if _, err := c.event(t.Context(), "a-value", true); err != nil {
		t.Fatal(err)
	}
	if errs := c.Check(t.Context(), []string{"a"}, true); len(errs) > 0 {
		t.Error(errs)
	}
}
