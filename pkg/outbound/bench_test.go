package outbound

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The way out beside a bare http.Client, on loopback, many at once, 1 KiB bodies. The
// check of the address is paid for each connection, so the two should not differ.
func BenchmarkDo(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(s.Close)
	body := bytes.Repeat([]byte("x"), 1024)
	o := dev()
	o.MaxIdlePerHost = 256
	guarded := New(o)
	bare := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	for name, do := range map[string]func(*http.Request) (*http.Response, error){"guarded": guarded.Do, "bare": bare.Do} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL, bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					resp, err := do(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkCheck is what a new connection pays.
func BenchmarkCheck(b *testing.B) {
	g := newGuard(Options{})
	addrs, _ := addrs("8.8.8.8", "2606:4700::1")(b.Context(), "")
	b.ReportAllocs()
	for b.Loop() {
		if err := g.checkAll("hooks.example", addrs, 443); err != nil {
			b.Fatal(err)
		}
	}
}
