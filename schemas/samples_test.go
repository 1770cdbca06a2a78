package schemas

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sampleEvent uses every field. Only the avro format keeps the remote address.
func sampleEvent(f Format) *Event {
	e := &Event{
		ID:          "evt_1PqXYZ",
		Source:      "stripe",
		Type:        "invoice.paid",
		Tenant:      "acme",
		Received:    time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC),
		Occurred:    time.Date(2026, 3, 4, 5, 6, 1, 0, time.UTC),
		ContentType: "application/json; charset=utf-8",
		Encoding:    "identity",
		Headers:     []Header{{"x-region", "eu"}, {"x-region", "us"}, {"x-latin1", "caf\xe9"}},
		Body:        []byte("{\"id\": \"evt_1PqXYZ\",\n  \"amount\": 1.50e2, \"note\": \"\xff\x00<&>\"}\n"),
		VerifiedBy:  "stripe",
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Identity:    "0123456789abcdef0123456789abcdef",
	}
	if f == Avro {
		e.RemoteAddress = "203.0.113.7"
	}
	return e
}

// smallestEvent has nothing that may be missing.
func smallestEvent() *Event {
	return &Event{ID: "1", Source: "s", Received: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Body: []byte{}}
}

func sampleDelivery(t testing.TB) *Delivery {
	t.Helper()
	r, err := sampleEvent(Raw).Record("webhooks.stripe", Raw)
	if err != nil {
		t.Fatal(err)
	}
	r.Partition, r.Offset = 3, 42
	d := NewDelivery(r, "kafka/1", uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), 17)
	d.Attempt, d.Hop, d.Waits = 2, 5, 1
	d.Due = time.Date(2026, 3, 4, 5, 7, 0, 123e6, time.UTC)
	d.Hops = []string{"5s", "1s"}
	d.First = time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)
	d.Last = time.Date(2026, 3, 4, 5, 6, 20, 500e6, time.UTC)
	d.Status = 503
	d.Error = "503 Service Unavailable"
	return &d
}

func deadDelivery(t testing.TB) *Delivery {
	d := sampleDelivery(t)
	d.Run, d.Due, d.Hops, d.Waits, d.Reason = "0190c7a1", time.Time{}, nil, 0, ReasonExhausted
	return d
}

func sampleAttempt() *Attempt {
	return &Attempt{
		EventID: "evt_1PqXYZ", Source: "stripe", Type: "invoice.paid", Tenant: "acme",
		Subscription:     uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
		SubscriptionName: "billing",
		Cluster:          "kafka-1",
		Origin:           Position{"webhooks.stripe", 3, 42},
		Run:              "0",
		Attempt:          2,
		Hop:              5,
		Started:          time.Date(2026, 3, 4, 5, 6, 20, 123456e3, time.UTC),
		Took:             1234567 * time.Microsecond,
		Class:            "failed",
		Status:           503,
		Error:            "503 Service Unavailable",
		Verdict:          "dead",
		Reason:           ReasonExhausted,
		NextDue:          time.Date(2026, 3, 4, 5, 7, 0, 1e6, time.UTC),
		Response:         []byte("try \x00later"), ResponseContentType: "text/plain",
	}
}

func eventRecord(f Format) func() (*kgo.Record, error) {
	return func() (*kgo.Record, error) { return sampleEvent(f).Record("webhooks.stripe", f) }
}

func smallestRecord() (*kgo.Record, error) { return smallestEvent().Record("webhooks.s", Raw) }

func attemptRecord() (*kgo.Record, error) { return sampleAttempt().Record("causeway.attempts"), nil }

func record(r *kgo.Record) func() (*kgo.Record, error) {
	return func() (*kgo.Record, error) { return r, nil }
}

func readEvent(r *kgo.Record) (any, error) { return FromRecord(r) }

func readDelivery(r *kgo.Record) (any, error) { return DeliveryFromRecord(r) }

func readAttempt(r *kgo.Record) (any, error) { return AttemptFromRecord(r) }
