package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWithoutAKey(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		headers      []string
		status       int
		code         string // "": let in
	}{
		"on loopback":                          {"GET", "/sources", nil, 200, ""},
		"by address":                           {"GET", "/sources", []string{"Host", "127.0.0.1:8701"}, 200, ""},
		"by IPv6":                              {"GET", "/sources", []string{"Host", "[::1]:8701"}, 200, ""},
		"by a name of the configuration":       {"GET", "/sources", []string{"Host", "causeway.test"}, 200, ""},
		"a name that was made to lead here":    {"GET", "/sources", []string{"Host", "evil.example.com:8701"}, 403, "host_refused"},
		"a name that looks like ours":          {"GET", "/sources", []string{"Host", "localhost.evil.example.com"}, 403, "host_refused"},
		"localhost with a dot":                 {"GET", "/sources", []string{"Host", "localhost."}, 403, "host_refused"},
		"a page of another site reads":         {"GET", "/sources", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		"a page of a sibling site reads":       {"GET", "/sources", []string{"Sec-Fetch-Site", "same-site"}, 403, "cross_origin"},
		"our own page reads":                   {"GET", "/sources", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8701"}, 200, ""},
		"typed into the address bar":           {"GET", "/sources", []string{"Sec-Fetch-Site", "none"}, 200, ""},
		"an old browser, another site":         {"POST", "/sources/x/pause", []string{"Origin", "https://evil.example.com"}, 403, "cross_origin"},
		"an old browser, a sandboxed page":     {"POST", "/sources/x/pause", []string{"Origin", "null"}, 403, "cross_origin"},
		"an old browser, our own page":         {"GET", "/sources", []string{"Origin", "http://localhost:8701"}, 200, ""},
		"another port of this machine":         {"GET", "/sources", []string{"Origin", "http://localhost:3000"}, 403, "cross_origin"},
		"through a proxy":                      {"GET", "/sources", []string{"X-Forwarded-For", "203.0.113.9"}, 403, "proxied"},
		"through a proxy of RFC 7239":          {"GET", "/sources", []string{"Forwarded", "for=203.0.113.9"}, 403, "proxied"},
		"a proxy that names its port":          {"GET", "/sources", []string{"X-Forwarded-Port", "443"}, 403, "proxied"},
		"a content delivery network":           {"GET", "/sources", []string{"Cf-Connecting-Ip", "203.0.113.9"}, 403, "proxied"},
		"a delivery of another causeway":       {"POST", "/sources", []string{"Webhook-Id", "evt_1"}, 403, "proxied"},
		"the same, of its own headers":         {"POST", "/sources", []string{"Causeway-Attempt", "1"}, 403, "proxied"},
		"a form":                               {"POST", "/sources/x/pause", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"},
		"plain text":                           {"POST", "/sources", []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		"no content type":                      {"POST", "/sources/x/pause", []string{"Content-Type", ""}, 415, "unsupported_media_type"},
		"a key in the query":                   {"GET", "/sources?key=cwk_abc_def", nil, 400, "key_in_url"},
		"a key in the path":                    {"DELETE", "/keys/cwk_abc_def", nil, 400, "key_in_url"},
		"a key in the query, escaped":          {"GET", "/sources?key=%63wk_abc_def", nil, 400, "key_in_url"},
		"a path that is not there":             {"GET", "/nothing", nil, 404, "no_such_path"},
		"a path that would be cleaned":         {"GET", "//sources", nil, 404, "no_such_path"},
		"a method that is not known":           {"PATCH", "/sources", nil, 405, "method_not_allowed"},
		"another way to log in":                {"GET", "/sources", []string{"Authorization", "Basic dTpw"}, 401, "unauthenticated"},
		"a wrong key is worse than none":       {"GET", "/sources", []string{"Authorization", "Bearer cwk_a_b"}, 401, "unauthenticated"},
		"the description":                      {"GET", "/openapi.json", nil, 200, ""},
		"the description, for another site":    {"GET", "/openapi.json", []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross_origin"},
		"the description, with a wrong method": {"POST", "/openapi.json", nil, 404, "no_such_path"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Hosts = []string{"Causeway.test:80"} })
			if tc.code == "" {
				if got := w.ask(tc.method, tc.path, "", nil, tc.headers...); got.Code != tc.status {
					t.Errorf("answered %d: %s", got.Code, got.Body)
				}
				return
			}
			p := w.refusal(tc.status, tc.code, tc.method, tc.path, "", nil, tc.headers...)
			if strings.Contains(p.Detail, "abc_def") || strings.Contains(w.logged.String(), "abc_def") {
				t.Errorf("repeats the key: %s", p.Detail)
			}
		})
	}
}

func TestOnlyLoopbackNeedsNoKey(t *testing.T) {
	w := newWorld(t)
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://localhost"+BasePath+"/sources", nil)
	for _, remote := range []string{"203.0.113.9:1", "[2001:db8::1]:1", "[::ffff:203.0.113.9]:1", "", "pipe"} {
		r.RemoteAddr = remote
		if got := w.serveOne(r); got != 401 {
			t.Errorf("from %q: %d, want 401", remote, got)
		}
	}
	for _, remote := range []string{"127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"} {
		r.RemoteAddr = remote
		if got := w.serveOne(r); got != 200 {
			t.Errorf("from %q: %d, want 200", remote, got)
		}
	}
	open := newWorld(t, func(o *Options) { o.Loopback = false })
	open.refusal(401, "unauthenticated", "GET", "/sources", "", nil)
}

func TestHostsAreNotCheckedBehindALoadBalancer(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	w.refusal(403, "host_refused", "GET", "/sources", key, nil, "Host", "causeway.example.com")
	w.o.Loopback = false
	must[Page[Source]](w, 200, "GET", "/sources", key, nil, "Host", "causeway.example.com", "X-Forwarded-For", "203.0.113.9")
}

func TestEveryAnswerIsHardened(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/sources", "/nothing", "/sources/nobody", "/openapi.json", "/sources?key=cwk_"} {
		got := w.ask("GET", path, "", nil).Header()
		if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(got.Get("Content-Security-Policy"), "default-src 'none'") || got.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := w.ask("PATCH", "/sources/x", "", nil).Header().Get("Allow"); got != "GET, PUT, DELETE" {
		t.Errorf("Allow: %q", got)
	}
	if got := w.ask("GET", "/sources", "wrong", nil).Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("WWW-Authenticate: %q", got)
	}
}

