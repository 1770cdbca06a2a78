package schemas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pack writes headers as a fuzzer can change them: each name and value behind its
// length. unpack takes any bytes.
func pack(headers []kgo.RecordHeader) []byte {
	var data []byte
	for _, h := range headers {
		data = append(binary.AppendUvarint(data, uint64(len(h.Key))), h.Key...)
		data = append(binary.AppendUvarint(data, uint64(len(h.Value))), h.Value...)
	}
	return data
}

func unpack(data []byte) []kgo.RecordHeader {
	next := func() (text []byte) {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size) {
			data = nil
			return nil
		}
		text, data = data[size:size+int(n)], data[size+int(n):]
		return text
	}
	var headers []kgo.RecordHeader
	for len(data) > 0 {
		headers = append(headers, kgo.RecordHeader{Key: string(next()), Value: next()})
	}
	return headers
}

// known fails unless err is one that a consumer can decide by.
func known(t *testing.T, err error) {
	if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewerSchema) && !errors.Is(err, ErrUnresolved) {
		t.Fatalf("error is neither malformed nor newer nor unresolved: %v", err)
	}
}

func FuzzEventHeaders(f *testing.F) {
	for _, format := range []Format{Raw, Avro, CloudEvents} {
		r, err := sampleEvent(format).Record("t", format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pack(r.Headers), r.Value)
	}
	f.Fuzz(func(t *testing.T, headers, value []byte) {
		r := &kgo.Record{Topic: "t", Headers: unpack(headers), Value: value}
		e, err := FromRecord(r)
		if err != nil {
			known(t, err)
			return
		}
		checkRewritten(t, e)
	})
}

// checkRewritten writes what was read in each format, which must then be read as
// the same event.
func checkRewritten(t *testing.T, e *Event) {
	for _, format := range []Format{Raw, Avro, CloudEvents} {
		r, err := e.Record("t", format)
		if err != nil {
			return // read from a stranger, refused by our own writer
		}
		again, err := FromRecord(r)
		if err != nil {
			t.Fatalf("%s: cannot read back %+v: %v", format, e, err)
		}
		if again.ID != e.ID || again.Source != e.Source || again.Tenant != e.Tenant || again.Type != e.Type || !bytes.Equal(again.Body, e.Body) {
			t.Fatalf("%s: %+v came back as %+v", format, e, again)
		}
	}
}

func FuzzEventAvro(f *testing.F) {
	value := encodeEventAvro(sampleEvent(Avro))
	f.Add(value[10:])
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\x0f"))
	frame := value[:10:10]
	f.Fuzz(func(t *testing.T, datum []byte) {
		value := append(frame, datum...)
		shapeErr := eventSchema().shape.check(datum, maxHeaders)
		e := &Event{}
		if err := decodeEventAvro(e, value); err != nil {
			known(t, err)
			if shapeErr == nil {
				t.Fatalf("goavro refuses what has the right shape: %v", err)
			}
			return
		}
		if len(e.Body) > len(value) {
			t.Fatalf("a body of %d bytes out of %d", len(e.Body), len(value))
		}
	})
}

func FuzzEventCloudEvents(f *testing.F) {
	value, err := encodeCloudEvent(sampleEvent(CloudEvents))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte(`{"specversion":"1.0","data_base64":"e30="}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		e := &Event{}
		if err := decodeCloudEvent(e, value); err != nil {
			known(t, err)
			return
		}
		e.ID, e.Source, e.Received = "1", "s", time.Unix(1, 0).UTC()
		checkRewritten(t, e)
	})
}

func FuzzDelivery(f *testing.F) {
	f.Add(sampleDelivery(f).DelayRecord("t").Key, pack(sampleDelivery(f).DelayRecord("t").Headers))
	f.Add(deadDelivery(f).DLQRecord("t").Key, pack(deadDelivery(f).DLQRecord("t").Headers))
	f.Fuzz(func(t *testing.T, key, headers []byte) {
		first, err := DeliveryFromRecord(&kgo.Record{Topic: "t", Key: key, Headers: unpack(headers)})
		if err != nil {
			known(t, err)
			return
		}
		// What was read is written as causeway writes it; from then on nothing changes.
		second, err := DeliveryFromRecord(first.DelayRecord("t"))
		if err != nil {
			t.Fatalf("cannot read back %+v: %v", first, err)
		}
		third, err := DeliveryFromRecord(second.DelayRecord("t"))
		if err != nil {
			t.Fatalf("cannot read back %+v: %v", second, err)
		}
		if !reflect.DeepEqual(second, third) {
			t.Fatalf("%+v became %+v", second, third)
		}
		if !bytes.Equal(first.Key, second.Key) || !bytes.Equal(pack(first.Headers), pack(second.Headers)) {
			t.Fatalf("the event's key or headers changed: %+v became %+v", first, second)
		}
		if first.Subscription != second.Subscription || first.Origin != second.Origin || first.Hop != second.Hop {
			t.Fatalf("%+v became %+v", first, second)
		}
	})
}

func FuzzAttempt(f *testing.F) {
	r := sampleAttempt().Record("t")
	f.Add(r.Value[10:])
	frame := r.Value[:10:10]
	f.Fuzz(func(t *testing.T, datum []byte) {
		r := &kgo.Record{Topic: "t", Headers: r.Headers, Value: append(frame, datum...)}
		a, err := AttemptFromRecord(r)
		if err != nil {
			known(t, err)
			return
		}
		if _, err := AttemptFromRecord(a.Record("t")); err != nil {
			t.Fatalf("cannot read back %+v: %v", a, err)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	f.Add("webhooks.stripe/3/42")
	f.Add("k/t/0/0")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePosition(text); err == nil && p.String() != text {
			t.Fatalf("%q was read as %q", text, p)
		}
	})
}
