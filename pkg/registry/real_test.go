package registry

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"causeway/pkg/kafka/kafkatest"
	"causeway/schemas"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// What the fake only plays: another implementation's answers.
func TestOnRealRegistry(t *testing.T) {
	c := newClient(t, Options{URLs: []string{kafkatest.Registry(t)}})
	topic := kafkatest.Prefix(t) + "webhooks.stripe"
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := c.event(t.Context(), Subject(topic), false)
	want(t, err, "registry.register: false")
	if errs := c.Check(t.Context(), []string{topic}, true); len(errs) > 0 {
		t.Error(errs)
	}
	id, err := c.event(t.Context(), Subject(topic), true)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.event(t.Context(), Subject(topic), true); err != nil || again != id {
		t.Errorf("registered again: id %d, %v; want %d", again, err, id)
	}
	if found, err := c.event(t.Context(), Subject(topic), false); err != nil || found != id {
		t.Errorf("looked up: id %d, %v; want %d", found, err, id)
	}

	d := schemas.NewDecoder(c.Schema) // knows nothing: the schema comes back from the registry
	e := &schemas.Event{ID: "1", Source: "stripe", Received: time.Now(), Body: []byte("body")}
	r, err := e.RegisteredRecord(topic, id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.FromRecord(t.Context(), r); err != nil || string(got.Body) != "body" {
		t.Errorf("got %+v, %v", got, err)
	}

	// Somebody else's schema, which refers to another.
	customer := kafkatest.Prefix(t) + "customer"
	order := kafkatest.Prefix(t) + "order-value"
	if _, err := c.sr.CreateSchema(t.Context(), customer, sr.Schema{Schema: `{"type":"record","name":"Customer","namespace":"shop","fields":[{"name":"id","type":"int"}]}`}); err != nil {
		t.Fatal(err)
	}
	ordered, err := c.sr.RegisterSchema(t.Context(), order, sr.Schema{
		Schema:     `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"by","type":"shop.Customer"}]}`,
		References: []sr.SchemaReference{{Name: "shop.Customer", Subject: customer, Version: 1}},
	}, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	value := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(ordered)), 14)
	if got, err := d.JSON(t.Context(), value); err != nil || string(got) != `{"by":{"id":7}}` {
		t.Errorf("got %s, %v", got, err)
	}
	value[1] = 0x7f // an id that nobody has
	c.unknown[int(binary.BigEndian.Uint32(value[1:]))] = true
	if _, err := d.JSON(t.Context(), value); !errors.Is(err, schemas.ErrMalformed) {
		t.Errorf("an id that is none: %v", err)
	}

	// A subject that holds something else.
	taken := kafkatest.Prefix(t) + "taken"
	if _, err := c.sr.RegisterSchema(t.Context(), Subject(taken), sr.Schema{Schema: `{"type":"record","name":"Other","fields":[{"name":"x","type":"int"}]}`}, -1, -1); err != nil {
		t.Fatal(err)
	}
	for _, result := range c.sr.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatBackward}, Subject(taken)) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
	}
	_, err = c.event(t.Context(), Subject(taken), true)
	want(t, err, "subject "+Subject(taken), "incompatible", "another topic")
	if errs := c.Check(t.Context(), []string{taken}, true); len(errs) != 1 {
		t.Errorf("check of a subject that is taken: %v", errs)
	}
}
