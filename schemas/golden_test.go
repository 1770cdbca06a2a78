package schemas

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a schema that no release has written")

// golden holds a record in lines of quoted Go strings: topic, key, headers in
// their order, value. It shows every byte and can still be read.
func golden(r *kgo.Record) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "topic %+q\nkey %+q\n", r.Topic, r.Key)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "header %+q %+q\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "value %+q\n", r.Value)
	return b.Bytes()
}

func fromGolden(t *testing.T, data []byte) *kgo.Record {
	t.Helper()
	r := &kgo.Record{}
	for line := range strings.Lines(string(data)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		first, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("golden line %q: %v", line, err)
		}
		text := unquote(t, first)
		switch word {
		case "topic":
			r.Topic = text
		case "key":
			r.Key = []byte(text)
		case "header":
			value := unquote(t, strings.TrimPrefix(rest[len(first):], " "))
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: text, Value: []byte(value)})
		case "value":
			r.Value = []byte(text)
		default:
			t.Fatalf("golden line %q: unknown word", line)
		}
	}
	return r
}

func unquote(t *testing.T, quoted string) string {
	t.Helper()
	text, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("golden string %s: %v", quoted, err)
	}
	return text
}

// TestGolden holds the bytes of schema 1: what is written must be exactly this,
// and this must be read for ever.
func TestGolden(t *testing.T) {
	for name, tc := range map[string]struct {
		write func() (*kgo.Record, error)
		read  func(*kgo.Record) (any, error)
		want  any
	}{
		"event-raw":         {eventRecord(Raw), readEvent, sampleEvent(Raw)},
		"event-avro":        {eventRecord(Avro), readEvent, sampleEvent(Avro)},
		"event-cloudevents": {eventRecord(CloudEvents), readEvent, sampleEvent(CloudEvents)},
		"event-smallest":    {smallestRecord, readEvent, smallestEvent()},
		"delay":             {record(sampleDelivery(t).DelayRecord("causeway.delay.5s")), readDelivery, sampleDelivery(t)},
		"dlq":               {record(deadDelivery(t).DLQRecord("causeway.dlq")), readDelivery, deadDelivery(t)},
		"attempt":           {attemptRecord, readAttempt, sampleAttempt()},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tc.write()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "v1", name+".golden")
			if *update {
				if err := os.WriteFile(path, golden(r), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := golden(r); !bytes.Equal(got, data) {
				t.Errorf("written record is\n%s\nwant\n%s", got, data)
			}
			got, err := tc.read(fromGolden(t, data))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("read\n%+v\nwant\n%+v", got, tc.want)
			}
		})
	}
}
