package egress

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"causeway/egress/retry"
	"causeway/egress/target"
	"causeway/pkg/catalog"
	"causeway/pkg/tracing"
	"causeway/schemas"
)

const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestSpansOfRecords has a span for each record, which ends with the last of its
// deliveries, and one for each attempt; a delivery that was parked stays in
// its event's trace.
func TestSpansOfRecords(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	answer := func(a arrival) int {
		if a.path == "bad" {
			return 500
		}
		return 200
	}
	inBubble(t, answer, []string{"good", "bad"}, func(t *testing.T, b *bed) {
		b.subs[1].Schedule = []time.Duration{time.Second}
		b.tune = func(o *Options) { o.TracerProvider = sdk.NewTracerProvider(sdk.WithSyncer(spans)) }
		stop := b.start()
		b.publish(schemas.Event{ID: "evt_1", Type: "invoice.paid", Traceparent: theirs})
		time.Sleep(10 * time.Second)
		_ = stop()

		var said []string
		for _, s := range spans.GetSpans() {
			if s.SpanContext.TraceID() != tracing.Remote(theirs).TraceID() {
				t.Errorf("%s is in another trace", s.Name)
			}
			if s.Name != "POST" && s.Parent.SpanID() != tracing.Remote(theirs).SpanID() {
				t.Errorf("%s is not under the span that the event names", s.Name)
			}
			for _, a := range s.Attributes {
				if !slices.Contains(tracing.Attributes(), a.Key) {
					t.Errorf("%s has the attribute %s", s.Name, a.Key)
				}
			}
			line := []string{s.Name}
			for _, key := range []attribute.Key{tracing.Deliveries, tracing.Subscription, tracing.Attempt, tracing.Outcome, "http.response.status_code", "http.request.resend_count", "error.type"} {
				line = append(line, valueOf(s.Attributes, key))
			}
			for _, e := range s.Events {
				line = append(line, e.Name, valueOf(e.Attributes, tracing.Subscription), valueOf(e.Attributes, tracing.Outcome))
			}
			if (s.Status.Code == codes.Error) != (valueOf(s.Attributes, "error.type") != "") || s.Status.Description != "" {
				t.Errorf("%s has status %+v", s.Name, s.Status)
			}
			said = append(said, strings.Join(line, " "))
		}
		slices.Sort(said)
		want := []string{
			"POST  bad 1 delay 500  500",
			"POST  bad 2 exhausted 500 1 500",
			"POST  good 1 done 200  ",
			"process causeway.delay.1s 1       dead-lettered bad exhausted",
			"process webhooks.shop 2       parked bad retry",
		}
		if !slices.Equal(said, want) {
			t.Errorf("spans:\n%s\nwant:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
		for _, path := range []string{"good", "bad"} {
			for _, a := range b.sink.of(path, "evt_1") {
				if told := a.header.Get("Traceparent"); told[:35] != theirs[:35] || told == theirs {
					t.Errorf("%s was told %s, want its attempt's span in the event's trace", path, told)
				}
			}
		}
	})
}

// TestTraceparentsOfRecordsFromAnywhere does not send on what is none.
func TestTraceparentsOfRecordsFromAnywhere(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	for name, on := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"good"}, func(t *testing.T, b *bed) {
				if on {
					b.tune = func(o *Options) { o.TracerProvider = sdk.NewTracerProvider(sdk.WithSyncer(spans)) }
				}
				stop := b.start()
				b.publish(schemas.Event{ID: "evt_1", Type: "a\xffb", Traceparent: "00-canary\r\nX-Injected: yes"})
				time.Sleep(time.Second)
				_ = stop()
				got := b.sink.of("good", "evt_1")
				if len(got) != 1 {
					t.Fatalf("%d arrivals, want 1", len(got))
				}
				if told := got[0].header.Get("Traceparent"); tracing.Traceparent(told) != told || (told != "") != on {
					t.Errorf("the subscriber was told %q", told)
				}
			})
		})
	}
}

// TestNoSpanCostsNothing: what is traced nowhere allocates nothing.
func TestNoSpanCostsNothing(t *testing.T) {
	e := &Egress{}
	k := &task{event: &schemas.Event{Traceparent: theirs}, subscription: &catalog.Subscription{}}
	if n := testing.AllocsPerRun(100, func() {
		k.processing = e.process(nil, &kgo.Record{}, k.event, 2)
		e.traceAttempt(k)
		k.traced(target.Result{}, retry.Outcome{})
		k.interrupted()
		k.processing.note("parked", k, string(parkedRetry))
		k.processing.settled()
		if k.traceparent() != theirs {
			t.Error("the event's traceparent is lost")
		}
	}); n != 0 {
		t.Errorf("%v allocations without a tracer, want none", n)
	}
}

func valueOf(attributes []attribute.KeyValue, key attribute.Key) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}
