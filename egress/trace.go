package egress

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"causeway/egress/retry"
	"causeway/egress/target"
	"causeway/pkg/tracing"
	"causeway/schemas"
)

// processing is the span of a record, from its fan-out until the last of its deliveries
// is settled. Where a delivery is not settled here, because the partition has gone or
// the process stops, the span never ends, and so never was: whoever settles it has one.
type processing struct {
	span trace.Span
	left atomic.Int32
}

// process begins the span of a record. Its parent is the span that the event names,
// also when the record comes from a delay topic: all attempts of an event, days apart
// as they may be, belong to one trace.
func (e *Egress) process(p *partition, r *kgo.Record, event *schemas.Event, deliveries int) *processing {
	if e.tracer == nil || event == nil { // nil: not read yet, it only goes on to wait
		return nil
	}
	_, span := e.tracer.Start(tracing.Under(tracing.Remote(event.Traceparent)), "process "+r.Topic,
		trace.WithSpanKind(trace.SpanKindConsumer), tracing.Process(r.Topic, p.member.group, event.ID),
		tracing.Of(event.Source, event.Type), trace.WithAttributes(tracing.Position(r.Partition, r.Offset)...),
		trace.WithAttributes(tracing.Deliveries.Int(deliveries)))
	x := &processing{span: span}
	x.left.Store(int32(deliveries))
	return x
}

// note says on the record's span what becomes of a delivery that has not arrived.
func (x *processing) note(what string, t *task, outcome string) {
	if x == nil || !x.span.IsRecording() {
		return
	}
	x.span.AddEvent(what, trace.WithAttributes(tracing.Subscription.String(t.name()), tracing.Outcome.String(outcome)))
}

// settled counts one delivery; the last one ends the span.
func (x *processing) settled() {
	if x != nil && x.left.Add(-1) == 0 {
		x.span.End()
	}
}

// traceAttempt begins the span of an attempt, which the subscriber's spans will be
// children of.
func (e *Egress) traceAttempt(t *task) {
	if t.processing == nil {
		return
	}
	attempt := t.delivery.Attempt + 1
	_, t.span = e.tracer.Start(tracing.Under(t.processing.span.SpanContext()), http.MethodPost,
		trace.WithSpanKind(trace.SpanKindClient), tracing.Of(t.event.Source, t.event.Type),
		trace.WithAttributes(
			semconv.HTTPRequestMethodPost, tracing.Attempt.Int(attempt), tracing.Subscription.String(t.subscription.Name),
			semconv.MessagingDestinationName(t.delivery.Origin.Topic),
		))
	if attempt > 1 {
		t.span.SetAttributes(semconv.HTTPRequestResendCount(attempt - 1))
	}
}

// traceparent is what the subscriber is told.
func (t *task) traceparent() string {
	if t.span != nil {
		return tracing.Text(t.span.SpanContext())
	}
	return tracing.Traceparent(t.event.Traceparent) // whoever wrote the record: nothing else goes into a header
}

// traced ends the span of an attempt.
func (t *task) traced(res target.Result, out retry.Outcome) {
	if t.span == nil {
		return
	}
	outcome := out.Verdict.String()
	if out.Verdict == retry.Dead {
		outcome = string(out.Reason)
	}
	t.span.SetAttributes(tracing.Outcome.String(outcome))
	if res.Status > 0 {
		t.span.SetAttributes(semconv.HTTPResponseStatusCode(res.Status))
	}
	if res.Class != target.OK {
		kind := res.Class.String()
		if res.Status > 0 {
			kind = strconv.Itoa(res.Status)
		}
		t.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		t.span.SetStatus(codes.Error, "")
	}
	t.span.End()
}

// interrupted ends the span of an attempt that a stop cut off: the subscriber may have
// seen it.
func (t *task) interrupted() {
	if t.span == nil {
		return
	}
	t.span.SetAttributes(semconv.ErrorTypeKey.String("interrupted"))
	t.span.SetStatus(codes.Error, "")
	t.span.End()
}
