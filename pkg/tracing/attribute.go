package tracing

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes causeway's spans; nil where there is no provider, and then nobody makes any.
func Tracer(provider trace.TracerProvider) trace.Tracer {
	if provider == nil {
		return nil
	}
	return provider.Tracer("causeway", trace.WithSchemaURL(semconv.SchemaURL))
}

// causeway's own attributes, beside those of the semantic conventions.
const (
	Source       = attribute.Key("causeway.source")       // its name
	Type         = attribute.Key("causeway.type")         // of the event
	Subscription = attribute.Key("causeway.subscription") // its name
	Deliveries   = attribute.Key("causeway.deliveries")   // how many a record became
	Attempt      = attribute.Key("causeway.attempt")      // 1, 2, ... of a delivery
	Outcome      = attribute.Key("causeway.outcome")      // from the closed sets that metrics have
)

// Attributes are all that a span, an event of one or a link may have. What is not among
// them is missing on purpose: URLs, of which the path, the query and even the host can
// be a subscriber's credential; bodies; headers; addresses; texts of errors.
func Attributes() []attribute.Key {
	return []attribute.Key{
		Source, Type, Subscription, Deliveries, Attempt, Outcome,
		semconv.ErrorTypeKey,
		semconv.HTTPRequestMethodKey, semconv.HTTPRequestResendCountKey, semconv.HTTPResponseStatusCodeKey, semconv.HTTPRouteKey,
		semconv.MessagingConsumerGroupNameKey, semconv.MessagingDestinationNameKey, semconv.MessagingDestinationPartitionIDKey,
		semconv.MessagingKafkaOffsetKey, semconv.MessagingMessageIDKey, semconv.MessagingOperationNameKey,
		semconv.MessagingOperationTypeKey, semconv.MessagingSystemKey,
	}
}

// Of are the attributes that say what an event is. They come from a record, which
// anything may have written, and a text that is not UTF-8 would spoil the whole batch of
// spans.
func Of(source, kind string) trace.SpanStartEventOption {
	return trace.WithAttributes(Source.String(valid(source)), Type.String(valid(kind)))
}

func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// Send are the attributes of a span that writes an event to a topic.
func Send(topic, event string) trace.SpanStartEventOption {
	return trace.WithAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
		semconv.MessagingDestinationName(topic), semconv.MessagingMessageID(valid(event)),
	)
}

// Process are the attributes of a span that handles a record.
func Process(topic, group, event string) trace.SpanStartEventOption {
	return trace.WithAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(topic), semconv.MessagingConsumerGroupName(group), semconv.MessagingMessageID(valid(event)),
	)
}

// Position are the attributes that say where a record stands.
func Position(partition int32, offset int64) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingDestinationPartitionID(strconv.Itoa(int(partition))), semconv.MessagingKafkaOffset(int(offset)),
	}
}
