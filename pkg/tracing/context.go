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
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// known are the flags of a trace that version 00 gives a meaning.
const known = trace.FlagsSampled | trace.FlagsRandom

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

// Remote is the span that a traceparent names; not valid when the text is none. Of the
// flags the two that have a meaning are kept. OpenTelemetry's own propagator gives up on
// a whole trace for a flag that it doesn't know; the W3C text only has it not passed on.
func Remote(traceparent string) trace.SpanContext {
	text := Traceparent(traceparent)
	if text == "" {
		return trace.SpanContext{}
	}
	var (
		traceID trace.TraceID
		spanID  trace.SpanID
		flags   [1]byte
	)
	// Traceparent has seen that these are hex, and of this length.
	_, _ = hex.Decode(traceID[:], []byte(text[3:35]))
	_, _ = hex.Decode(spanID[:], []byte(text[36:52]))
	_, _ = hex.Decode(flags[:], []byte(text[53:]))
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    traceID,
		SpanID:     spanID,
		TraceFlags: trace.TraceFlags(flags[0]) & known,
		Remote:     true,
	})
}

// Text is the traceparent that names the span; nothing, if that is not valid.
func Text(span trace.SpanContext) string {
	if !span.IsValid() {
		return ""
	}
	return "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + (span.TraceFlags() & known).String()
}

// Under is a context whose spans are children of the one given, which may be in
// another process; of none, if that is not valid.
func Under(parent trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(context.Background(), parent)
}
