package egress

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

const (
	foreignTopic = "orders"
	orderSchema  = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"total","type":["null","double"]}]}`
)

// fakeRegistry is the look-up of a schema registry that can be switched off.
type fakeRegistry struct {
	mu      sync.Mutex
	down    bool
	schemas map[int]string
}

func (f *fakeRegistry) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakeRegistry) find(_ context.Context, id int) (schemas.RegisteredSchema, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return schemas.RegisteredSchema{}, errors.New("connection refused")
	}
	text, ok := f.schemas[id]
	if !ok {
		return schemas.RegisteredSchema{}, schemas.ErrUnknownID
	}
	return schemas.RegisteredSchema{Text: text}, nil
}

// declare lets the bed's egress read foreign topics beside its own.
func (b *bed) declare(registry *fakeRegistry, topics ...catalog.ForeignSpec) {
	b.t.Helper()
	for _, sub := range b.subs {
		sub.Topics = nil
	}
	snapshot, faults := catalog.Build(nil, nil, catalog.Options{Registry: true, Prefix: "causeway.", Foreign: topics})
	if len(faults) > 0 {
		b.t.Fatal(faults)
	}
	for _, sub := range b.subs {
		sub.Topics = []string{testTopic}
		for _, topic := range topics {
			sub.Topics = append(sub.Topics, topic.Name)
		}
	}
	b.tune = func(o *Options) {
		all := catalog.NewSnapshot(0, []*catalog.Source{{Name: "shop", Topic: testTopic}}, b.subs).WithForeign(snapshot.Foreign)
		o.Catalog = func() *catalog.Snapshot { return all }
		o.Decoder = schemas.NewDecoder(registry.find)
	}
}

func (b *bed) makeTopic(name string, partitions int32) {
	b.t.Helper()
	if _, err := kadm.NewClient(b.client).CreateTopic(b.t.Context(), partitions, 1, nil, name); err != nil {
		b.t.Fatal(err)
	}
}

// framed is an order as a stock producer writes it: goavro and Confluent's framing.
func framed(t testing.TB, id int, order string, total any) []byte {
	t.Helper()
	codec, err := goavro.NewCodec(orderSchema)
	if err != nil {
		t.Fatal(err)
	}
	value, err := codec.BinaryFromNative(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), map[string]any{"id": order, "total": total})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// everything gives all arrivals.
func (s *sink) everything() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals)
}

func (s *sink) bodies() string {
	var bodies []string
	for _, a := range s.everything() {
		bodies = append(bodies, a.body)
	}
	return strings.Join(bodies, " ")
}

// A foreign record is delivered, retried and dead-lettered like any other, and
// cannot pass for an event of causeway's own.
func TestForeignRecordIsDeliveredRetriedAndDeadLettered(t *testing.T) {
	for name, tc := range map[string]struct {
		spec              catalog.ForeignSpec
		value             []byte
		body, contentType string
	}{
		"json":           {catalog.ForeignSpec{Format: "json"}, []byte("{\"id\": \"o1\",\n \"total\": 1.50}"), "{\"id\": \"o1\",\n \"total\": 1.50}", "application/json"},
		"raw":            {catalog.ForeignSpec{Format: "raw"}, []byte("\x00\xff"), "\x00\xff", "text/csv"},
		"confluent-avro": {catalog.ForeignSpec{Format: "confluent-avro"}, framed(t, 7, "o1", goavro.Union("double", 1.5)), `{"id":"o1","total":1.5}`, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
				b.makeTopic(foreignTopic, 2)
				tc.spec.Name = foreignTopic
				b.declare(&fakeRegistry{schemas: map[int]string{7: orderSchema}}, tc.spec)
				b.subs[0].Schedule = []time.Duration{5 * time.Second, 30 * time.Second}
				sent := &kgo.Record{Topic: foreignTopic, Key: []byte("k"), Value: tc.value, Timestamp: time.Now(), Headers: []kgo.RecordHeader{
					{Key: "content-type", Value: []byte("text/csv")},
					{Key: "x-shop", Value: []byte("7")},
					{Key: "Authorization", Value: []byte("Bearer x")},
					{Key: "causeway-schema", Value: []byte("1")},
					{Key: "causeway-id", Value: []byte("evt_forged")},
					{Key: "causeway-source", Value: []byte("shop")},
					{Key: "causeway-tenant", Value: []byte("acme")},
					{Key: "causeway-type", Value: []byte("paid")},
					{Key: "Causeway-Format", Value: []byte("raw")},
					{Key: "causeway-received", Value: []byte("2026-01-01T00:00:00Z")},
					{Key: "causeway-subscription", Value: []byte(b.subs[0].UID.String())},
				}}
				b.produce(sent)
				b.start()
				time.Sleep(2 * time.Minute)
				got := b.sink.everything()
				if len(got) != 3 {
					t.Fatalf("%d attempts, want 3", len(got))
				}
				for i, a := range got {
					if a.body != tc.body || a.header.Get("Content-Type") != tc.contentType {
						t.Errorf("attempt %d: %s %q", i, a.header.Get("Content-Type"), a.body)
					}
					if a.id != got[0].id || len(a.id) < 32 || a.header.Get("Causeway-Topic") != foreignTopic {
						t.Errorf("attempt %d: webhook-id %q of %q", i, a.id, a.header.Get("Causeway-Topic"))
					}
					if a.header.Get("Causeway-Source") != "" || a.header.Get("Causeway-Type") != "" {
						t.Errorf("attempt %d: passes for an event of %q, type %q", i, a.header.Get("Causeway-Source"), a.header.Get("Causeway-Type"))
					}
				}
				if gap := got[1].at.Sub(got[0].at); gap < 5*time.Second {
					t.Errorf("second attempt after %s", gap)
				}
				letters := b.read("causeway.dlq")
				if len(letters) != 1 {
					t.Fatalf("%d dead letters, want 1", len(letters))
				}
				d, err := schemas.DeliveryFromRecord(letters[0])
				if err != nil {
					t.Fatal(err)
				}
				if d.Reason != schemas.ReasonExhausted || string(d.Value) != string(tc.value) || string(d.Key) != "k" || d.Origin.Topic != foreignTopic {
					t.Errorf("dead letter %+v", d)
				}
				decoder := schemas.NewDecoder((&fakeRegistry{schemas: map[int]string{7: orderSchema}}).find)
				e, err := decoder.FromRecord(t.Context(), letters[0])
				if err != nil {
					t.Fatal(err)
				}
				if e.Source != "" || e.Tenant != "" || e.Type != "" || e.ID == "evt_forged" || string(e.Body) != tc.body {
					t.Errorf("the dead letter holds %+v", e)
				}
				if len(e.Headers) != 1 || e.Headers[0] != (schemas.Header{Name: "x-shop", Value: "7"}) {
					t.Errorf("headers that went on: %v", e.Headers)
				}
			})
		})
	}
}

// A subscription to a source gets none of what others write, whatever it says it is.
func TestForeignRecordMatchesNoSource(t *testing.T) {
	inBubble(t, always(200), []string{"a", "b"}, func(t *testing.T, b *bed) {
		b.makeTopic("shop", 1) // named like the source
		b.declare(&fakeRegistry{}, catalog.ForeignSpec{Name: "shop", Format: "json", Type: "json:$.type"})
		b.subs[0].Sources = []string{"shop"}
		b.subs[1].Types = []string{"order.*"}
		b.produce(&kgo.Record{Topic: "shop", Value: []byte(`{"type":"order.paid"}`), Headers: []kgo.RecordHeader{{Key: schemas.HeaderSource, Value: []byte("shop")}}})
		b.start()
		time.Sleep(time.Second)
		got := b.sink.everything()
		if len(got) != 1 || got[0].path != "b" || got[0].header.Get("Causeway-Type") != "order.paid" {
			t.Errorf("arrivals %+v, want one, at b", got)
		}
	})
}

func TestForeignIDs(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		for _, topic := range []string{"by-field", "by-header", "by-key", "by-avro"} {
			b.makeTopic(topic, 1)
		}
		b.declare(&fakeRegistry{schemas: map[int]string{7: orderSchema}},
			catalog.ForeignSpec{Name: "by-field", Format: "json", ID: "json:$.order.id"}, catalog.ForeignSpec{Name: "by-header", Format: "raw", ID: "header:X-Order"},
			catalog.ForeignSpec{Name: "by-key", Format: "raw", ID: "key"}, catalog.ForeignSpec{Name: "by-avro", Format: "confluent-avro", ID: "json:$.id"})
		b.produce(&kgo.Record{Topic: "by-field", Value: []byte(`{"order":{"id":"f1"}}`)})
		b.produce(&kgo.Record{Topic: "by-field", Value: []byte(`{"order":{}}`)}) // it is not lost for that
		b.produce(&kgo.Record{Topic: "by-header", Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "x-order", Value: []byte("h1")}}})
		b.produce(&kgo.Record{Topic: "by-key", Key: []byte("k1"), Value: []byte("x")})
		b.produce(&kgo.Record{Topic: "by-avro", Value: framed(t, 7, "v1", nil)})
		b.start()
		time.Sleep(time.Second)
		var ids []string
		for _, a := range b.sink.everything() {
			if len(a.id) > 30 {
				a.id = "place"
			}
			ids = append(ids, a.id)
		}
		slices.Sort(ids)
		if got := strings.Join(ids, " "); got != "f1 h1 k1 place v1" {
			t.Errorf("IDs %s", got)
		}
	})
}

func TestForeignPoisonIsDeadLettered(t *testing.T) {
	for name, tc := range map[string]struct {
		format, want string
		bad, good    []byte
	}{
		"not JSON":             {"json", "not JSON", []byte("{"), []byte(`"good"`)},
		"Avro for JSON":        {"json", "confluent-avro", framed(t, 7, "x", nil), []byte(`"good"`)},
		"no framing":           {"confluent-avro", "wire format", []byte("{}"), framed(t, 7, "good", nil)},
		"an id that is none":   {"confluent-avro", "no schema of that id", framed(t, 8, "x", nil), framed(t, 7, "good", nil)},
		"bytes that are short": {"confluent-avro", "too early", framed(t, 7, "x", nil)[:6], framed(t, 7, "good", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
				b.makeTopic(foreignTopic, 1)
				b.declare(&fakeRegistry{schemas: map[int]string{7: orderSchema}}, catalog.ForeignSpec{Name: foreignTopic, Format: tc.format})
				b.produce(&kgo.Record{Topic: foreignTopic, Value: tc.bad, Headers: []kgo.RecordHeader{{Key: schemas.HeaderSource, Value: []byte("shop")}}})
				b.produce(&kgo.Record{Topic: foreignTopic, Value: nil}) // a tombstone
				b.produce(&kgo.Record{Topic: foreignTopic, Value: tc.good})
				stop := b.start()
				time.Sleep(time.Minute)
				if got := b.sink.bodies(); !strings.Contains(got, "good") {
					t.Errorf("arrivals %s", got)
				}
				letters := b.deadLetters()
				if len(letters) != 1 || letters[0].Reason != schemas.ReasonPoison || string(letters[0].Value) != string(tc.bad) || !strings.Contains(letters[0].Error, tc.want) {
					t.Fatalf("dead letters %+v, want the record with %q", letters, tc.want)
				}
				for _, h := range letters[0].Headers {
					if h.Key == schemas.HeaderSource {
						t.Errorf("the dead letter says that it is of source %s", h.Value)
					}
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if got := b.committed("causeway.egress", foreignTopic, 0); got != 3 {
					t.Errorf("committed %d, want 3", got)
				}
			})
		})
	}
}

// A registry that does not answer makes the partition wait, and nothing else.
func TestUnresolvedSchemaHoldsItsPartitionOnly(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.makeTopic(foreignTopic, 1)
		registry := &fakeRegistry{schemas: map[int]string{7: orderSchema}, down: true}
		b.declare(registry, catalog.ForeignSpec{Name: foreignTopic, Format: "confluent-avro"})
		b.produce(&kgo.Record{Topic: foreignTopic, Value: framed(t, 7, "o1", nil)})
		b.publish(schemas.Event{ID: "e1"})
		b.start()
		time.Sleep(10 * time.Minute)
		if got := b.sink.bodies(); got != `{"id":"e1"}` {
			t.Errorf("arrivals while the registry is away: %s", got)
		}
		if got := b.failing("egress_schemas"); !strings.Contains(got, "orders/0 waits at offset 0") || !strings.Contains(got, "connection refused") {
			t.Errorf("condition egress_schemas says %q", got)
		}
		if letters := b.deadLetters(); len(letters) > 0 || b.committed("causeway.egress", foreignTopic, 0) > 0 {
			t.Errorf("%d dead letters, committed %d", len(letters), b.committed("causeway.egress", foreignTopic, 0))
		}
		registry.set(false)
		time.Sleep(5 * time.Second)
		if got := b.sink.bodies(); !strings.Contains(got, `"o1"`) {
			t.Errorf("arrivals when it is back: %s", got)
		}
		if got := b.failing("egress_schemas"); got != "" {
			t.Errorf("condition egress_schemas still says %q", got)
		}
	})
}

// failing is what a condition says, empty when it is met.
func (b *bed) failing(code string) string {
	_, failing := b.health.Ready()
	for _, f := range failing {
		if f.Code == code {
			return f.Text
		}
	}
	return ""
}

// A parked delivery knows how its value is read: without the topic's declaration,
// and without holding up others while the registry is away.
func TestParkedForeignRecordNeedsNoDeclaration(t *testing.T) {
	status := 500
	var mu sync.Mutex
	inBubble(t, func(arrival) int { mu.Lock(); defer mu.Unlock(); return status }, []string{"a"}, func(t *testing.T, b *bed) {
		b.makeTopic(foreignTopic, 1)
		registry := &fakeRegistry{schemas: map[int]string{7: orderSchema}}
		b.declare(registry, catalog.ForeignSpec{Name: foreignTopic, Format: "confluent-avro", Type: "json:$.id"})
		b.produce(&kgo.Record{Topic: foreignTopic, Value: framed(t, 7, "o1", nil)})
		stop := b.start()
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		status = 200
		mu.Unlock()
		// Nothing declares the topic any more, and the registry is away.
		b.declare(registry)
		registry.set(true)
		b.start()
		b.publish(schemas.Event{ID: "e1"})
		time.Sleep(20 * time.Second)
		if got := b.sink.bodies(); !strings.Contains(got, "e1") || strings.Count(got, "o1") != 1 {
			t.Errorf("arrivals while the registry is away: %s", got)
		}
		registry.set(false)
		time.Sleep(2 * time.Minute)
		got := b.sink.everything()
		last := got[len(got)-1]
		if last.body != `{"id":"o1","total":null}` || last.header.Get("Causeway-Type") != "o1" {
			t.Errorf("arrivals %s", b.sink.bodies())
		}
		if len(got) != 3 {
			t.Errorf("%d arrivals, want 3", len(got))
		}
	})
}

// A topic that begins at its end does so once: what comes before the first commit
// of a record is not passed over by the next process.
func TestLatestIsDurable(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.makeTopic(foreignTopic, 2)
		b.declare(&fakeRegistry{}, catalog.ForeignSpec{Name: foreignTopic, Format: "json", Start: "latest"})
		put := func(partition int32, text string) {
			value, _ := json.Marshal(text)
			b.produce(&kgo.Record{Topic: foreignTopic, Partition: partition, Value: value})
		}
		manual, err := kgo.NewClient(append(b.kafka().SettleProducer(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer manual.Close()
		b.client = manual
		put(0, "old")
		put(1, "old")
		time.Sleep(2 * time.Minute)
		stop := b.start()
		time.Sleep(time.Second)
		if got := b.committed("causeway.egress", foreignTopic, 0); got != 1 {
			t.Errorf("before any record: committed %d, want 1", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		put(0, "between")
		b.start()
		time.Sleep(time.Second)
		put(1, "new")
		time.Sleep(time.Second)
		if got := b.sink.bodies(); got != `"between" "new"` {
			t.Errorf("arrivals %s", got)
		}
	})
}

// A partition added later holds nothing that is old, and begins at its start.
func TestLatestCoversLaterPartitions(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.makeTopic(foreignTopic, 1)
		b.declare(&fakeRegistry{}, catalog.ForeignSpec{Name: foreignTopic, Format: "json", Start: "latest"})
		manual, err := kgo.NewClient(append(b.kafka().SettleProducer(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer manual.Close()
		b.produce(&kgo.Record{Topic: foreignTopic, Value: []byte(`"old"`)})
		time.Sleep(5 * time.Minute)
		stop := b.start()
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := kadm.NewClient(b.client).CreatePartitions(t.Context(), 1, foreignTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.client = manual
		b.produce(&kgo.Record{Topic: foreignTopic, Partition: 1, Value: []byte(`"added"`)})
		b.start()
		time.Sleep(time.Second)
		if got := b.sink.bodies(); got != `"added"` {
			t.Errorf("arrivals %s", got)
		}
	})
}

func TestForeignTopicThatIsNotThereYet(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.declare(&fakeRegistry{}, catalog.ForeignSpec{Name: foreignTopic, Format: "json"})
		b.start()
		b.publish(schemas.Event{ID: "e1"})
		time.Sleep(time.Minute)
		if got := b.failing("foreign_topics"); !strings.Contains(got, "orders is not there") {
			t.Errorf("condition foreign_topics says %q", got)
		}
		if got := b.sink.bodies(); got != `{"id":"e1"}` {
			t.Errorf("arrivals %s", got)
		}
		b.makeTopic(foreignTopic, 1)
		b.produce(&kgo.Record{Topic: foreignTopic, Value: []byte(`"o1"`)})
		time.Sleep(2 * time.Minute)
		if got := b.sink.bodies(); !strings.Contains(got, `"o1"`) {
			t.Errorf("arrivals %s", got)
		}
		if got := b.failing("foreign_topics"); got != "" {
			t.Errorf("condition foreign_topics still says %q", got)
		}
	})
}

// A registry takes requests and never answers. Parked deliveries that need it must not
// make those behind them late.
func TestARegistryThatHangsDoesNotDelayWhatIsParked(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) {
			o.Logger, o.Kafka.Logger = nil, nil
			o.Decoder = schemas.NewDecoder(func(ctx context.Context, _ int) (schemas.RegisteredSchema, error) {
				hang, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				<-hang.Done()
				return schemas.RegisteredSchema{}, hang.Err()
			})
		}
		stop := b.start()
		time.Sleep(5 * time.Second)
		for i := range 100 {
			e := schemas.Event{ID: fmt.Sprintf("avro-%d", i), Received: time.Now()}
			own, err := e.Adopt(&kgo.Record{Topic: "orders", Offset: int64(i), Value: []byte{0, 0, 0, 0, 7, 1, 2}, Timestamp: time.Now()}, schemas.ForeignAvro)
			if err != nil {
				t.Fatal(err)
			}
			d := schemas.NewDelivery(own, "", b.subs[0].UID, 0)
			d.Hop, d.Attempt, d.Due, d.First, d.Last = 1, 1, time.Now().Add(time.Second), time.Now(), time.Now()
			b.produce(d.DelayRecord("causeway.delay.1s"))
		}
		due := time.Now().Add(time.Second)
		d := b.parked("evt-1", 1, due)
		b.produce(d.DelayRecord("causeway.delay.1s"))
		time.Sleep(time.Until(due.Add(time.Second)))
		if n := len(b.sink.of("a", "evt-1")); n != 1 {
			t.Errorf("%d arrivals a second after it was due, want 1: it needs no registry", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
