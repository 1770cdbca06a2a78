package schemas_test

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/schemas"
)

// Whatever format the topic holds, one function reads the record.
func ExampleFromRecord() {
	r := &kgo.Record{
		Topic: "webhooks.stripe",
		Key:   []byte("evt_1PqXYZ"),
		Value: []byte(`{"id":"evt_1PqXYZ","type":"invoice.paid"}`),
		Headers: []kgo.RecordHeader{
			{Key: schemas.HeaderSchema, Value: []byte("1")},
			{Key: schemas.HeaderID, Value: []byte("evt_1PqXYZ")},
			{Key: schemas.HeaderSource, Value: []byte("stripe")},
			{Key: schemas.HeaderType, Value: []byte("invoice.paid")},
			{Key: schemas.HeaderReceived, Value: []byte("2026-03-04T05:06:07.089Z")},
			{Key: schemas.HeaderFormat, Value: []byte("raw")},
			{Key: schemas.HeaderContentType, Value: []byte("application/json")},
		},
	}
	event, err := schemas.FromRecord(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.Source, event.Type, event.ID)
	fmt.Println(event.Received.Format(time.RFC3339Nano))
	fmt.Println(string(event.Body))
	// Output:
	// stripe invoice.paid evt_1PqXYZ
	// 2026-03-04T05:06:07.089Z
	// {"id":"evt_1PqXYZ","type":"invoice.paid"}
}

// An error tells whether to hold the record or to put it aside.
func ExampleFromRecord_errors() {
	_, err := schemas.FromRecord(&kgo.Record{Topic: "webhooks.stripe", Partition: 3, Offset: 42})
	fmt.Println(err)
	// Output:
	// read event webhooks.stripe/3/42: malformed record: header causeway-schema is missing: causeway did not write it
}
