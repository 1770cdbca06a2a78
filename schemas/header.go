package schemas

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers of an event's record. All formats carry the same, so a consumer
// can route without decoding the value. One without a value is left out.
const (
	HeaderSchema      = "causeway-schema"      // 1
	HeaderID          = "causeway-id"          // the event's ID
	HeaderSource      = "causeway-source"      // name of the source
	HeaderType        = "causeway-type"        // the event's type
	HeaderTenant      = "causeway-tenant"      // the tenant it belongs to
	HeaderReceived    = "causeway-received"    // RFC 3339, milliseconds
	HeaderOccurred    = "causeway-occurred"    // RFC 3339, milliseconds
	HeaderFormat      = "causeway-format"      // raw, avro or cloudevents; foreign or foreign-avro
	HeaderVerifiedBy  = "causeway-verified-by" // the scheme that proved it authentic
	HeaderIdentity    = "causeway-identity"    // 32 hex digits that copies of an event share
	HeaderContentType = "content-type"         // of the body; of the envelope in the cloudevents format
	HeaderEncoding    = "content-encoding"     // of the body
	HeaderTraceparent = "traceparent"          // W3C trace context
)

// schemaVersion is the number in causeway-schema that this release writes. What
// is in testdata is what has ever been written under it.
const schemaVersion = 1

// ownPrefix begins every header name that is causeway's own.
const ownPrefix = "causeway-"

// reserved tells whether a stored HTTP header of this name would be taken for
// one that causeway writes.
func reserved(name string) bool {
	switch name {
	case HeaderContentType, HeaderEncoding, HeaderTraceparent:
		return true
	default:
		return strings.HasPrefix(name, ownPrefix)
	}
}

// headers gives the record's headers: causeway's own, then the provider's.
func (e *Event) headers(f Format) []kgo.RecordHeader {
	contentType := e.ContentType
	if f == CloudEvents {
		// The CloudEvents binding to Kafka knows a structured record by this
		// header; the body's own type is inside, as datacontenttype.
		contentType = cloudEventType
	}
	w := newHeaderWriter(13+len(e.Headers), 512)
	w.number(HeaderSchema, schemaVersion)
	w.text(HeaderID, e.ID)
	w.text(HeaderSource, e.Source)
	w.text(HeaderType, e.Type)
	w.text(HeaderTenant, e.Tenant)
	w.time(HeaderReceived, e.Received)
	w.text(HeaderFormat, f.String())
	w.time(HeaderOccurred, e.Occurred)
	w.text(HeaderVerifiedBy, e.VerifiedBy)
	w.text(HeaderIdentity, e.Identity)
	w.text(HeaderContentType, contentType)
	w.text(HeaderEncoding, e.Encoding)
	w.text(HeaderTraceparent, e.Traceparent)
	for name, value := range e.kept() {
		w.always(name, value)
	}
	return w.headers
}

// kept gives the provider's headers that are stored. The provider chooses the
// names: none may pass for causeway's own.
func (e *Event) kept() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, h := range e.Headers {
			if name := strings.ToLower(h.Name); !reserved(name) && !yield(name, h.Value) {
				return
			}
		}
	}
}

// readHeaders fills in all that the headers hold, and gives the value's format.
func (e *Event) readHeaders(headers []kgo.RecordHeader) (Format, error) {
	var schema, format string
	var err error
	values := texts(headers)
	for i, h := range headers {
		value := values.next(h)
		switch h.Key {
		case HeaderSchema:
			schema = value
		case HeaderID:
			e.ID = value
		case HeaderSource:
			e.Source = value
		case HeaderType:
			e.Type = value
		case HeaderTenant:
			e.Tenant = value
		case HeaderReceived:
			e.Received, err = parseTime(value)
		case HeaderOccurred:
			e.Occurred, err = parseTime(value)
		case HeaderFormat:
			format = value
		case HeaderVerifiedBy:
			e.VerifiedBy = value
		case HeaderIdentity:
			e.Identity, err = parseIdentity(value)
		case HeaderContentType:
			e.ContentType = value
		case HeaderEncoding:
			e.Encoding = value
		case HeaderTraceparent:
			e.Traceparent = value
		default:
			if strings.HasPrefix(h.Key, ownPrefix) {
				continue // one that this release has no use for
			}
			if e.Headers == nil {
				e.Headers = make([]Header, 0, len(headers)-i)
			}
			e.Headers = append(e.Headers, Header{h.Key, value})
		}
		if err != nil {
			return Raw, malformed("header %s: %v", h.Key, err)
		}
	}
	return e.complete(schema, format)
}

// complete checks what an event's headers must hold.
func (e *Event) complete(schema, format string) (Format, error) {
	if err := checkSchema(schema); err != nil {
		return Raw, err
	}
	for _, must := range []struct{ name, value string }{{HeaderID, e.ID}, {HeaderFormat, format}} {
		if must.value == "" {
			return Raw, malformed("header %s is missing", must.name)
		}
	}
	if e.Received.IsZero() {
		return Raw, malformed("header %s is missing", HeaderReceived)
	}
	f, err := headerFormat(format)
	if err != nil {
		return Raw, malformed("header %s: %v", HeaderFormat, err)
	}
	if e.Source == "" && !f.foreign() {
		return Raw, malformed("header %s is missing", HeaderSource)
	}
	return f, nil
}

// checkSchema tells whether this release reads records of that number.
func checkSchema(number string) error {
	if number == "1" {
		return nil // the only one so far
	}
	if number == "" {
		return malformed("header %s is missing: causeway did not write it", HeaderSchema)
	}
	if number[0] < '1' || number[0] > '9' || strings.Trim(number, "0123456789") != "" {
		return malformed("header %s: %.64q is not a schema number", HeaderSchema, number)
	}
	return newer("header %s is %.64s, this release reads up to %d", HeaderSchema, number, schemaVersion)
}

// isIdentity tells whether text is 32 lower-case hex digits.
func isIdentity(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

func parseIdentity(text string) (string, error) {
	if !isIdentity(text) {
		return "", fmt.Errorf("%.64q is not 32 hex digits", text)
	}
	return text, nil
}

// timeLayout is RFC 3339 with milliseconds: what one reads, what sorts, and what
// every language parses.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// writable tells whether t is a time at all and RFC 3339 can hold it: a
// provider's timestamp may be any number.
func writable(t time.Time) bool {
	year := t.UTC().Year()
	return !t.IsZero() && year >= 1 && year <= 9999
}

func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.64q is not an RFC 3339 time", text)
	}
	return t.UTC(), nil
}
