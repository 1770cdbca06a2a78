package ingress

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"causeway/pkg/tracing"
)

const route = "/webhooks/{source}"

// trace begins the span of a request, as of its first byte. It is for requests that are
// verified and within their source's rate: what strangers send makes no spans, so that
// it cannot crowd out others, nor ask for any by a sampled flag.
func (s *Server) trace(r *http.Request, v *visit) {
	if s.tracer == nil {
		return
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(v.started), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(r.Method), semconv.HTTPRoute(route), tracing.Source.String(v.source.Name)),
	}
	parent := tracing.Remote(traceparent(r.Header))
	if v.source.LinkTraces && parent.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
		parent = trace.SpanContext{}
	}
	_, v.span = s.tracer.Start(tracing.Under(parent), r.Method+" "+route, options...)
}

// traced ends the span, if there is one.
func (v *visit) traced(outcome string, status int) {
	if v.span == nil {
		return
	}
	v.span.SetAttributes(tracing.Outcome.String(outcome), semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError { // below, it is not the server's error
		v.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		v.span.SetStatus(codes.Error, "")
	}
	v.span.End()
}

// traceProduce begins the span of the event's record, and makes it the one that the
// record names. Where the event turns out to be a copy, it never ends, and so never
// was.
func (s *Server) traceProduce(v *visit, e *event) {
	if v.span == nil {
		return
	}
	v.span.SetAttributes(tracing.Type.String(e.Type))
	topic := v.source.Topic
	_, e.span = s.tracer.Start(trace.ContextWithSpan(context.Background(), v.span), "send "+topic,
		trace.WithSpanKind(trace.SpanKindProducer), tracing.Send(topic, e.ID), tracing.Of(e.Source, e.Type))
	e.Traceparent = tracing.Text(e.span.SpanContext())
}

// produced ends the span of a record.
func produced(span trace.Span, rec *kgo.Record, err error) {
	if span == nil {
		return
	}
	if err == nil {
		span.SetAttributes(tracing.Position(rec.Partition, rec.Offset)...)
	} else {
		span.SetAttributes(produceError(err))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// produceError names what Kafka or the client had against a record.
func produceError(err error) attribute.KeyValue {
	if refused, ok := errors.AsType[*kerr.Error](err); ok {
		return semconv.ErrorTypeKey.String(refused.Message)
	}
	switch {
	case errors.Is(err, kgo.ErrMaxBuffered):
		return semconv.ErrorTypeKey.String("buffer_full")
	case errors.Is(err, kgo.ErrRecordTimeout):
		return semconv.ErrorTypeKey.String("timeout")
	default:
		return semconv.ErrorTypeOther
	}
}

// traceparent is what an event says of its trace, where nothing is traced here.
func (src *source) traceparent(h http.Header) string {
	if src.LinkTraces {
		return ""
	}
	return traceparent(h)
}

// traceparent is the request's W3C trace context, if it has one that is well formed.
func traceparent(h http.Header) string {
	if values := h["Traceparent"]; len(values) == 1 {
		return tracing.Traceparent(values[0])
	}
	return ""
}
