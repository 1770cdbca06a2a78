package outbound

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// dev allows what tests have: loopback and http.
func dev() Options { return Options{AllowLoopback: true, AllowHTTP: true} }

// names is a Lookup that knows every name as one address.
func names(addr string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(addr)}, nil
	}
}

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c := New(o)
	t.Cleanup(c.CloseIdle)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func post(t *testing.T, c *Client, url string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"id":1}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

func TestSends(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || string(body) != `{"id":1}` {
			t.Errorf("received %s %q, %v", r.Method, body, err)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	resp, err := post(t, newClient(t, dev()), s.URL)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("Do = %v, %v", resp, err)
	}
}

// closer notices that a request's body was closed, as RoundTrip promises.
type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestRequestsRefused(t *testing.T) {
	hits := atomic.Int64{}
	s := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for name, tc := range map[string]struct {
		o    Options
		url  string
		says string
	}{
		"loopback by default":       {Options{AllowHTTP: true}, s.URL, "loopback"},
		"a name for loopback":       {Options{AllowHTTP: true, Lookup: names("127.0.0.1")}, "http://hooks.example", "loopback"},
		"http by default":           {Options{AllowLoopback: true}, s.URL, "allow_http"},
		"a scheme of another world": {dev(), "ftp://127.0.0.1/", "ftp"},
		"no scheme":                 {dev(), "//127.0.0.1/", "https"},
		"a user in the URL":         {dev(), strings.Replace(s.URL, "//", "//user:hunter2@", 1), "user name"},
		"port zero":                 {dev(), "http://127.0.0.1:0/", "port"},
		"own listener": {
			Options{AllowLoopback: true, AllowHTTP: true, Forbidden: Own(netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://")))},
			s.URL, "own listeners",
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closer{Reader: strings.NewReader("x")}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tc.url+"?token=hunter2", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := newClient(t, tc.o).Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("Do = %v, want ErrRefused", err)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q should say %q and no secret", err, tc.says)
			}
			if !body.closed {
				t.Error("the request's body was left open")
			}
		})
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests arrived all the same", hits.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	hits := atomic.Int64{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
	})
	resp, err := post(t, newClient(t, dev()), s.URL)
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || hits.Load() != 1 {
		t.Fatalf("Do = %v, %v after %d requests, want the 307 itself", resp, err, hits.Load())
	}
}

// net/http exempts loopback from proxies by its address, so the receiver has a name here.
func TestProxiesInTheEnvironmentAreIgnored(t *testing.T) {
	viaProxy := atomic.Int64{}
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { viaProxy.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	direct := atomic.Int64{}
	s := serve(t, func(http.ResponseWriter, *http.Request) { direct.Add(1) })
	o := dev()
	o.Lookup = names("127.0.0.1")
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	if _, err := post(t, newClient(t, o), "http://hooks.example:"+port); err != nil {
		t.Fatal(err)
	}
	if viaProxy.Load() != 0 || direct.Load() != 1 {
		t.Errorf("%d requests went through the proxy and %d directly, want 0 and 1", viaProxy.Load(), direct.Load())
	}
}

func TestNothingIsDecompressed(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("asked for %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	})
	resp, err := post(t, newClient(t, dev()), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) > 4096 || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d bytes, %q, %v; want the thousand bytes as sent", len(body), resp.Header, err)
	}
}

func TestHugeResponseHeader(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("x", maxResponseHeader+1))
	})
	if _, err := post(t, newClient(t, dev()), s.URL); err == nil || errors.Is(err, ErrRefused) {
		t.Fatalf("Do = %v, want an error that is the receiver's fault", err)
	}
}

func TestEndlessResponseHeader(t *testing.T) {
	l := listen(t)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		for err == nil { // until the client hangs up
			_, err = io.WriteString(conn, "X-More: "+strings.Repeat("x", 1000)+"\r\n")
		}
	}()
	if _, err := post(t, newClient(t, dev()), "http://"+l.Addr().String()); err == nil {
		t.Fatal("Do returned a response to a header without an end")
	}
}

// A body without an end must cost what is read of it, and closing must not wait for more.
func TestEndlessResponseBody(t *testing.T) {
	over := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(over)
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	resp, err := post(t, newClient(t, dev()), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, resp.Body, 4096); n != 4096 {
		t.Fatalf("read %d, %v", n, err)
	}
	_ = resp.Body.Close()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Error("the receiver still writes ten seconds after the body was closed")
	}
}

func TestContextEndsARequest(t *testing.T) {
	gone := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := newClient(t, dev()).Do(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Do = %v, %v, want the deadline", resp, err)
	}
	<-gone
}

func TestConnectionsAreReused(t *testing.T) {
	remotes := map[string]bool{}
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { remotes[r.RemoteAddr] = true })
	lookups := atomic.Int64{}
	o := dev()
	o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		lookups.Add(1)
		return names("127.0.0.1")(ctx, host)
	}
	c := newClient(t, o)
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	for range 5 {
		resp, err := post(t, c, "http://hooks.example:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	if len(remotes) != 1 || lookups.Load() != 1 {
		t.Errorf("%d connections and %d lookups for five requests, want one of each", len(remotes), lookups.Load())
	}
	c.CloseIdle()
	if _, err := post(t, c, "http://hooks.example:"+port); err != nil || lookups.Load() != 2 {
		t.Errorf("after CloseIdle %d lookups, %v: a new connection is a new check", lookups.Load(), err)
	}
}

func TestTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		server  *tls.Config
		trusted bool
		host    string
		ok      bool
	}{
		"TLS 1.3":              {&tls.Config{MinVersion: tls.VersionTLS13}, true, "example.com", true},
		"TLS 1.2":              {&tls.Config{MaxVersion: tls.VersionTLS12}, true, "example.com", true},
		"TLS 1.1 is too old":   {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true, "example.com", false},
		"an unknown authority": {&tls.Config{}, false, "example.com", false},
		"another's name":       {&tls.Config{}, true, "hooks.test", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
			s.TLS = tc.server
			s.EnableHTTP2 = tc.server.MaxVersion != tls.VersionTLS11 // HTTP/2 would refuse it by itself
			s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
			s.StartTLS()
			t.Cleanup(s.Close)
			o := Options{AllowLoopback: true, Lookup: names("127.0.0.1"), RootCAs: x509.NewCertPool()}
			if tc.trusted {
				o.RootCAs.AddCert(s.Certificate())
			}
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := post(t, newClient(t, o), "https://"+net.JoinHostPort(tc.host, u.Port()))
			if (err == nil) != tc.ok || errors.Is(err, ErrRefused) {
				t.Fatalf("Do = %v, want ok %v", err, tc.ok)
			}
			if err != nil {
				return
			}
			if body, err := io.ReadAll(resp.Body); string(body) != "HTTP/2.0" {
				t.Errorf("spoke %q, %v; want HTTP/2.0", body, err)
			}
		})
	}
}

func TestNoStateIsSharedWithTheDefaultClient(t *testing.T) {
	c := New(Options{})
	if c.transport == http.DefaultTransport || c.transport.Proxy != nil {
		t.Error("the transport is the default one or has a proxy")
	}
}
