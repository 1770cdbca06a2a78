//go:build !race

package signature

import (
	"net/http"
	"testing"
)

// Egress signs every attempt, ingress verifies every request: what they
// allocate, they allocate 50,000 times a second. Not with the race detector,
// under which a sync.Pool loses things on purpose.
func TestAllocations(t *testing.T) {
	for name, want := range map[string]struct{ sign, verify float64 }{
		"standard v1":     {3, 0}, // both values and their slice
		"pairs":           {3, 0},
		"prefix and body": {2, 0},
	} {
		k := kinds()[name]
		c := compile(t, k.scheme)
		held := keys(t, c, k.secret)
		m := &Message{Method: http.MethodPost, Header: http.Header{"Webhook-Id": {vectorID}}, Body: make([]byte, 1024)}
		sign := testing.AllocsPerRun(100, func() {
			if err := c.Sign(m, held, now); err != nil {
				t.Fatal(err)
			}
		})
		verify := testing.AllocsPerRun(100, func() {
			if err := c.Verify(m, held, now); err != nil {
				t.Fatal(err)
			}
		})
		if sign > want.sign || verify > want.verify {
			t.Errorf("%s: %v allocations to sign, %v to verify; want at most %v and %v", name, sign, verify, want.sign, want.verify)
		}
	}
}
