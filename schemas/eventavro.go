package schemas

import _ "embed" // the schema is part of the program

//go:embed event.avsc
var eventAvsc string

// eventSchema is compiled at first use: consumers of the raw format never need it.
var eventSchema = pinned(&eventAvsc)

func encodeEventAvro(e *Event) []byte {
	return e.appendAvro(eventSchema().head(e.avroSize()))
}

// avroSize is about how many bytes appendAvro writes, and its framing.
func (e *Event) avroSize() int {
	size := 256 + len(e.Body)
	for _, h := range e.Headers {
		size += 8 + len(h.Name) + len(h.Value)
	}
	return size
}

// appendAvro writes e's datum.
func (e *Event) appendAvro(b []byte) []byte {
	w := avroWriter{b}
	w.text(e.ID)
	w.text(e.Source)
	w.text(e.Type)
	w.text(e.Tenant)
	w.time(e.Received)
	w.optionalTime(e.Occurred)
	w.text(e.ContentType)
	headers := int64(0)
	for range e.kept() {
		headers++
	}
	if headers > 0 { // one block
		w.long(headers)
		for name, value := range e.kept() {
			w.text(name)
			w.text(value)
		}
	}
	w.long(0) // no more blocks
	w.bytes(e.Body)
	w.text(e.VerifiedBy)
	w.text(e.RemoteAddress)
	return w.b
}

func decodeEventAvro(e *Event, value []byte) error {
	datum, err := eventSchema().decode(value)
	if err != nil {
		return err
	}
	e.fill(datum)
	return nil
}

// fill takes what is in the value alone. The rest is there for readers that don't
// look at headers; where both have it, the headers count, so that an event is the
// same in every format.
func (e *Event) fill(datum fields) {
	e.Body = datum.bytes("body")
	e.RemoteAddress = datum.text("remote_address")
}
