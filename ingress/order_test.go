package ingress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/signature"
)

// TestOrderOfChecks sends requests with everything wrong with them from some check on:
// the first check that fails must be the one that answers.
func TestOrderOfChecks(t *testing.T) {
	src := newSource(t, "s", "stripe", provider.Settings{}, func(src *catalog.Source) {
		src.AllowCIDRs, src.MaxBody, src.Rate = prefixes("192.0.2.0/24"), 20, 0.001
	})
	const (
		badSource = 1 << iota
		badAddress
		badMethod
		badAddressRate
		badSize
		badSignature
		badRate
		badStorage
	)
	codes := []string{
		"unknown_source", "address_not_allowed", "method_not_allowed", "address_rate_exceeded", "body_too_large",
		"invalid_signature", "source_rate_exceeded", "storage_full",
	}
	for i, want := range codes {
		t.Run(want, func(t *testing.T) {
			wrong := 0xff &^ (1<<i - 1) // this and all that come after
			var storage error
			o := Options{Writable: func() error { return storage }}
			if wrong&badAddressRate != 0 {
				o.AddressRate, o.AddressBurst = 0.001, 1
			}
			inWorld(t, o, []*catalog.Source{src}, func(w *world) {
				if wrong&badRate != 0 {
					w.expect(w.signed(src, `{"id":"0"}`), 200, "received") // all that the rates allow
				}
				if wrong&badStorage != 0 {
					storage = errors.New("disk full")
				}
				body := `{"id":"1"}`
				if wrong&badSize != 0 {
					body = strings.Repeat("x", 21)
				}
				r := w.signed(src, body)
				if wrong&badSource != 0 {
					r.URL.Path = "/webhooks/nobody"
				}
				if wrong&badMethod != 0 {
					r.Method = http.MethodPut
				}
				if wrong&badSignature != 0 {
					r.Header.Set("Stripe-Signature", "t=1,v1=00")
				}
				if wrong&badAddress != 0 {
					src.AllowCIDRs = prefixes("203.0.113.0/24")
					defer func() { src.AllowCIDRs = prefixes("192.0.2.0/24") }()
				}
				if got := w.do(r); got.what() != want {
					w.t.Errorf("answered %d %s, want %s", got.status, got.what(), want)
				}
			})
		})
	}
}

func TestUnsignedJunkUsesUpNothingOfASource(t *testing.T) {
	src := stripe(t, func(src *catalog.Source) { src.Rate = 5 })
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		for range 500 {
			w.expect(w.post("/webhooks/stripe", `{"id":"junk"}`), 401, "invalid_signature")
		}
		for i := range 5 {
			w.expect(w.signed(src, fmt.Sprintf(`{"id":"evt_%d"}`, i)), 200, "received")
		}
		r := w.expect(w.signed(src, `{"id":"evt_5"}`), 429, "source_rate_exceeded")
		if got := r.header.Get("Retry-After"); got != "1" {
			w.t.Errorf("Retry-After %q, want 1", got)
		}
		time.Sleep(time.Second)
		w.expect(w.signed(src, `{"id":"evt_5"}`), 200, "received")
	})
}

func TestTheRateOfASourceOutlivesItsOtherSettings(t *testing.T) {
	slow := func(src *catalog.Source) { src.Rate = 1.0 / 60 }
	one, two := stripe(t, slow), stripe(t, slow)
	snapshot := &catalog.Snapshot{Sources: []*catalog.Source{one}}
	inWorld(t, Options{Catalog: func() *catalog.Snapshot { return snapshot }}, []*catalog.Source{one}, func(w *world) {
		w.expect(w.signed(one, `{"id":"evt_1"}`), 200, "received")
		if r := w.do(w.signed(one, `{"id":"evt_2"}`)); r.header.Get("Retry-After") != "60" {
			w.t.Errorf("Retry-After %q, want 60", r.header.Get("Retry-After"))
		}
		before := w.server.source("stripe")
		snapshot = &catalog.Snapshot{Sources: []*catalog.Source{two}}
		w.expect(w.signed(two, `{"id":"evt_2"}`), 429, "source_rate_exceeded")
		if after := w.server.source("stripe"); after == before || after.inFlight != before.inFlight {
			w.t.Error("what is in flight to the topic was forgotten")
		}
		snapshot = &catalog.Snapshot{}
		w.expect(w.signed(two, `{"id":"evt_2"}`), 404, "unknown_source")
		if got := w.metric("causeway_ingress_requests_total", "source", "stripe"); got != 0 {
			w.t.Errorf("a source that is gone still has series, of %v", got)
		}
	})
}

