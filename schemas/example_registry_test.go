package schemas_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"causeway/schemas"
)

// With a schema registry, values in the avro format are framed for it. A Decoder
// asks the registry once for each id; here through franz-go's client.
func ExampleDecoder() {
	registry := srfake.New() // in its place, the URL of your own
	defer registry.Close()
	client, err := sr.NewClient(sr.URLs(registry.URL()))
	if err != nil {
		fmt.Println(err)
		return
	}
	decoder := schemas.NewDecoder(func(ctx context.Context, id int) (schemas.RegisteredSchema, error) {
		found, err := client.SchemaByID(ctx, id)
		if answer, ok := errors.AsType[*sr.ResponseError](err); ok && answer.ErrorCode == sr.ErrSchemaNotFound.Code {
			return schemas.RegisteredSchema{}, schemas.ErrUnknownID // poison; any other error only means: not now
		}
		return schemas.RegisteredSchema{Type: found.Type.String(), Text: found.Schema}, err
	})

	// What causeway does when it writes a webhook.
	id, err := client.RegisterSchema(context.Background(), "webhooks.stripe-value", sr.Schema{Schema: schemas.EventSchema()}, -1, -1)
	if err != nil {
		fmt.Println(err)
		return
	}
	written := &schemas.Event{ID: "evt_1PqXYZ", Source: "stripe", Type: "invoice.paid", Received: time.Now(), Body: []byte(`{"id":"evt_1PqXYZ"}`)}
	record, err := written.RegisteredRecord("webhooks.stripe", id)
	if err != nil {
		fmt.Println(err)
		return
	}

	event, err := decoder.FromRecord(context.Background(), record)
	if errors.Is(err, schemas.ErrUnresolved) {
		fmt.Println("the registry does not answer: read the record again later")
		return
	}
	fmt.Println(event.Source, event.Type, string(event.Body), err)
	// Output:
	// stripe invoice.paid {"id":"evt_1PqXYZ"} <nil>
}
