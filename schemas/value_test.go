package schemas

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Other Avro libraries find a schema by its fingerprint: these two were computed
// by fastavro from the .avsc files as they are, logical types included.
func TestFingerprintsAreThoseOfOtherLibraries(t *testing.T) {
	for want, write := range map[string]func() (*kgo.Record, error){
		"c301291f959bb22ab366": eventRecord(Avro),
		"c301a73b85715441a259": attemptRecord,
	} {
		r, err := write()
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(r.Value[:10]); got != want {
			t.Errorf("values begin with %s, want %s: a changed schema needs a new file beside the old one", got, want)
		}
	}
}

// A consumer that knows nothing but event.avsc must find everything in the value.
func TestAvroValueStandsAlone(t *testing.T) {
	codec, err := goavro.NewCodec(eventAvsc)
	if err != nil {
		t.Fatal(err)
	}
	e := sampleEvent(Avro)
	r, err := e.Record("webhooks.stripe", Avro)
	if err != nil {
		t.Fatal(err)
	}
	native, rest, err := codec.NativeFromBinary(r.Value[10:])
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	datum := native.(map[string]any)
	for name, want := range map[string]any{
		"id": e.ID, "source": e.Source, "type": e.Type, "tenant": e.Tenant,
		"content_type": e.ContentType, "verified_by": e.VerifiedBy, "remote_address": e.RemoteAddress,
	} {
		if datum[name] != want {
			t.Errorf("%s = %v, want %v", name, datum[name], want)
		}
	}
	if got := datum["received_at"].(time.Time); !got.Equal(e.Received) {
		t.Errorf("received_at = %v, want %v", got, e.Received)
	}
	if got := datum["occurred_at"].(map[string]any)["long.timestamp-micros"].(time.Time); !got.Equal(e.Occurred) {
		t.Errorf("occurred_at = %v, want %v", got, e.Occurred)
	}
	headers := datum["headers"].([]any)
	if len(headers) != 3 || headers[2].(map[string]any)["value"] != "caf\uFFFD" {
		t.Errorf("headers = %q, want three, the last as valid UTF-8", headers)
	}
	if got := string(datum["body"].([]byte)); got != string(e.Body) {
		t.Errorf("body = %q, want %q", got, e.Body)
	}
}

func TestCloudEventValueStandsAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Event)
		want   map[string]any
	}{
		"everything known": {func(*Event) {}, map[string]any{
			"specversion": "1.0", "id": "evt_1PqXYZ", "source": "/webhooks/stripe", "type": "invoice.paid",
			"time": "2026-03-04T05:06:01.000Z", "datacontenttype": "application/json; charset=utf-8", "causewaytenant": "acme",
		}},
		"as little as can be": {func(e *Event) { e.Type, e.Tenant, e.ContentType, e.Occurred, e.Source = "", "", "", time.Time{}, "a b" }, map[string]any{
			"specversion": "1.0", "id": "evt_1PqXYZ", "source": "/webhooks/a%20b", "type": "webhook",
			"time": "2026-03-04T05:06:07.089Z", "datacontenttype": nil, "causewaytenant": nil,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := sampleEvent(CloudEvents)
			tc.change(e)
			value, err := encodeCloudEvent(e)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(value, &got); err != nil {
				t.Fatal(err)
			}
			for attribute, want := range tc.want {
				if got[attribute] != want {
					t.Errorf("%s = %v, want %v", attribute, got[attribute], want)
				}
			}
		})
	}
}