func TestOneAddressDoesNotSlowAnother(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{AddressRate: 1, AddressBurst: 3, TrustedProxies: prefixes("192.0.2.1/32")}, []*catalog.Source{src}, func(w *world) {
		from := func(addr, id string) *http.Request {
			return w.signed(src, `{"id":"`+id+`"}`, "X-Forwarded-For", addr)
		}
		for range 3 {
			w.expect(from("198.51.100.1", "a"), 200, w.first("a"))
		}
		r := w.expect(from("198.51.100.1", "a"), 429, "address_rate_exceeded")
		if r.header.Get("Retry-After") == "" {
			w.t.Error("no Retry-After")
		}
		w.expect(from("198.51.100.2", "b"), 200, "received")
		time.Sleep(time.Second)
		w.expect(from("198.51.100.1", "c"), 200, "received")
	})
}

// first is what the answer for an ID must be: received once, then already_processed.
func (w *world) first(id string) string {
	if w.sent[id] {
		return "already_processed"
	}
	if w.sent == nil {
		w.sent = map[string]bool{}
	}
	w.sent[id] = true
	return "received"
}

func TestAllowCIDRsBehindATrustedProxy(t *testing.T) {
	src := stripe(t, func(src *catalog.Source) { src.AllowCIDRs = prefixes("203.0.113.0/24") })
	inWorld(t, Options{TrustedProxies: prefixes("192.0.2.0/24")}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"1"}`, "X-Forwarded-For", "203.0.113.5"), 200, "received")
		w.expect(w.signed(src, `{"id":"2"}`, "X-Forwarded-For", "203.0.113.5, 198.51.100.1"), 403, "address_not_allowed")
		w.expect(w.signed(src, `{"id":"3"}`, "X-Forwarded-For", "nonsense"), 403, "address_not_allowed")
		w.expect(w.signed(src, `{"id":"4"}`), 403, "address_not_allowed")
		c := w.dial("198.51.100.9:1") // no proxy of ours
		defer c.Close()
		resp, _ := talk(w.t, c, 0, head("X-Forwarded-For: 203.0.113.5", "Content-Length: 2")+"{}")
		if got := readReply(w.t, resp); got.what() != "address_not_allowed" {
			w.t.Errorf("a forged header got %d %s", got.status, got.what())
		}
	})
}

func TestAHandshake(t *testing.T) {
	src := newSource(t, "slack", "slack", provider.Settings{}, func(src *catalog.Source) { src.Gzip = true })
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		if r := w.do(w.signed(src, zipped(w.t, `{"type":"url_verification","challenge":"abc"}`), "Content-Encoding", "gzip")); r.text != "abc" {
			w.t.Errorf("compressed, it was answered %d %q", r.status, r.text)
		}
		r := w.do(w.signed(src, `{"type":"url_verification","challenge":"<b>abc</b>"}`))
		if r.status != 200 || r.text != "<b>abc</b>" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") || r.header.Get("X-Content-Type-Options") != "nosniff" {
			w.t.Errorf("answered %d %q %v", r.status, r.text, r.header)
		}
		w.expect(w.post("/webhooks/slack", `{"type":"url_verification","challenge":"abc"}`), 401, "invalid_signature")
		if len(w.events(src)) != 0 {
			w.t.Error("a handshake became an event")
		}
		// Slack shows the body of an answer to whoever typed the command.
		if r := w.do(w.signed(src, `{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`)); r.status != 200 || r.text != "" {
			w.t.Errorf("an event was answered %d %q, want 200 and nothing", r.status, r.text)
		}
		if got := w.metric("causeway_ingress_requests_total", "outcome", "handshake"); got != 2 {
			w.t.Errorf("%v handshakes counted, want 2", got)
		}
	})
}

func TestAProviderThatWaitsLessIsToldEarlier(t *testing.T) {
	src := newSource(t, "slack", "slack", provider.Settings{})
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		defer w.hold()()
		started := time.Now()
		w.expect(w.signed(src, `{"type":"event_callback","event_id":"Ev1"}`), 503, "not_acknowledged")
		if took := time.Since(started); took >= 3*time.Second {
			w.t.Errorf("answered after %v; Slack waits 3s", took)
		}
	})
}

func TestASecretThatComesBack(t *testing.T) {
	src := stripe(t)
	keys := src.Keys
	var gone error
	src.Keys = func() ([]signature.Key, error) {
		if gone != nil {
			return nil, gone
		}
		return keys()
	}
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		r := w.signed(src, `{"id":"1"}`)
		gone = errors.New("file:/run/secrets/stripe: no such file")
		w.expect(r, 503, "secret_unavailable")
		gone = nil
		w.expect(w.signed(src, `{"id":"1"}`), 200, "received")
	})
}
