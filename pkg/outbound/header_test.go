package outbound

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// What the transport will not send is our fault and must look like it; what it does send
// must not.
func TestHeadersThatCannotBeSent(t *testing.T) {
	hits := atomic.Int64{}
	s := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	c := newClient(t, dev())
	for name, tc := range map[string]struct {
		name, value string
		ok          bool
	}{
		"plain":                     {"X-Id", "evt_1", true},
		"every token character":     {"a1!#$%&'*+-.^_`|~Z", "x", true},
		"a tab in a value":          {"X-Id", "a\tb", true},
		"other alphabets":           {"X-Id", "bücher", true},
		"bytes that are no UTF-8":   {"X-Id", "\xff\xfe", true},
		"an empty value":            {"X-Id", "", true},
		"a line break in a value":   {"X-Id", "a\r\nX-Admin: 1", false},
		"a zero in a value":         {"X-Id", "a\x00b", false},
		"a delete in a value":       {"X-Id", "a\x7fb", false},
		"a colon in a name":         {"X:Y", "a", false},
		"a space in a name":         {"X Y", "a", false},
		"an empty name":             {"", "a", false},
		"a name in other alphabets": {"Bücher", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			hits.Store(0)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header[tc.name] = []string{tc.value}
			resp, err := c.Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != tc.ok || errors.Is(err, ErrRefused) == tc.ok || hits.Load() == 0 == tc.ok {
				t.Errorf("Do = %v after %d requests, want ok %v", err, hits.Load(), tc.ok)
			}
		})
	}
}