func (w *world) serveOne(r *http.Request) int {
	out := httptest.NewRecorder()
	w.Handler().ServeHTTP(out, r)
	return out.Code
}

// What nginx's proxy_pass sends when nothing else is configured: HTTP/1.0, the address of
// this listener as Host, and no header that tells of a proxy.
func TestABareProxyNeedsAKey(t *testing.T) {
	w := newWorld(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:8701"+BasePath+"/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr, r.Proto, r.ProtoMajor, r.ProtoMinor = "127.0.0.1:1", "HTTP/1.0", 1, 0
	if got := w.serveOne(r); got != 403 {
		t.Errorf("without a key: %d, want 403", got)
	}
	r.Header.Set("Authorization", "Bearer "+w.key("", "admin"))
	if got := w.serveOne(r); got != 200 {
		t.Errorf("with a key: %d, want 200", got)
	}
	r.Header.Del("Authorization")
	r.Proto, r.ProtoMinor = "HTTP/1.1", 1
	r.Header["X-Forwarded-For"] = []string{""}
	if got := w.serveOne(r); got != 403 {
		t.Errorf("with an empty X-Forwarded-For: %d, want 403", got)
	}
}

// Whoever makes noise hides nothing but his own.
func TestARefusalIsNotHiddenBehindOthers(t *testing.T) {
	w := newWorld(t)
	w.tenant("acme")
	noisy, quiet := w.key("acme", "viewer"), w.key("acme", "viewer")
	for range 200 {
		w.refusal(403, "forbidden", "POST", "/keys", noisy, KeyInput{Roles: []string{"admin"}})
	}
	w.refusal(403, "forbidden", "POST", "/keys", quiet, KeyInput{Roles: []string{"admin"}})
	who := map[string]int{}
	for len(w.refused) > 0 {
		who[(<-w.refused).Who]++
	}
	id, _ := parseKey(quiet)
	if len(who) != 2 || who[id] != 1 {
		t.Errorf("audited: %v, want one of %s", who, id)
	}
}
