package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/tracing"
)

// theirs is a provider's traceparent, sampled.
const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestOneTrace follows a webhook that fails twice, the second time for two tiers:
// from the provider's span to what the subscriber is told, everything is one trace.
func TestOneTrace(t *testing.T) {
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		bubble := kafkatest.NewBubble(t)
		w := bubbleWire(t, bubble)
		w.traces = sdk.NewTracerProvider(sdk.WithSyncer(spans))
		schedule := []catalog.Duration{catalog.Duration(time.Second), catalog.Duration(6 * time.Second)}
		b := newBridge(t, bubble.Options(), w, schedule, func(_ string, attempt int) int {
			return []int{503, 500, 200}[attempt-1]
		})
		if status, said := b.post("evt_1", []byte(`{}`), "Traceparent", theirs, "Tracestate", "vendor=canary"); status != 200 {
			t.Fatalf("%d %s", status, said)
		}
		time.Sleep(20 * time.Second)
		b.stopAll()

		all := spans.GetSpans()
		tree := childrenOf(t, all)
		remote := tracing.Remote(theirs)
		server := tree.only(remote, "POST /webhooks/{source}", trace.SpanKindServer)
		send := tree.only(server.SpanContext, "send "+sentTo(server, all), trace.SpanKindProducer)
		processes := tree.of(send.SpanContext)
		// The topic, a second, and five seconds with one behind them.
		want := []string{send.Name[len("send "):], "causeway.delay.1s", "causeway.delay.5s", "causeway.delay.1s"}
		var got []string
		for _, p := range processes {
			got = append(got, strings.TrimPrefix(p.Name, "process "))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("records processed: %q, want %q", got, want)
		}
		arrivals := b.of("evt_1")
		if len(arrivals) != 3 {
			t.Fatalf("%d arrivals, want 3", len(arrivals))
		}
		for i, p := range []tracetest.SpanStub{processes[0], processes[1], processes[3]} {
			attempt := tree.only(p.SpanContext, "POST", trace.SpanKindClient)
			if told := arrivals[i].traceparent; told != tracing.Text(attempt.SpanContext) || !strings.HasPrefix(told, theirs[:35]) {
				t.Errorf("attempt %d: the subscriber was told %q, want the attempt's own %q", i+1, told, tracing.Text(attempt.SpanContext))
			}
			if failed := attempt.Status.Code == codes.Error; failed != (i < 2) {
				t.Errorf("attempt %d has status %v", i+1, attempt.Status)
			}
		}
		if n := 2 + 4 + 3; len(all) != n {
			t.Errorf("%d spans, want %d", len(all), n)
		}
		onlyKnown(t, all)
	})
}

// TestTraceOfTheirChoice is what strangers and providers can make of their headers.
func TestTraceOfTheirChoice(t *testing.T) {
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		bubble := kafkatest.NewBubble(t)
		w := bubbleWire(t, bubble)
		w.traces = sdk.NewTracerProvider(sdk.WithSyncer(spans), sdk.WithSampler(sdk.ParentBased(sdk.NeverSample())))
		b := newBridge(t, bubble.Options(), w, nil, func(string, int) int { return 200 })
		if status, said := b.post("forged", []byte(`{}`), "Traceparent", theirs, "Webhook-Signature", "v1,AAAA"); status != 401 {
			t.Fatalf("%d %s, want 401", status, said)
		}
		if status, said := b.post("garbage", []byte(`{}`), "Traceparent", "00-garbage", "Tracestate", strings.Repeat("a=b,", 5000)); status != 200 {
			t.Fatalf("%d %s", status, said)
		}
		time.Sleep(5 * time.Second)
		if n := len(spans.GetSpans()); n != 0 {
			t.Errorf("a stranger and garbage had %d spans sampled, want none", n)
		}
		if got := b.of("garbage"); len(got) != 1 || !strings.HasSuffix(got[0].traceparent, "-00") {
			t.Errorf("arrived with %v, want a trace of our own, not sampled", got)
		}
		b.post("sampled", []byte(`{}`), "Traceparent", theirs)
		time.Sleep(5 * time.Second)
		b.stopAll()
		if n := len(spans.GetSpans()); n != 4 {
			t.Errorf("a verified provider's sampled trace has %d spans, want 4", n)
		}
	})
}

// TestNoTraces carries the provider's traceparent as it is where tracing is off.
func TestNoTraces(t *testing.T) {
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleBridge(t, kafkatest.NewBubble(t), nil, func(string, int) int { return 200 })
		b.post("evt_1", []byte(`{}`), "Traceparent", theirs)
		b.post("evt_2", []byte(`{}`), "Traceparent", "00-garbage")
		time.Sleep(5 * time.Second)
		b.stopAll()
		for id, want := range map[string]string{"evt_1": theirs, "evt_2": ""} {
			if got := b.of(id); len(got) != 1 || got[0].traceparent != want {
				t.Errorf("%s arrived with %v, want traceparent %q", id, got, want)
			}
		}
	})
}

// spanTree is spans by their parents, in the order of their beginning.
type spanTree struct {
	t        *testing.T
	children map[trace.SpanID]tracetest.SpanStubs
}

func childrenOf(t *testing.T, all tracetest.SpanStubs) spanTree {
	tree := spanTree{t, map[trace.SpanID]tracetest.SpanStubs{}}
	for _, s := range all {
		tree.children[s.Parent.SpanID()] = append(tree.children[s.Parent.SpanID()], s)
	}
	for _, list := range tree.children {
		slices.SortFunc(list, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	}
	return tree
}

func (s spanTree) of(parent trace.SpanContext) tracetest.SpanStubs {
	for _, child := range s.children[parent.SpanID()] {
		if child.SpanContext.TraceID() != parent.TraceID() {
			s.t.Errorf("%s is in another trace than its parent", child.Name)
		}
	}
	return s.children[parent.SpanID()]
}

// only is the one child of a span.
func (s spanTree) only(parent trace.SpanContext, name string, kind trace.SpanKind) tracetest.SpanStub {
	s.t.Helper()
	list := s.of(parent)
	if len(list) != 1 || list[0].Name != name || list[0].SpanKind != kind {
		s.t.Fatalf("spans under %s: %v, want one %s", parent.SpanID(), list, name)
	}
	return list[0]
}

// sentTo is the topic that the request's event went to, which has a random name.
func sentTo(server tracetest.SpanStub, all tracetest.SpanStubs) string {
	for _, s := range all {
		if s.Parent.SpanID() == server.SpanContext.SpanID() {
			return strings.TrimPrefix(s.Name, "send ")
		}
	}
	return ""
}

// onlyKnown checks that spans say nothing but what may be said.
func onlyKnown(t *testing.T, all tracetest.SpanStubs) {
	t.Helper()
	for _, s := range all {
		attributes := slices.Clone(s.Attributes)
		for _, e := range s.Events {
			attributes = append(attributes, e.Attributes...)
		}
		for _, l := range s.Links {
			attributes = append(attributes, l.Attributes...)
		}
		for _, a := range attributes {
			if !slices.Contains(tracing.Attributes(), a.Key) {
				t.Errorf("%s has the attribute %s", s.Name, a.Key)
			}
		}
		if s.Status.Description != "" || s.SpanContext.TraceState().Len() > 0 {
			t.Errorf("%s says %q, with the state %q", s.Name, s.Status.Description, s.SpanContext.TraceState())
		}
	}
}
