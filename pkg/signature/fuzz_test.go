package signature

import (
	"net/http"
	"testing"
)

// FuzzVerify gives every kind of scheme a stranger's headers. Nothing but what
// the key signed may pass, and nothing may panic.
func FuzzVerify(f *testing.F) {
	type verifier struct {
		name     string
		compiled *Compiled
		keys     []Key
		good     http.Header
	}
	var all []verifier
	for name, k := range kinds() {
		c := compile(f, k.scheme)
		m := signedBy(f, c, now, k.secret)
		all = append(all, verifier{name, c, keys(f, c, k.secret), m.Header})
		f.Add(m.Header.Get(k.header), m.Header.Get("webhook-timestamp")+m.Header.Get("X-Time"), m.Header.Get("webhook-id"))
	}
	f.Add("t=1,v1=aa", "", "")
	f.Add("v1,", "1614265330", vectorID)
	f.Add("v1a,AA== v1,=", "-1", ".")
	f.Add(",,=,", "\x00", "\xff")
	f.Fuzz(func(t *testing.T, value, at, id string) {
		for _, v := range all {
			m := message()
			for _, name := range []string{"Webhook-Signature", "Svix-Signature", "Sig", "X-Token", "Authorization"} {
				m.Header[name] = []string{value}
			}
			for _, name := range []string{"Webhook-Timestamp", "Svix-Timestamp", "X-Time"} {
				m.Header[name] = []string{at}
			}
			m.Header["Webhook-Id"], m.Header["Svix-Id"] = []string{id}, []string{id}
			if v.compiled.Verify(m, v.keys, now) != nil {
				continue
			}
			// Accepted: then it carries the very signature that was made.
			header := http.CanonicalHeaderKey(v.compiled.Headers()[0])
			if want := v.good.Get(header); !equivalent(value, want) && !carries(v.compiled, value, want) {
				t.Errorf("%s: %q was accepted, signed was %q", v.name, value, want)
			}
		}
	})
}

// carries reports whether both lists have a signature in common.
func carries(c *Compiled, value, want string) bool {
	if c.list == "" {
		return false
	}
	var a, b signatures
	var params [maxParams]string
	if c.split(value, &a, &params) != nil {
		return false
	}
	params = [maxParams]string{}
	if c.split(want, &b, &params) != nil {
		return false
	}
	for _, x := range a.all[:a.n] {
		for _, y := range b.all[:b.n] {
			if equivalent(x.text, y.text) {
				return true
			}
		}
	}
	return false
}
