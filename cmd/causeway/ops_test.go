package main

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/pkg/health"
)

// A page whose name was made to lead to this machine reads nothing of a loopback
// listener.
func TestOpsOnLoopbackHasNoName(t *testing.T) {
	reg := prometheus.NewRegistry()
	for host, want := range map[string]int{
		"localhost:8702": 200, "127.0.0.1:8702": 200, "[::1]:8702": 200, "": 200, "metrics.internal:8702": 200,
		"evil.example.com": 403, "evil.example.com:8702": 403, "localhost.evil.example.com": 403,
	} {
		for local, want := range map[bool]int{true: want, false: 200} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
			r.Host = host
			out := httptest.NewRecorder()
			newOps(reg, health.NewSet(nil), opsConfig{Hosts: []string{"Metrics.internal"}}, local).Handler.ServeHTTP(out, r)
			if out.Code != want {
				t.Errorf("Host %q, on loopback %v: %d, want %d", host, local, out.Code, want)
			}
		}
	}
}
