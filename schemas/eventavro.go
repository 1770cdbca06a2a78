package schemas

import _ "embed" // the schema is part of the program

//go:embed event.avsc
var eventAvsc string

// eventSchema is compiled at first use: consumers of the raw format never need it.
var eventSchema = pinned(&eventAvsc)

func encodeEventAvro(e *Event) ([]byte, error) {
	datum, size := eventDatum(e)
	return eventSchema().encode(datum, size)
}

// eventDatum gives e as goavro takes it, and about how many bytes it needs.
func eventDatum(e *Event) (datum map[string]any, size int) {
	headers := make([]any, 0, len(e.Headers))
	size = 256 + len(e.Body)
	for name, value := range e.kept() {
		headers = append(headers, map[string]any{"name": avroText(name), "value": avroText(value)})
		size += 8 + len(name) + len(value)
	}
	return map[string]any{
		"id":             avroText(e.ID),
		"source":         avroText(e.Source),
		"type":           avroText(e.Type),
		"tenant":         avroText(e.Tenant),
		"received_at":    e.Received.UnixMicro(),
		"occurred_at":    avroTime(e.Occurred),
		"content_type":   avroText(e.ContentType),
		"headers":        headers,
		"body":           encodeRaw(e),
		"verified_by":    avroText(e.VerifiedBy),
		"remote_address": avroText(e.RemoteAddress),
	}, size
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
