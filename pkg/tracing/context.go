// Package tracing has what spans of both halves share: the text form in which a trace
// goes through HTTP and Kafka, and the attributes that a span may have.
//
// The spans are made by hand and not by franz-go's kotel, deliberately. Its hooks see
// records where this needs requests and deliveries: on the way to a delay topic they
// begin a new trace and put it in place of the event's own traceparent, on the way back
// they make a span of each record that is fetched, copies too. They also put the
// record's key into it, which may be a customer's, and the client's texts of errors, and
// use the names of older conventions (publish for send).
package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Traceparent gives text if it is a W3C trace context of version 00, else nothing:
// 00-<32 hex>-<16 hex>-<2 hex>, lower case, neither id all zeros. Who sends it is a
// stranger, so nothing else goes any further. A tracestate never does: it may be
// discarded, and nobody here reads it.
func Traceparent(text string) string {
	const form = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh"
	if len(text) != len(form) {
		return ""
	}
	for i := range len(form) {
		isHex := '0' <= text[i] && text[i] <= '9' || 'a' <= text[i] && text[i] <= 'f'
		if form[i] == 'h' && !isHex || form[i] != 'h' && text[i] != form[i] {
			return ""
		}
	}
	if strings.Trim(text[3:35], "0") == "" || strings.Trim(text[36:52], "0") == "" {
		return ""
	}
	return text
}

// Remote is the span that a traceparent names; not valid when the text is none.
func Remote(traceparent string) trace.SpanContext {
	c := carrier(Traceparent(traceparent))
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &c))
}

// Text is the traceparent that names the span.
func Text(span trace.SpanContext) string {
	var c carrier
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), &c)
	return string(c)
}

// Under is a context whose spans are children of the one given, which may be in
// another process; of none, if that is not valid.
func Under(parent trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(context.Background(), parent)
}

// carrier is a set of headers that holds a traceparent and nothing else.
type carrier string

func (c *carrier) Get(name string) string {
	if name == "traceparent" {
		return string(*c)
	}
	return ""
}

func (c *carrier) Set(name, value string) {
	if name == "traceparent" {
		*c = carrier(value)
	}
}

func (*carrier) Keys() []string { return []string{"traceparent"} }