func TestValueThatIsNoEvent(t *testing.T) {
	avro := func(rest string) string { return "\xC3\x01\x29\x1f\x95\x9b\xb2\x2a\xb3\x66" + rest }
	for name, tc := range map[string]struct {
		format Format
		value  string
		want   error
		text   string
	}{
		"avro: nothing":                {Avro, "", ErrMalformed, "single-object encoding"},
		"avro: a marker alone":         {Avro, "\xC3\x01", ErrMalformed, "single-object encoding"},
		"avro: a registry's framing":   {Avro, "\x00\x00\x00\x00\x07 more than ten bytes", ErrUnresolved, "with schema id 7"},
		"avro: half a framing":         {Avro, "\x00\x00\x00", ErrMalformed, "wire format"},
		"avro: another schema":         {Avro, "\xC3\x0112345678", ErrNewerSchema, "3837363534333231"},
		"avro: no datum":               {Avro, avro(""), ErrMalformed, "ends too early"},
		"avro: a string that is short": {Avro, avro("\x10abc"), ErrMalformed, "ends too early"},
		"cloudevents: nothing":         {CloudEvents, "", ErrMalformed, "not a CloudEvent in JSON"},
		"cloudevents: an array":        {CloudEvents, "[]", ErrMalformed, "not a CloudEvent in JSON"},
		"cloudevents: null":            {CloudEvents, "null", ErrMalformed, "specversion"},
		"cloudevents: version 2":       {CloudEvents, `{"specversion":"2.0","data_base64":""}`, ErrMalformed, "specversion"},
		"cloudevents: plain data":      {CloudEvents, `{"specversion":"1.0","data":{}}`, ErrMalformed, "no data_base64"},
		"cloudevents: null data":       {CloudEvents, `{"specversion":"1.0","data_base64":null}`, ErrMalformed, "no data_base64"},
		"cloudevents: bad base64":      {CloudEvents, `{"specversion":"1.0","data_base64":"%%"}`, ErrMalformed, "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := sampleEvent(tc.format).Record("webhooks.stripe", tc.format)
			if err != nil {
				t.Fatal(err)
			}
			r.Value = []byte(tc.value)
			_, err = FromRecord(r)
			checkFault(t, err, tc.want, tc.text)
		})
	}
}

func TestAvroValueWithMoreBehindIt(t *testing.T) {
	r, err := sampleEvent(Avro).Record("webhooks.stripe", Avro)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range r.Value {
		short := *r
		short.Value = r.Value[:cut]
		if _, err := FromRecord(&short); err == nil {
			t.Errorf("the first %d of %d bytes were read as an event", cut, len(r.Value))
		}
	}
	r.Value = append(r.Value, 0)
	_, err = FromRecord(r)
	checkFault(t, err, ErrMalformed, "1 bytes follow it")
}

// What is written field by field is what goavro, which knows the schema, would have
// written of the same datum.
func TestAvroIsWrittenAsGoavroWould(t *testing.T) {
	event := func(change func(*Event)) []byte {
		e := sampleEvent(Avro)
		change(e)
		return encodeEventAvro(e)
	}
	attempt := func(change func(*Attempt)) []byte {
		a := sampleAttempt()
		change(a)
		return a.Record("causeway.attempts").Value
	}
	for name, tc := range map[string]struct {
		schema string
		value  []byte
	}{
		"event":               {eventAvsc, event(func(*Event) {})},
		"event, bare":         {eventAvsc, event(func(e *Event) { *e = Event{ID: "1", Source: "s", Received: e.Received} })},
		"event, old":          {eventAvsc, event(func(e *Event) { e.Received = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC) })},
		"event, large":        {eventAvsc, event(func(e *Event) { e.Body = make([]byte, 1<<20) })},
		"event, not UTF-8":    {eventAvsc, event(func(e *Event) { e.Tenant = "caf\xe9" })},
		"attempt":             {attemptAvsc, attempt(func(*Attempt) {})},
		"attempt, the last":   {attemptAvsc, attempt(func(a *Attempt) { a.NextDue = time.Time{} })},
		"attempt, unanswered": {attemptAvsc, attempt(func(a *Attempt) { a.Response, a.Status = nil, 0 })},
	} {
		codec, err := goavro.NewCodec(tc.schema)
		if err != nil {
			t.Fatal(err)
		}
		native, rest, err := codec.NativeFromBinary(tc.value[10:])
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %v, %d bytes left", name, err, len(rest))
			continue
		}
		want, err := codec.BinaryFromNative(nil, native)
		if err != nil || string(want) != string(tc.value[10:]) {
			t.Errorf("%s: written %x, goavro writes %x (%v)", name, tc.value[10:], want, err)
		}
	}
}
