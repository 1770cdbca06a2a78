package ingress

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"causeway/pkg/catalog"
	"causeway/pkg/tracing"
)

const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestSpansOfRequests has a span for each verified request and each record, and none
// for anything else.
func TestSpansOfRequests(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	o := Options{TracerProvider: sdk.NewTracerProvider(sdk.WithSyncer(spans))}
	src := stripe(t)
	inWorld(t, o, []*catalog.Source{src}, func(w *world) {
		taken := func(what string, want ...string) tracetest.SpanStubs {
			w.t.Helper()
			got := spans.GetSpans()
			spans.Reset()
			var names []string
			for _, s := range got {
				names = append(names, s.Name)
			}
			if strings.Join(names, ",") != strings.Join(want, ",") {
				w.t.Fatalf("%s has the spans %q, want %q", what, names, want)
			}
			return got
		}
		const server, send = "POST /webhooks/{source}", "send webhooks.stripe"
		body := `{"id":"evt_1","type":"invoice.paid"}`

		w.expect(w.signed(src, body, "Traceparent", theirs), 200, "received")
		got := taken("a webhook", send, server)
		want := map[attribute.Key]string{
			"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.operation.name": "send",
			"messaging.destination.name": "webhooks.stripe", "messaging.destination.partition.id": "0", "messaging.kafka.offset": "0",
			"messaging.message.id": "evt_1", "causeway.source": "stripe", "causeway.type": "invoice.paid",
		}
		same(w.t, got[0], want)
		same(w.t, got[1], map[attribute.Key]string{
			"http.request.method": "POST", "http.route": "/webhooks/{source}", "http.response.status_code": "200",
			"causeway.source": "stripe", "causeway.type": "invoice.paid", "causeway.outcome": "received",
		})
		if got[1].Parent.SpanID() != tracing.Remote(theirs).SpanID() || got[0].Parent.SpanID() != got[1].SpanContext.SpanID() {
			w.t.Error("the spans are not one under the other")
		}

		w.expect(w.signed(src, body), 200, "already_processed")
		if s := taken("a copy", server)[0]; s.Parent.IsValid() {
			w.t.Error("a request without a traceparent has a parent")
		}
		forged := w.signed(src, strings.Replace(body, "1", "2", 1), "Traceparent", theirs)
		forged.Header.Set("Stripe-Signature", "t=1,v1=00")
		w.expect(forged, 401, "invalid_signature")
		taken("a forgery")
	})
}

// TestSpanOfAFailure says that it failed, in words from a closed set.
func TestSpanOfAFailure(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	o := Options{TracerProvider: sdk.NewTracerProvider(sdk.WithSyncer(spans)), Topic: func(string) error { return errTopicMissing }}
	src := stripe(t)
	inWorld(t, o, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "topic_missing")
		got := spans.GetSpans()
		if len(got) != 1 || got[0].Status != (sdk.Status{Code: codes.Error}) {
			w.t.Fatalf("spans %+v, want one that failed", got)
		}
		same(w.t, got[0], map[attribute.Key]string{
			"http.request.method": "POST", "http.route": "/webhooks/{source}", "http.response.status_code": "503", "error.type": "503",
			"causeway.source": "stripe", "causeway.type": "", "causeway.outcome": "topic_missing",
		})
	})
}

// TestLinkedTraces begins a trace of its own, sampled by our decision, where a source
// does not let its provider's decide; and the provider's goes no further, traced or not.
func TestLinkedTraces(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	src := stripe(t, func(src *catalog.Source) { src.LinkTraces = true })
	for name, o := range map[string]Options{
		"sampled":     {TracerProvider: sdk.NewTracerProvider(sdk.WithSyncer(spans))},
		"not sampled": {TracerProvider: sdk.NewTracerProvider(sdk.WithSyncer(spans), sdk.WithSampler(sdk.ParentBased(sdk.NeverSample())))},
		"off":         {},
	} {
		t.Run(name, func(t *testing.T) {
			spans.Reset()
			inWorld(t, o, []*catalog.Source{src}, func(w *world) {
				w.expect(w.signed(src, `{"id":"evt_1"}`, "Traceparent", theirs), 200, "received")
				got := spans.GetSpans()
				switch name {
				case "sampled":
					if len(got) != 2 || got[1].Parent.IsValid() || len(got[1].Links) != 1 || got[1].Links[0].SpanContext.TraceID() != tracing.Remote(theirs).TraceID() {
						w.t.Errorf("spans %+v, want a root with a link", got)
					}
				default:
					if len(got) != 0 {
						w.t.Errorf("%d spans, want none", len(got))
					}
				}
				stored := w.events(src)[0].Traceparent
				if strings.HasPrefix(stored, theirs[:35]) || (stored != "") != (name != "off") {
					w.t.Errorf("stored with traceparent %q", stored)
				}
			})
		})
	}
}

// TestNoSpanCostsNothing: what is traced nowhere allocates nothing.
func TestNoSpanCostsNothing(t *testing.T) {
	s := &Server{}
	v := &visit{source: &source{Source: stripe(t)}, started: time.Now()}
	e := &event{}
	r := &http.Request{Method: http.MethodPost, Header: http.Header{"Traceparent": {theirs}}}
	if n := testing.AllocsPerRun(100, func() {
		s.trace(r, v)
		s.traceProduce(v, e)
		produced(e.span, nil, nil)
		v.traced(outcomeReceived, http.StatusOK)
		e.Traceparent = v.source.traceparent(r.Header)
	}); n != 0 {
		t.Errorf("%v allocations without a tracer, want none", n)
	}
	if e.Traceparent != theirs {
		t.Errorf("the event has the traceparent %q", e.Traceparent)
	}
}

func same(t *testing.T, s tracetest.SpanStub, want map[attribute.Key]string) {
	t.Helper()
	got := map[attribute.Key]string{}
	for _, a := range s.Attributes {
		got[a.Key] = a.Value.String()
	}
	for key, value := range want {
		if have, ok := got[key]; !ok || have != value {
			t.Errorf("%s: %s is %q, want %q", s.Name, key, have, value)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Errorf("%s also says %v", s.Name, got)
	}
	if kind := s.SpanKind; kind != trace.SpanKindServer && kind != trace.SpanKindProducer {
		t.Errorf("%s is of kind %s", s.Name, kind)
	}
}
