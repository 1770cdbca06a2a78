package schemas

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fakeRegistry counts what it is asked for.
type fakeRegistry struct {
	schemas map[int]string
	down    error
	asked   int
}

func (f *fakeRegistry) lookup(_ context.Context, id int) (RegisteredSchema, error) {
	f.asked++
	if f.down != nil {
		return RegisteredSchema{}, f.down
	}
	text, ok := f.schemas[id]
	if !ok {
		return RegisteredSchema{}, ErrUnknownID
	}
	return RegisteredSchema{Text: text}, nil
}

func registeredRecord(t testing.TB, id int) *kgo.Record {
	t.Helper()
	r, err := sampleEvent(Avro).RegisteredRecord("webhooks.stripe", id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegisteredEventReadsBack(t *testing.T) {
	r := registeredRecord(t, 7)
	if r.Value[0] != 0 || binary.BigEndian.Uint32(r.Value[1:]) != 7 {
		t.Errorf("value begins with %x, want 00 and the id 7", r.Value[:5])
	}
	// As a registry may give it back: with other white space.
	registry := &fakeRegistry{schemas: map[int]string{7: strings.ReplaceAll(EventSchema(), "\n", " ")}}
	d := NewDecoder(registry.lookup)
	for range 3 {
		e, err := d.FromRecord(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if want := sampleEvent(Avro); !reflect.DeepEqual(e, want) {
			t.Errorf("got %+v, want %+v", e, want)
		}
	}
	if registry.asked != 1 {
		t.Errorf("the registry was asked %d times, want 1", registry.asked)
	}
}

func TestOwnIDNeedsNoRegistry(t *testing.T) {
	d := NewDecoder((&fakeRegistry{down: errors.New("it is down")}).lookup)
	d.Own(7)
	if _, err := d.FromRecord(t.Context(), registeredRecord(t, 7)); err != nil {
		t.Error(err)
	}
	_, err := d.FromRecord(t.Context(), registeredRecord(t, 8))
	checkFault(t, err, ErrUnresolved, "it is down")
}

func TestRecordDoesNotChooseItsSchema(t *testing.T) {
	longer := strings.Replace(EventSchema(), `"fields": [`, `"fields": [{"name": "new", "type": "string", "default": ""},`, 1)
	for name, tc := range map[string]struct {
		schema string
		want   error
		text   string
	}{
		"another type":           {`"string"`, ErrMalformed, "is not causeway.Event"},
		"another record":         {`{"type":"record","name":"Event","fields":[]}`, ErrMalformed, "is not causeway.Event"},
		"another form of Event":  {longer, ErrNewerSchema, "does not know"},
		"Event but for its type": {`{"type":"fixed","name":"causeway.Event","size":3}`, ErrNewerSchema, "does not know"},
		"no schema at all":       {`{]`, ErrMalformed, "is not causeway.Event"},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder((&fakeRegistry{schemas: map[int]string{7: tc.schema}}).lookup)
			_, err := d.FromRecord(t.Context(), registeredRecord(t, 7))
			checkFault(t, err, tc.want, tc.text)
		})
	}
}

func TestUnknownSchemaID(t *testing.T) {
	registry := &fakeRegistry{}
	d := NewDecoder(registry.lookup)
	_, err := d.FromRecord(t.Context(), registeredRecord(t, 7))
	checkFault(t, err, ErrMalformed, "has no schema of that id")
	// It may be registered later: not remembered.
	registry.schemas = map[int]string{7: EventSchema()}
	if _, err := d.FromRecord(t.Context(), registeredRecord(t, 7)); err != nil {
		t.Error(err)
	}
}

func TestFramedValueWithoutRegistry(t *testing.T) {
	_, err := FromRecord(registeredRecord(t, 7))
	checkFault(t, err, ErrUnresolved, "schemas.Decoder")
}

func TestRememberedSchemasAreBounded(t *testing.T) {
	registry := &fakeRegistry{schemas: map[int]string{}}
	d := NewDecoder(registry.lookup)
	wide := `["null"` + strings.Repeat(`,"int"`, 1000) + "]"
	for id := range 3 * maxWriters {
		registry.schemas[id] = wide
		if _, err := d.JSON(t.Context(), append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.writers) > maxWriters || d.nodes > maxWriterNodes {
		t.Errorf("%d schemas with %d types are remembered", len(d.writers), d.nodes)
	}
}

func adopted(t testing.TB, e *Event, f Format, value string) *kgo.Record {
	t.Helper()
	r, err := e.Adopt(&kgo.Record{Topic: "orders", Partition: 1, Offset: 9, Key: []byte("k"), Value: []byte(value), Headers: []kgo.RecordHeader{
		{Key: HeaderSource, Value: []byte("stripe")}, {Key: HeaderSchema, Value: []byte("99")},
	}}, f)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func foreignEvent() *Event {
	e := smallestEvent()
	e.Source, e.Type, e.ContentType = "", "order.paid", "application/json"
	// Names that would pass for causeway's own are left out.
	e.Headers = []Header{{"x-shop", "7"}, {"Causeway-Source", "stripe"}, {"causeway-schema", "2"}, {"content-type", "text/html"}}
	return e
}

func TestAdoptedRecordIsReadAgain(t *testing.T) {
	d := NewDecoder((&fakeRegistry{schemas: map[int]string{5: `{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}`}}).lookup)
	for name, tc := range map[string]struct {
		format      Format
		value, want string
	}{
		"as it is":      {Foreign, `{"id": 7}`, `{"id": 7}`},
		"registry Avro": {ForeignAvro, "\x00\x00\x00\x00\x05\x0e", `{"id":7}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := adopted(t, foreignEvent(), tc.format, tc.value)
			delivery := NewDelivery(r, "kafka/1", [16]byte{1}, 1)
			for i, r := range []*kgo.Record{r, delivery.DelayRecord("causeway.delay.5s"), delivery.DLQRecord("causeway.dlq")} {
				e, err := d.FromRecord(t.Context(), r)
				if err != nil {
					t.Fatal(i, err)
				}
				want := foreignEvent()
				want.Headers, want.Body = want.Headers[:1], []byte(tc.want)
				if !reflect.DeepEqual(e, want) {
					t.Errorf("record %d: got %+v, want %+v", i, e, want)
				}
				if string(r.Value) != tc.value {
					t.Errorf("record %d: its value is %q, want %q", i, r.Value, tc.value)
				}
			}
		})
	}
}

func TestAdoptRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Event)
		format Format
	}{
		"a source's format": {func(*Event) {}, Raw},
		"a source":          {func(e *Event) { e.Source = "stripe" }, Foreign},
		"no ID":             {func(e *Event) { e.ID = "" }, Foreign},
	} {
		t.Run(name, func(t *testing.T) {
			e := foreignEvent()
			tc.change(e)
			if _, err := e.Adopt(&kgo.Record{}, tc.format); err == nil {
				t.Error("it was adopted")
			}
		})
	}
}

func TestOnlyForeignRecordsHaveNoSource(t *testing.T) {
	r, err := sampleEvent(Raw).Record("webhooks.stripe", Raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range r.Headers {
		if h.Key == HeaderSource {
			r.Headers[i].Key = "x"
		}
	}
	_, err = FromRecord(r)
	checkFault(t, err, ErrMalformed, "header causeway-source is missing")
}
