package ingress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
)

// sized is a body of exactly n bytes that has an ID.
func sized(n int, id string) string {
	head, tail := fmt.Sprintf(`{"id":%q,"pad":"`, id), `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func zipped(t testing.TB, body string) string {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := io.WriteString(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestBodiesAroundTheLimit(t *testing.T) {
	const limit = 100_000
	for _, gzipped := range []bool{false, true} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("gzip %v, chunked %v", gzipped, chunked), func(t *testing.T) {
				src := stripe(t, func(src *catalog.Source) { src.MaxBody, src.Gzip = limit, true })
				inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
					for i, n := range []int{limit - 1, limit, limit + 1} {
						body := sized(n, fmt.Sprintf("evt_%d", i))
						headers := []string{}
						if gzipped {
							body, headers = zipped(w.t, body), []string{"Content-Encoding", "gzip"}
						}
						r := w.signed(src, body, headers...)
						if chunked {
							r.ContentLength = -1
						}
						if n > limit {
							w.expect(r, 413, "body_too_large")
						} else {
							w.expect(r, 200, "received")
						}
					}
					events := w.events(src)
					if len(events) != 2 {
						w.t.Fatalf("%d events, want those at and below the limit", len(events))
					}
					for i, e := range events {
						want := sized(limit-1+i, fmt.Sprintf("evt_%d", i))
						if gzipped {
							want = zipped(w.t, want)
						}
						if string(e.Body) != want || e.ID != fmt.Sprintf("evt_%d", i) || (e.Encoding == "gzip") != gzipped {
							w.t.Errorf("event %d: %s, %q, %d bytes; want the %d bytes that were signed", i, e.ID, e.Encoding, len(e.Body), len(want))
						}
					}
					if used := w.server.bodies.used.Load(); used != 0 {
						w.t.Errorf("%d bytes still accounted for", used)
					}
				})
			})
		}
	}
}

func TestAGzipBombIsSmall(t *testing.T) {
	src := stripe(t, func(src *catalog.Source) { src.Gzip = true })
	bomb := zipped(t, strings.Repeat("0", 200<<20))
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, bomb, "Content-Encoding", "gzip"), 413, "body_too_large")
		for name, body := range map[string]string{
			"cut off": zipped(w.t, "{}")[:12], "no gzip": "{}", "with a tail": zipped(w.t, "{}") + "tail", "empty": "",
		} {
			if got := w.do(w.signed(src, body, "Content-Encoding", "gzip")); got.status != 400 || got.what() != "malformed_body" {
				w.t.Errorf("gzip %s: %d %s", name, got.status, got.what())
			}
		}
		unsigned := w.post("/webhooks/stripe", bomb)
		unsigned.Header.Set("Content-Encoding", "gzip")
		w.expect(unsigned, 401, "invalid_signature") // not looked inside
	})
}

// head is the head of a request to stripe, up to the empty line.
func head(lines ...string) string {
	return "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// talk writes pieces with a wait between them and gives the answer and how long it took.
func talk(t *testing.T, c net.Conn, wait time.Duration, pieces ...string) (*http.Response, time.Duration) {
	t.Helper()
	started := time.Now()
	go func() {
		for _, piece := range pieces {
			if _, err := io.WriteString(c, piece); err != nil {
				return // the server has had enough
			}
			time.Sleep(wait)
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return resp, time.Since(started)
}

func TestBodiesThatDoNotCome(t *testing.T) {
	for name, tc := range map[string]struct {
		pieces []string
		wait   time.Duration
		status int
		code   string
		within time.Duration
	}{
		"stops half way":             {[]string{head("Content-Length: 100"), strings.Repeat("x", 50)}, 0, 408, "body_incomplete", 6 * time.Second},
		"drips a byte a second":      {append([]string{head("Content-Length: 1000")}, strings.Split(strings.Repeat("x", 1000), "")...), time.Second, 408, "body_incomplete", 7 * time.Second},
		"never begins":               {[]string{head("Content-Length: 100")}, 0, 408, "body_incomplete", 6 * time.Second},
		"chunks stop half way":       {[]string{head("Transfer-Encoding: chunked"), "a\r\n01234"}, 0, 408, "body_incomplete", 10 * time.Second},
		"chunks drip":                {append([]string{head("Transfer-Encoding: chunked"), "fff\r\n"}, strings.Split(strings.Repeat("x", 1000), "")...), time.Second, 408, "body_incomplete", 11 * time.Second},
		"chunks that are none":       {[]string{head("Transfer-Encoding: chunked"), "zz\r\n"}, 0, 400, "malformed_body", time.Second},
		"drips where nobody is home": {append([]string{"POST /webhooks/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"}, "x"), time.Second, 404, "unknown_source", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			src := stripe(t)
			inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
				c := w.dial("192.0.2.9:1")
				defer c.Close()
				resp, took := talk(w.t, c, tc.wait, tc.pieces...)
				got := readReply(w.t, resp)
				if got.status != tc.status || got.what() != tc.code || took > tc.within || !resp.Close {
					w.t.Errorf("got %d %s after %v, closing %v; want %d %s within %v and closing", got.status, got.what(), took, resp.Close, tc.status, tc.code, tc.within)
				}
				// Nobody else noticed.
				w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
				if used := w.server.bodies.used.Load(); used != 0 {
					w.t.Errorf("%d bytes still accounted for", used)
				}
			})
		})
	}
}

func TestASlowBodyThatKeepsThePaceIsTaken(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		src := stripe(t)
		inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
			body := sized(20_000, "evt_slow")
			m := signedMessage(w.t, src, body)
			framing := "Content-Length: 20000"
			if chunked {
				framing = "Transfer-Encoding: chunked"
			}
			pieces := []string{head(framing, "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))}
			for ; body != ""; body = body[1250:] {
				pieces = append(pieces, body[:1250])
			}
			if chunked { // one chunk, of which a read does not return in between
				pieces[0] += "4e20\r\n"
				pieces = append(pieces, "\r\n0\r\n\r\n")
			}
			c := w.dial("192.0.2.9:1")
			defer c.Close()
			resp, took := talk(w.t, c, time.Second, pieces...)
			if got := readReply(w.t, resp); got.status != 200 || got.what() != "received" || took < 15*time.Second {
				w.t.Errorf("chunked %v: got %d %s after %v", chunked, got.status, got.what(), took)
			}
		})
	}
}

func TestAClientThatGoesAwayHalfWay(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		c := w.dial("192.0.2.9:1")
		if _, err := io.WriteString(c, head("Content-Length: 100")+"xxx"); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		c.Close()
		synctest.Wait()
		if got := w.metric("causeway_ingress_requests_total", "outcome", "body_incomplete"); got != 1 {
			w.t.Errorf("counted %v times, want once", got)
		}
	})
}

// TestExpectContinue: a client that asks first is spared sending what would be refused.
func TestExpectContinue(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		ask := func(lines ...string) (net.Conn, *bufio.Reader) {
			c := w.dial("192.0.2.9:1")
			go func() { _, _ = io.WriteString(c, head(append(lines, "Expect: 100-continue")...)) }()
			return c, bufio.NewReader(c)
		}
		answer := func(from *bufio.Reader) int {
			resp, err := http.ReadResponse(from, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		c, from := ask("Content-Length: 2000000")
		defer c.Close()
		if got := answer(from); got != 413 {
			w.t.Errorf("a body that would be too large: %d, want 413 at once", got)
		}
		m := signedMessage(w.t, src, `{"id":"evt_1"}`)
		c, from = ask("Content-Length: 14", "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))
		defer c.Close()
		if got := answer(from); got != 100 {
			w.t.Errorf("a body that is welcome: %d, want 100", got)
		}
		go func() { _, _ = io.WriteString(c, `{"id":"evt_1"}`) }()
		if got := answer(from); got != 200 {
			w.t.Errorf("after the body: %d, want 200", got)
		}
	})
}

func TestHeadersThatAreTooLarge(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		c := w.dial("192.0.2.9:1")
		defer c.Close()
		resp, _ := talk(w.t, c, 0, "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX-Big: ", strings.Repeat("x", 1<<20))
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !resp.Close {
			w.t.Errorf("a header of 1 MB: %d, closing %v; want 431 and closing", resp.StatusCode, resp.Close)
		}
		w.expect(w.signed(src, `{"id":"evt_1"}`, "X-Not-So-Big", strings.Repeat("x", 30<<10)), 200, "received")
	})
}

func TestWhatIsNotHTTPIsNobodysEvent(t *testing.T) {
	for name, text := range map[string]string{
		"a TLS hello":         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"garbage":             "\x00\xff\xfe\r\n\r\n",
		"two lengths":         head("Content-Length: 2", "Content-Length: 3") + "{}",
		"length and chunks":   head("Content-Length: 2", "Transfer-Encoding: identity") + "{}",
		"a folded header":     head("X-A: 1\r\n 2: 3\r\nX-\x00B: 4", "Content-Length: 2") + "{}",
		"a header with a NUL": head("X-A: \x00", "Content-Length: 2") + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			src := stripe(t)
			inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
				c := w.dial("192.0.2.9:1")
				defer c.Close()
				resp, _ := talk(w.t, c, 0, text)
				resp.Body.Close()
				if resp.StatusCode < 400 || resp.StatusCode > 501 {
					w.t.Errorf("answered %d", resp.StatusCode)
				}
				w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
			})
		})
	}
}

// TestBodiesInMemoryTogether sends many large bodies at once to a broker that hangs.
func TestBodiesInMemoryTogether(t *testing.T) {
	const each, room = 100_000, 1_000_000
	src := stripe(t)
	inWorld(t, Options{MaxBodyBytes: room}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		got := make(chan reply)
		for i := range 20 {
			go func() { got <- w.do(w.signed(src, sized(each, fmt.Sprint(i)))) }()
		}
		synctest.Wait()
		if used := w.server.bodies.used.Load(); used > room || used < room/2 {
			w.t.Errorf("%d bytes in memory, want at most %d and not much less", used, room)
		}
		release()
		refused := 0
		for range 20 {
			if r := <-got; r.status == 503 && r.what() == "memory_full" && r.header.Get("Retry-After") != "" {
				refused++
			}
		}
		if refused < 10 || refused > 15 {
			w.t.Errorf("%d of 20 refused, want about half", refused)
		}
		w.expect(w.signed(src, sized(each, "after")), 200, "received")
		if used := w.server.bodies.used.Load(); used != 0 {
			w.t.Errorf("%d bytes still accounted for", used)
		}
	})
}

func TestOneBodyIsNeverLargerThanAllTogether(t *testing.T) {
	src := stripe(t, func(src *catalog.Source) { src.MaxBody = 8 << 20 })
	inWorld(t, Options{MaxBodyBytes: 1 << 20}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, sized(1<<20, "evt_1")), 413, "body_too_large")
		if got := w.logs.FilterMessageSnippet("memory for all bodies").Len(); got != 1 {
			w.t.Errorf("%d lines about it, want 1", got)
		}
	})
}

// TestMemoryIsForBytesThatCame opens requests that announce a lot and send little.
func TestMemoryIsForBytesThatCame(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{MaxBodyBytes: 4 << 20}, []*catalog.Source{src}, func(w *world) {
		for i := range 100 {
			c := w.dial(fmt.Sprintf("192.0.2.%d:1", i))
			defer c.Close()
			if _, err := io.WriteString(c, head("Content-Length: 1000000")+"x"); err != nil {
				w.t.Fatal(err)
			}
		}
		synctest.Wait()
		w.expect(w.signed(src, sized(900_000, "evt_1")), 200, "received")
	})
}

func TestMediaTypes(t *testing.T) {
	for text, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "application/cloudevents+json;charset": true,
		"text/xml ;": true, "": false, "json": false, "a/": false, "/b": false, "a b/c": false, "a/b/c": false, "a/b\x00": false,
		"application/x-www-form-urlencoded": true, "a/" + strings.Repeat("b", 300): false,
	} {
		if got := isMediaType(text); got != want {
			t.Errorf("isMediaType(%.40q) = %v, want %v", text, got, want)
		}
	}
}

// FuzzRequest sends arbitrary bytes as a request: whatever comes, there is an answer or
// a closed connection, nothing is stored and no memory stays accounted for.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(head("Content-Length: 2") + "{}"))
	f.Add([]byte(head("Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte(head("Stripe-Signature: t=1,v1=00", "Content-Encoding: gzip", "Content-Length: 3") + "\x1f\x8b\x08"))
	f.Add([]byte(head("X-Forwarded-For: ,,", "Forwarded: for=\"", "Content-Type: /", "Content-Length: 0")))
	src := newSource(f, "stripe", "stripe", provider.Settings{}, func(src *catalog.Source) { src.Gzip, src.AllowCIDRs = true, prefixes("0.0.0.0/0") })
	snapshot := &catalog.Snapshot{Sources: []*catalog.Source{src}}
	s := New(Options{Catalog: func() *catalog.Snapshot { return snapshot }, Client: offline(f), TrustedProxies: prefixes("192.0.2.0/24")})
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http's own business
		}
		r.RemoteAddr = "192.0.2.1:1"
		w := &recorder{header: http.Header{}}
		handler.ServeHTTP(w, r)
		if w.status < 400 || w.status == 500 {
			t.Errorf("answered %d", w.status)
		}
		if used := s.bodies.used.Load(); used != 0 {
			t.Errorf("%d bytes still accounted for", used)
		}
	})
}

// recorder is a response writer that only remembers the status.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
