package schemas

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Header is one of the provider's HTTP headers, kept because the source lists
// it. Name is in lower case.
type Header struct{ Name, Value string }

// Event is one webhook as stored.
type Event struct {
	ID           string
	Source       string    // empty for a record that causeway did not write
	Type, Tenant string    // empty when not known
	Received     time.Time // stored to the millisecond
	Occurred     time.Time // zero when the provider does not say

	ContentType, Encoding string   // of the body; Encoding is the HTTP Content-Encoding
	Headers               []Header // a name may come more than once
	Body                  []byte   // as signed

	VerifiedBy    string // the scheme that proved it authentic
	RemoteAddress string // kept by the avro format only
	Traceparent   string // W3C trace context of the request

	// Identity is what copies of an event have in common: 128 bits, as 32 hex
	// digits. Empty when the record carries none.
	Identity string
}

// maxHeaders bounds what decoding an Avro record may allocate for headers. It is
// more than the 32 KiB of an HTTP request's headers could ever hold.
const maxHeaders = 10_000

// Record gives the record to produce for e: its ID is the key. The record shares
// e's body in the raw format; its timestamp is left for the client to set.
func (e *Event) Record(topic string, f Format) (*kgo.Record, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("write event %.64q to %s: %w", e.ID, topic, err)
	}
	value, err := f.encode(e)
	if err != nil {
		return nil, fmt.Errorf("write event %.64q to %s: %w", e.ID, topic, err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(e.ID), Value: value, Headers: e.headers(f)}, nil
}

// FromRecord reads the event that a record holds, whatever its format. It also
// reads delay and dead letter records, which carry the event's record unchanged.
//
// The error is an [ErrNewerSchema] when the record needs a later release, an
// [ErrUnresolved] when its value is framed for a schema registry, which takes a
// [Decoder], else an [ErrMalformed]. The event shares r's memory: in the raw
// format its body is r.Value itself.
func FromRecord(r *kgo.Record) (*Event, error) {
	return (*Decoder)(nil).FromRecord(context.Background(), r)
}

// check refuses what FromRecord could not read back.
func (e *Event) check() error {
	switch {
	case e.ID == "":
		return errors.New("it has no ID")
	case e.Source == "":
		return errors.New("it has no source")
	case !writable(e.Received):
		return fmt.Errorf("received at %s, which RFC 3339 cannot hold", e.Received)
	case e.Identity != "" && !isIdentity(e.Identity):
		return fmt.Errorf("identity %.64q is not 32 hex digits", e.Identity)
	case len(e.Headers) > maxHeaders:
		return fmt.Errorf("it has %d headers, more than %d", len(e.Headers), maxHeaders)
	default:
		return nil
	}
}
