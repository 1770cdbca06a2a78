package schemas

import "fmt"

// Format is how an event record's value holds the event. Each source fixes its
// own when its topic is made.
type Format uint8

const (
	// Raw is the body itself, nothing else.
	Raw Format = iota
	// Avro is causeway.Event (event.avsc) in Avro's single-object encoding.
	Avro
	// CloudEvents is a CloudEvents 1.0 envelope in JSON, with the body in data_base64.
	CloudEvents

	// Foreign is the value of a record that causeway did not write, as it is. No
	// source has this format or the next.
	Foreign
	// ForeignAvro is one in Confluent's wire format, delivered as JSON.
	ForeignAvro
)

// ParseFormat reads the name of a source's format: raw, avro or cloudevents.
func ParseFormat(name string) (Format, error) {
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		if f.String() == name {
			return f, nil
		}
	}
	return Raw, fmt.Errorf("%.64q is not a format: want raw, avro or cloudevents", name)
}

// headerFormat reads the header causeway-format.
func headerFormat(name string) (Format, error) {
	for _, f := range []Format{Foreign, ForeignAvro} {
		if f.String() == name {
			return f, nil
		}
	}
	return ParseFormat(name)
}

// String gives the name as it stands in configuration and in the header causeway-format.
func (f Format) String() string {
	switch f {
	case Raw:
		return "raw"
	case Avro:
		return "avro"
	case CloudEvents:
		return "cloudevents"
	case Foreign:
		return "foreign"
	case ForeignAvro:
		return "foreign-avro"
	default:
		return fmt.Sprintf("format %d", uint8(f))
	}
}

// encode gives the record's value for e; foreign values are never written anew.
func (f Format) encode(e *Event) ([]byte, error) {
	switch f {
	case Raw:
		return encodeRaw(e), nil
	case Avro:
		return encodeEventAvro(e), nil
	case CloudEvents:
		return encodeCloudEvent(e)
	default:
		return nil, fmt.Errorf("%s is not a format", f)
	}
}

// decode fills in what only the value holds; the rest of e came from the headers.
func (f Format) decode(e *Event, value []byte) error {
	switch f {
	case Raw, Foreign:
		e.Body = value // not copied: raw is the fast path
		return nil
	case Avro:
		return decodeEventAvro(e, value)
	case CloudEvents:
		return decodeCloudEvent(e, value)
	default:
		return malformed("%s is not a format", f)
	}
}

func encodeRaw(e *Event) []byte {
	if e.Body == nil {
		return []byte{} // nil would be a tombstone, and an empty body is not one
	}
	return e.Body
}
