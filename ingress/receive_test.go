package ingress

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/signature"
)

func TestAWebhookIsStoredOnce(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		body := `{"id":"evt_1","type":"invoice.paid","created":946684800,"data":{}}`
		got := w.expect(w.signed(src, body, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), 200, "received")
		if got.text != `{"status":"received","id":"evt_1"}`+"\n" {
			t.Errorf("answer %q", got.text)
		}
		w.expect(w.signed(src, body), 200, "already_processed")

		events := w.events(src)
		if len(events) != 1 {
			t.Fatalf("%d records, want 1", len(events))
		}
		e := events[0]
		if e.ID != "evt_1" || e.Source != "stripe" || e.Type != "invoice.paid" || string(e.Body) != body ||
			e.ContentType != "application/json" || e.VerifiedBy != "stripe" || len(e.Identity) != 32 ||
			e.Traceparent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
			t.Errorf("stored %+v", e)
		}
		if !e.Occurred.Equal(time.Unix(946684800, 0)) || time.Since(e.Received) > time.Second {
			t.Errorf("occurred %v, received %v", e.Occurred, e.Received)
		}
		if key := string(w.records(src.Topic)[0].Key); key != "evt_1" {
			t.Errorf("key %q, want the event ID", key)
		}
		for outcome, want := range map[string]float64{"received": 1, "already_processed": 1} {
			if got := w.metric("causeway_ingress_requests_total", "source", "stripe", "outcome", outcome); got != want {
				t.Errorf("%s counted %v times, want %v", outcome, got, want)
			}
		}
	})
}

// door is sources of all kinds, for requests that none of them wants.
func door(t *testing.T) map[string]*catalog.Source {
	none := provider.Settings{}
	return map[string]*catalog.Source{
		"stripe": stripe(t),
		"fenced": newSource(t, "fenced", "stripe", none, func(src *catalog.Source) { src.AllowCIDRs = prefixes("203.0.113.0/24") }),
		"small":  newSource(t, "small", "stripe", none, func(src *catalog.Source) { src.MaxBody = 16 }),
		"zipped": newSource(t, "zipped", "stripe", none, func(src *catalog.Source) { src.Gzip = true }),
		"locked": newSource(t, "locked", "stripe", none, func(src *catalog.Source) {
			src.Keys = func() ([]signature.Key, error) { return nil, errors.New("env:GONE is not set") }
		}),
	}
}

