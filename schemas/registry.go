package schemas

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrUnresolved says that the record's schema could not be looked up in the
	// schema registry now. There is nothing wrong with the record: read it again
	// later.
	ErrUnresolved = errors.New("schema of the record not known yet")

	// ErrUnknownID is what a [Lookup] wraps when the registry itself says that it
	// has no schema of that id. The record is then malformed.
	ErrUnknownID = errors.New("the schema registry has no schema of that id")
)

// RegisteredSchema is a schema as a schema registry keeps it.
type RegisteredSchema struct {
	Type       string   // "" and AVRO are Avro
	Text       string   // the schema itself
	References []string // the schemas that it refers to by name, each after those that it needs itself
}

// Lookup asks a schema registry for the schema of an id. A Decoder asks once and
// remembers. An error that is no [ErrUnknownID] means that it could not be found
// out now.
type Lookup func(ctx context.Context, id int) (RegisteredSchema, error)

// Decoder reads records whose values are framed for a schema registry, beside all
// that [FromRecord] reads. It is safe for concurrent use.
//
// A record names the id of a schema, and never chooses how it is read: an event's
// id must be that of causeway's own schema, and everything else that an id may
// stand for is vetted before it is used.
type Decoder struct {
	lookup Lookup
	asking chan struct{} // a token for each look-up under way

	mu      sync.Mutex
	own     map[int]bool // ids that are known to be causeway.Event's
	writers map[int]*writer
	nodes   int // of all writers
}

// NewDecoder gives a Decoder that asks lookup for the schemas that it does not know.
func NewDecoder(lookup Lookup) *Decoder {
	return &Decoder{lookup: lookup, asking: make(chan struct{}, 4), own: map[int]bool{}, writers: map[int]*writer{}}
}

// Own notes that the registry knows causeway's own schema of events under the id,
// for whoever has registered it.
func (d *Decoder) Own(id int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.own) < maxWriters {
		d.own[id] = true
	}
}

// FromRecord reads the event that a record holds like the function [FromRecord],
// and also values in Confluent's wire format, for which it may have to ask the
// registry. The error may also be an [ErrUnresolved].
func (d *Decoder) FromRecord(ctx context.Context, r *kgo.Record) (*Event, error) {
	e, err := d.fromRecord(ctx, r)
	if err != nil {
		return nil, reading("event", r, err)
	}
	return e, nil
}

func (d *Decoder) fromRecord(ctx context.Context, r *kgo.Record) (*Event, error) {
	own, _, err := split(r.Headers)
	if err != nil {
		return nil, err
	}
	e := &Event{}
	f, err := e.readHeaders(own)
	if err != nil {
		return nil, err
	}
	switch {
	case f == ForeignAvro:
		e.Body, err = d.JSON(ctx, r.Value)
	case f == Avro && isFramed(r.Value):
		err = d.registered(ctx, e, r.Value)
	default:
		err = f.decode(e, r.Value)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// JSON gives a value in Confluent's wire format as JSON, whatever its Avro schema:
// see docs/foreign-topics.md for how each type is written. The errors are those of
// [Decoder.FromRecord].
func (d *Decoder) JSON(ctx context.Context, value []byte) ([]byte, error) {
	id, data, err := unframe(value)
	if err != nil {
		return nil, err
	}
	w, err := d.writer(ctx, id)
	if err != nil {
		return nil, err
	}
	if w.err != nil {
		return nil, malformed("schema %d of the registry: %v", id, w.err)
	}
	text, err := w.json(data)
	if err != nil {
		return nil, malformed("value of schema %d: %v", id, err)
	}
	return text, nil
}

// registered reads an event of causeway's own.
func (d *Decoder) registered(ctx context.Context, e *Event, value []byte) error {
	id, data, err := unframe(value)
	if err != nil {
		return err
	}
	if d == nil || !d.isOwn(id) {
		w, err := d.writer(ctx, id)
		if err != nil {
			return err
		}
		if err := w.isEvent(id); err != nil {
			return err
		}
		d.Own(id)
	}
	datum, err := eventSchema().datum(data)
	if err != nil {
		return err
	}
	e.fill(datum)
	return nil
}

func (d *Decoder) isOwn(id int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.own[id]
}

// How many schemas, and how many types in them, are remembered. What is over is
// forgotten and looked up again.
const (
	maxWriters     = 1_000
	maxWriterNodes = 200_000
)

func (d *Decoder) known(id int) *writer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writers[id]
}

// writer gives the schema of that id, and asks for it when it is not known.
func (d *Decoder) writer(ctx context.Context, id int) (*writer, error) {
	if d == nil || d.lookup == nil {
		return nil, fmt.Errorf("%w: the value is framed for a schema registry, with schema id %d: read it with a schemas.Decoder, which asks the registry", ErrUnresolved, id)
	}
	if w := d.known(id); w != nil {
		return w, nil
	}
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: look schema %d up: %w", ErrUnresolved, id, context.Cause(ctx))
	}
	if w := d.known(id); w != nil {
		return w, nil // somebody else has asked meanwhile
	}
	found, err := d.lookup(ctx, id)
	switch {
	case errors.Is(err, ErrUnknownID):
		return nil, malformed("schema %d: %v", id, err)
	case err != nil:
		return nil, fmt.Errorf("%w: look schema %d up: %w", ErrUnresolved, id, err)
	}
	w := newWriter(found)
	d.keep(id, w)
	return w, nil
}

