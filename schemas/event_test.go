package schemas

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEventComesBack(t *testing.T) {
	for name, change := range map[string]func(*Event){
		"as it is":                     func(*Event) {},
		"with an empty body":           func(e *Event) { e.Body = []byte{} },
		"with a body of all bytes":     func(e *Event) { e.Body = allBytes() },
		"with a body of a megabyte":    func(e *Event) { e.Body = bytes.Repeat([]byte("\x00\xffab"), 1<<18) },
		"without type":                 func(e *Event) { e.Type = "" },
		"without headers":              func(e *Event) { e.Headers = nil },
		"with a header that is empty":  func(e *Event) { e.Headers = []Header{{"x-empty", ""}} },
		"with line breaks in its ID":   func(e *Event) { e.ID = "a\r\nx-injected: 1\x00" },
		"with control bytes in a type": func(e *Event) { e.Type = "a\x1b[31m\x7f\xff" },
		"of a source with a slash":     func(e *Event) { e.Source = "a/b c" },
		"that occurred in the year 1":  func(e *Event) { e.Occurred = time.Date(1, 2, 3, 4, 5, 6, 0, time.UTC) },
		"that occurs in 9999":          func(e *Event) { e.Occurred = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		"with as many headers as fit":  func(e *Event) { e.Headers = make([]Header, maxHeaders); fillNames(e.Headers) },
	} {
		for _, f := range []Format{Raw, Avro, CloudEvents} {
			t.Run(name+" in "+f.String(), func(t *testing.T) {
				e := sampleEvent(f)
				change(e)
				r, err := e.Record("webhooks.stripe", f)
				if err != nil {
					t.Fatal(err)
				}
				if string(r.Key) != e.ID || r.Topic != "webhooks.stripe" || !r.Timestamp.IsZero() {
					t.Errorf("record has key %q, topic %q, timestamp %v", r.Key, r.Topic, r.Timestamp)
				}
				if r.Value == nil {
					t.Error("the record is a tombstone")
				}
				got, err := FromRecord(r)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, e) {
					t.Errorf("got\n%.2000v\nwant\n%.2000v", got, e)
				}
			})
		}
	}
}

func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func fillNames(headers []Header) {
	for i := range headers {
		headers[i].Name = "x"
	}
}

// A time that no RFC 3339 text can hold would make the record poison.
func TestEventWithAnImpossibleTime(t *testing.T) {
	e := sampleEvent(Raw)
	e.Occurred = time.Unix(1<<60, 0)
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		r, err := e.Record("webhooks.stripe", f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := FromRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Occurred.IsZero() {
			t.Errorf("%s: occurred = %v, want none", f, got.Occurred)
		}
	}
}

func TestEventsHeadersNeverPassForCauseways(t *testing.T) {
	e := sampleEvent(Raw)
	e.Headers = []Header{
		{"causeway-id", "forged"},
		{"Causeway-Tenant", "forged"},
		{"causeway-subscription", "forged"},
		{"Content-Type", "forged"},
		{"content-encoding", "forged"},
		{"traceparent", "forged"},
		{"X-Kept", "yes"},
	}
	r, err := e.Record("webhooks.stripe", Avro)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(golden(r), []byte("forged")) {
		t.Errorf("a forged header is in the record:\n%s", golden(r))
	}
	got, err := FromRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Header{{"x-kept", "yes"}}; !reflect.DeepEqual(got.Headers, want) {
		t.Errorf("headers = %q, want %q", got.Headers, want)
	}
}

func TestEventThatCannotBeWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Event)
		format Format
		want   string
	}{
		"without ID":             {func(e *Event) { e.ID = "" }, Raw, "no ID"},
		"without source":         {func(e *Event) { e.Source = "" }, Raw, "no source"},
		"without time":           {func(e *Event) { e.Received = time.Time{} }, Raw, "received at"},
		"from the year 10000":    {func(e *Event) { e.Received = time.Unix(1<<40, 0) }, Raw, "received at"},
		"with a bad identity":    {func(e *Event) { e.Identity = "xyz" }, Raw, "32 hex digits"},
		"with too many headers":  {func(e *Event) { e.Headers = make([]Header, maxHeaders+1) }, Avro, "headers"},
		"in a format of its own": {func(*Event) {}, Format(9), "format 9"},
	} {
		t.Run(name, func(t *testing.T) {
			e := sampleEvent(Raw)
			tc.change(e)
			_, err := e.Record("webhooks.stripe", tc.format)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestRecordThatIsNoEvent(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*kgo.Record)
		want   error
		text   string
	}{
		"without any header":          {func(r *kgo.Record) { r.Headers = nil }, ErrMalformed, "causeway-schema is missing"},
		"without schema":              {remove(HeaderSchema), ErrMalformed, "causeway did not write it"},
		"without ID":                  {remove(HeaderID), ErrMalformed, "causeway-id is missing"},
		"without source":              {remove(HeaderSource), ErrMalformed, "causeway-source is missing"},
		"without format":              {remove(HeaderFormat), ErrMalformed, "causeway-format is missing"},
		"without time":                {remove(HeaderReceived), ErrMalformed, "causeway-received is missing"},
		"with an empty ID":            {set(HeaderID, ""), ErrMalformed, "causeway-id is missing"},
		"received at no time":         {set(HeaderReceived, "yesterday\r\n"), ErrMalformed, `"yesterday\r\n" is not an RFC 3339 time`},
		"occurred at no time":         {set(HeaderOccurred, "1700000000"), ErrMalformed, "causeway-occurred"},
		"with an unknown format":      {set(HeaderFormat, "protobuf"), ErrMalformed, "want raw, avro or cloudevents"},
		"with an identity too long":   {set(HeaderIdentity, strings.Repeat("a", 33)), ErrMalformed, "32 hex digits"},
		"with a schema of a megabyte": {set(HeaderSchema, strings.Repeat("x", 1<<20)), ErrMalformed, "is not a schema number"},
		"with schema 0":               {set(HeaderSchema, "0"), ErrMalformed, "is not a schema number"},
		"with schema -1":              {set(HeaderSchema, "-1"), ErrMalformed, "is not a schema number"},
		"with schema 1x":              {set(HeaderSchema, "1x"), ErrMalformed, "is not a schema number"},
		"of schema 2":                 {set(HeaderSchema, "2"), ErrNewerSchema, "this release reads up to 1"},
		"of a schema beyond int64":    {set(HeaderSchema, strings.Repeat("9", 40)), ErrNewerSchema, "this release reads up to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := sampleEvent(Raw).Record("webhooks.stripe", Raw)
			if err != nil {
				t.Fatal(err)
			}
			r.Partition, r.Offset = 3, 42
			tc.change(r)
			_, err = FromRecord(r)
			checkFault(t, err, tc.want, tc.text, "webhooks.stripe/3/42")
		})
	}
}

// checkFault wants exactly one of the two sentinels and a short, telling text.
func checkFault(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if errors.Is(err, ErrMalformed) != errors.Is(want, ErrMalformed) || errors.Is(err, ErrNewerSchema) != errors.Is(want, ErrNewerSchema) {
		t.Fatalf("error = %v, want %v", err, want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error = %v, want one with %q", err, text)
		}
	}
	if len(err.Error()) > 500 {
		t.Errorf("error has %d bytes", len(err.Error()))
	}
}

func remove(name string) func(*kgo.Record) {
	return func(r *kgo.Record) {
		var kept []kgo.RecordHeader
		for _, h := range r.Headers {
			if h.Key != name {
				kept = append(kept, h)
			}
		}
		r.Headers = kept
	}
}

// set changes the last header of that name, or adds one.
func set(name, value string) func(*kgo.Record) {
	return func(r *kgo.Record) {
		for i := len(r.Headers) - 1; i >= 0; i-- {
			if r.Headers[i].Key == name {
				r.Headers[i].Value = []byte(value)
				return
			}
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
}

func TestRawBodyIsNotCopied(t *testing.T) {
	r, err := sampleEvent(Raw).Record("webhooks.stripe", Raw)
	if err != nil {
		t.Fatal(err)
	}
	e, err := FromRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	if &e.Body[0] != &r.Value[0] {
		t.Error("the body is a copy of the record's value")
	}
	// The event, its headers, and one string for all values.
	if n := testing.AllocsPerRun(100, func() { _, _ = FromRecord(r) }); n > 3 {
		t.Errorf("FromRecord allocates %v times, want at most 3", n)
	}
}

func TestFormatNames(t *testing.T) {
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		if got, err := ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("ParseFormat(%q) = %v, %v", f.String(), got, err)
		}
	}
	for _, name := range []string{"", "RAW", "json", "format 9"} {
		if _, err := ParseFormat(name); err == nil || !strings.Contains(err.Error(), "want raw, avro or cloudevents") {
			t.Errorf("ParseFormat(%q): error = %v, want one that lists the formats", name, err)
		}
	}
}

// A nil value is a tombstone to Kafka, and egress passes those over.
func TestEventWithoutABodyIsNoTombstone(t *testing.T) {
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		e := sampleEvent(f)
		e.Body = nil
		r, err := e.Record("webhooks.stripe", f)
		if err != nil {
			t.Fatal(err)
		}
		if r.Value == nil {
			t.Errorf("%s: the record is a tombstone", f)
		}
		if got, err := FromRecord(r); err != nil || got.Body == nil || len(got.Body) != 0 {
			t.Errorf("%s: got %+v, %v, want an empty body", f, got, err)
		}
	}
}