func TestRefusals(t *testing.T) {
	sources := door(t)
	// at signs as of another time than now.
	at := func(w *world, d time.Duration) *http.Request {
		src := sources["stripe"]
		m := &signature.Message{Method: "POST", URL: "/webhooks/stripe", Header: http.Header{}, Body: []byte("{}")}
		keys, _ := src.Keys()
		if err := src.Provider.Sign(m, keys, time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		r := w.post(m.URL, "{}")
		r.Header = m.Header
		return r
	}
	for name, tc := range map[string]struct {
		request func(w *world) *http.Request
		status  int
		code    string
		header  string // "Name: value" that the answer must have
	}{
		"another path":           {func(w *world) *http.Request { return w.post("/", "{}") }, 404, "not_found", ""},
		"no source":              {func(w *world) *http.Request { return w.post("/webhooks/", "{}") }, 404, "not_found", ""},
		"a path below a source":  {func(w *world) *http.Request { return w.post("/webhooks/stripe/x", "{}") }, 404, "not_found", ""},
		"a path to be cleaned":   {func(w *world) *http.Request { return w.post("//webhooks/stripe", "{}") }, 404, "not_found", ""},
		"an unknown source":      {func(w *world) *http.Request { return w.post("/webhooks/nobody", "{}") }, 404, "unknown_source", ""},
		"a source in other case": {func(w *world) *http.Request { return w.post("/webhooks/Stripe", "{}") }, 404, "unknown_source", ""},
		"a slash escaped":        {func(w *world) *http.Request { return w.post("/webhooks/stripe%2F", "{}") }, 404, "not_found", ""},
		"CR and LF in the path":  {func(w *world) *http.Request { return w.post("/webhooks/a%0D%0Ab", "{}") }, 404, "unknown_source", ""},
		"an address that is not on the list": {
			func(w *world) *http.Request { return w.signed(sources["fenced"], "{}") },
			403, "address_not_allowed", "",
		},
		"the same with a forged X-Forwarded-For": {func(w *world) *http.Request {
			return w.signed(sources["fenced"], "{}", "X-Forwarded-For", "203.0.113.5", "Forwarded", "for=203.0.113.5")
		}, 403, "address_not_allowed", ""},
		"GET": {
			func(w *world) *http.Request { r := w.post("/webhooks/stripe", ""); r.Method = "GET"; return r },
			405, "method_not_allowed", "Allow: POST",
		},
		"PUT, signed": {
			func(w *world) *http.Request { r := w.signed(sources["stripe"], "{}"); r.Method = "PUT"; return r },
			405, "method_not_allowed", "Allow: POST",
		},
		"a body that is too large, though signed": {
			func(w *world) *http.Request { return w.signed(sources["small"], `{"id":"123456789"}`) },
			413, "body_too_large", "",
		},
		"the same of unknown length": {func(w *world) *http.Request {
			r := w.signed(sources["small"], `{"id":"123456789"}`)
			r.ContentLength = -1
			return r
		}, 413, "body_too_large", ""},
		"a content type that is none": {
			func(w *world) *http.Request { return w.signed(sources["stripe"], "{}", "Content-Type", "json") },
			415, "unsupported_content_type", "",
		},
		"two content types": {func(w *world) *http.Request {
			r := w.signed(sources["stripe"], "{}")
			r.Header.Add("Content-Type", "text/plain")
			return r
		}, 415, "unsupported_content_type", ""},
		"gzip where it is not accepted": {
			func(w *world) *http.Request { return w.signed(sources["stripe"], "{}", "Content-Encoding", "gzip") },
			415, "unsupported_content_encoding", "Accept-Encoding: identity",
		},
		"brotli where gzip is": {
			func(w *world) *http.Request { return w.signed(sources["zipped"], "{}", "Content-Encoding", "br") },
			415, "unsupported_content_encoding", "Accept-Encoding: gzip",
		},
		"gzip twice": {
			func(w *world) *http.Request {
				return w.signed(sources["zipped"], "{}", "Content-Encoding", "gzip, gzip")
			},
			415, "unsupported_content_encoding", "",
		},
		"gzip that is none, signed": {
			func(w *world) *http.Request { return w.signed(sources["zipped"], "{}", "Content-Encoding", "gzip") },
			400, "malformed_body", "",
		},
		"no signature": {func(w *world) *http.Request { return w.post("/webhooks/stripe", "{}") }, 401, "invalid_signature", ""},
		"garbage":      {func(w *world) *http.Request { return w.post("/webhooks/stripe", "\x00\xff\x16\x03") }, 401, "invalid_signature", ""},
		"no body":      {func(w *world) *http.Request { return w.post("/webhooks/stripe", "") }, 401, "invalid_signature", ""},
		"a stale one":  {func(w *world) *http.Request { return at(w, -6*time.Minute) }, 401, "invalid_signature", ""},
		"one to come":  {func(w *world) *http.Request { return at(w, 6*time.Minute) }, 401, "invalid_signature", ""},
		"another's body": {func(w *world) *http.Request {
			r := w.post("/webhooks/stripe", "{ }")
			r.Header = at(w, 0).Header
			return r
		}, 401, "invalid_signature", ""},
		"two signatures": {func(w *world) *http.Request {
			r := at(w, 0)
			h := r.Header["Stripe-Signature"]
			r.Header["Stripe-Signature"] = append(h, h[0])
			return r
		}, 401, "invalid_signature", ""},
		"a wrong secret": {func(w *world) *http.Request {
			r := at(w, 0)
			r.Header.Set("Stripe-Signature", "t=1,v1="+strings.Repeat("0", 64))
			return r
		}, 401, "invalid_signature", ""},
		"no secret there": {func(w *world) *http.Request {
			r := w.signed(sources["stripe"], "{}")
			r.URL.Path = "/webhooks/locked"
			return r
		}, 503, "secret_unavailable", "Retry-After: 10"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, all(sources), func(w *world) {
				t := w.t
				got := w.expect(tc.request(w), tc.status, tc.code)
				if kind := got.header.Get("Content-Type"); kind != "application/problem+json" {
					t.Errorf("Content-Type %q", kind)
				}
				if name, value, ok := strings.Cut(tc.header, ": "); ok && got.header.Get(name) != value {
					t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
				}
				if got.fields["status"] != float64(tc.status) || got.fields["detail"] == "" || got.fields["title"] == "" {
					t.Errorf("problem %v", got.fields)
				}
				for _, src := range sources {
					if end := w.bubble.Cluster().PartitionInfo(src.Topic, 0).HighWatermark; end != 0 {
						t.Errorf("%d records in %s", end, src.Topic)
					}
				}
				if got := w.metric("causeway_ingress_requests_total", "outcome", tc.code); got != 1 {
					t.Errorf("counted %v times", got)
				}
				lines := w.logs.FilterMessage("webhook refused: " + tc.code).All()
				if len(lines) != 1 {
					t.Errorf("%d lines in the log, want one", len(lines))
				}
			})
		})
	}
}

func all(sources map[string]*catalog.Source) []*catalog.Source {
	var out []*catalog.Source
	for _, src := range sources {
		out = append(out, src)
	}
	return out
}