func (d *Decoder) keep(id int, w *writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other, old := range d.writers { // in no order, which is as good as any
		if len(d.writers) < maxWriters && d.nodes+w.nodes <= maxWriterNodes {
			break
		}
		d.nodes -= old.nodes
		delete(d.writers, other)
	}
	if old := d.writers[id]; old != nil {
		d.nodes -= old.nodes
	}
	d.writers[id] = w
	d.nodes += w.nodes
}

// writer is a schema of the registry, vetted: what it can be used for, or why not.
type writer struct {
	root  *node
	nodes int
	err   error // why no value of it is read
	text  string
}

func newWriter(s RegisteredSchema) *writer {
	w := &writer{}
	if kind := cmp.Or(s.Type, "AVRO"); kind != "AVRO" {
		w.err = fmt.Errorf("it is of type %.32q, not Avro", kind)
		return w
	}
	w.root, w.nodes, w.err = parseWriter(s)
	if w.err == nil && w.root.name == eventName {
		w.text = s.Text
	}
	return w
}

// eventName is the full name of the schema of events.
const eventName = "causeway.Event"

// isEvent tells whether the schema is one of an event that this release reads.
func (w *writer) isEvent(id int) error {
	if w.text == "" {
		return malformed("schema %d of the registry is not causeway.Event", id)
	}
	found, err := compileSchema(w.text)
	if err != nil || found.codec.CanonicalSchema() != eventSchema().codec.CanonicalSchema() {
		return newer("schema %d of the registry is a causeway.Event that this release does not know", id)
	}
	return nil
}

// EventSchema is the Avro schema of events, as it is registered in a schema
// registry.
func EventSchema() string { return eventAvsc }

// RegisteredRecord is [Event.Record] in the avro format, framed for a schema
// registry that knows [EventSchema] under the id.
func (e *Event) RegisteredRecord(topic string, id int) (*kgo.Record, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("write event %.64q to %s: %w", e.ID, topic, err)
	}
	head := binary.BigEndian.AppendUint32(append(make([]byte, 0, e.avroSize()), 0), uint32(id))
	return &kgo.Record{Topic: topic, Key: []byte(e.ID), Value: e.appendAvro(head), Headers: e.headers(Avro)}, nil
}

// isFramed tells Confluent's wire format (00, id) from Avro's single-object
// encoding (C3 01, fingerprint).
func isFramed(value []byte) bool { return len(value) > 0 && value[0] == 0 }

// unframe takes Confluent's framing off: a zero byte and the schema's id.
func unframe(value []byte) (id int, data []byte, err error) {
	if len(value) < 5 || value[0] != 0 {
		return 0, nil, malformed("value is not in Confluent's wire format: a zero byte, four bytes of schema id, the datum")
	}
	return int(binary.BigEndian.Uint32(value[1:5])), value[5:], nil
}
