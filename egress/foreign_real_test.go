package egress

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/outbound"
	"causeway/pkg/registry"
	"causeway/schemas"
)

// Producers that know nothing of causeway, on a real Kafka with a real registry:
// their records are delivered, retried, dead-lettered. What is aborted is not, and
// the markers of transactions stop no commit.
func TestForeignRecordsOnRealKafka(t *testing.T) {
	url := kafkatest.Registry(t)
	ko := kafkatest.Real(t, 1).Options()
	ko.Prefix = kafkatest.Prefix(t)
	client, err := kgo.NewClient(ko.SettleProducer()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	plan := kafka.Plan(kafka.PlanOptions{Prefix: ko.Prefix, Brokers: 1, Tiers: delay.Names()})
	if _, err := kafka.Ensure(t.Context(), client, plan); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(ko.Prefix, ".")
	plain, orders, paid, late := name+"-plain", name+"-orders", name+"-paid", name+"-late"
	if _, err := admin.CreateTopics(t.Context(), 1, 1, nil, plain, orders, paid, late); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	arrived := map[string][]string{} // topic -> bodies
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		topic := r.Header.Get("Causeway-Topic")
		mu.Lock()
		defer mu.Unlock()
		arrived[topic] = append(arrived[topic], string(body))
		if topic == plain || topic == orders {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	bodies := func(topic string) []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), arrived[topic]...)
	}

	// A stock producer. Brokers may hear late of topics that were just made.
	stock, err := kgo.NewClient(kgo.SeedBrokers(ko.Brokers...), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer stock.Close()
	send := func(topic string, value []byte) {
		t.Helper()
		if err := stock.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	avro := registerOrder(t, url, orders)
	send(plain, []byte(`{"order": "p1"}`))
	send(plain, nil) // a tombstone
	send(orders, avro("a1", 12.5))
	send(late, []byte(`"old"`))
	inTransactions(t, ko, paid)

	snapshot := foreignSnapshot(t, srv.URL,
		catalog.ForeignSpec{Name: plain, Format: "json", ID: "json:$.order"}, catalog.ForeignSpec{Name: orders, Format: "confluent-avro"},
		catalog.ForeignSpec{Name: paid, Format: "json"}, catalog.ForeignSpec{Name: late, Format: "json", Start: "latest"})
	asked, err := registry.New(registry.Options{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer asked.CloseIdle()
	start := func() (stop func()) {
		o := Options{
			Kafka: ko, Catalog: func() *catalog.Snapshot { return snapshot }, Decoder: schemas.NewDecoder(asked.Schema),
			Client: outbound.New(outbound.Options{AllowLoopback: true, AllowHTTP: true}),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- New(o).Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			o.Client.CloseIdle()
		}
	}
	stop := start()
	committed := func(topic string) int64 {
		offsets, err := admin.FetchOffsets(t.Context(), ko.Prefix+"egress")
		if err != nil {
			return -1 // the coordinator of a group's first days is not there at once
		}
		if o, ok := offsets.Lookup(topic, 0); ok {
			return o.At
		}
		return -1
	}
	await(t, "the end of a topic is committed before anything comes", func() bool { return committed(late) == 1 })
	await(t, "two attempts each", func() bool { return len(bodies(plain)) == 2 && len(bodies(orders)) == 2 })
	await(t, "dead letters", func() bool {
		ends, err := admin.ListEndOffsets(t.Context(), ko.Prefix+"dlq")
		if err != nil {
			return false // asked again
		}
		n := int64(0)
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		return n == 2
	})
	// c1, c2, its marker; the aborted one, its marker; c3, its marker.
	await(t, "the commit passes the last record", func() bool { return committed(paid) >= 6 })
	if got := strings.Join(slices.Sorted(slices.Values(bodies(paid))), " "); got != `"c1" "c2" "c3"` {
		t.Errorf("of the transactions arrived %s", got)
	}
	stop()
	send(late, []byte(`"between"`))
	stop = start()
	defer func() { stop() }()
	await(t, "what came while nobody read", func() bool { return len(bodies(late)) == 1 })
	if got := bodies(late)[0]; got != `"between"` {
		t.Errorf("first of the topic that begins at its end: %s", got)
	}
	if got := bodies(plain); got[0] != `{"order": "p1"}` || got[1] != got[0] {
		t.Errorf("JSON arrived as %q", got)
	}
	if got := bodies(orders); got[0] != `{"id":"a1","total":12.5,"at":"2026-03-04T05:06:07.089Z"}` || got[1] != got[0] {
		t.Errorf("Avro arrived as %q", got)
	}
	letters(t, ko, asked, map[string]string{plain: `{"order": "p1"}`, orders: `{"id":"a1","total":12.5,"at":"2026-03-04T05:06:07.089Z"}`}, avro("a1", 12.5))
}

// registerOrder registers a schema as a stock producer does, and gives what that
// producer writes: Confluent's framing and goavro's encoding, nothing of ours.
func registerOrder(t *testing.T, url, topic string) func(id string, total float64) []byte {
	t.Helper()
	const schema = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"total","type":["null","double"]},{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}`
	client, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.RegisterSchema(t.Context(), topic+"-value", sr.Schema{Schema: schema}, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(schema)
	if err != nil {
		t.Fatal(err)
	}
	return func(order string, total float64) []byte {
		value, err := codec.BinaryFromNative(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), map[string]any{
			"id": order, "total": goavro.Union("double", total), "at": time.UnixMilli(1_772_600_767_089),
		})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// inTransactions writes c1 and c2, then one that is aborted, then c3.
func inTransactions(t *testing.T, ko kafka.Options, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(ko.Brokers...), kgo.TransactionalID(ko.Prefix+"tx"), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, tx := range []struct {
		values string
		commit kgo.TransactionEndTry
	}{{"c1 c2", kgo.TryCommit}, {"aborted", kgo.TryAbort}, {"c3", kgo.TryCommit}} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for value := range strings.FieldsSeq(tx.values) {
			text, _ := json.Marshal(value)
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: text}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), tx.commit); err != nil {
			t.Fatal(err)
		}
	}
}

// foreignSnapshot has one subscription to all of the topics, with one retry.
func foreignSnapshot(t *testing.T, url string, topics ...catalog.ForeignSpec) *catalog.Snapshot {
	t.Helper()
	declared, faults := catalog.Build(nil, nil, catalog.Options{Registry: true, Prefix: "causeway.", Foreign: topics})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	sub := subscription(t, "foreign")
	sub.Schedule, sub.Topics = []time.Duration{time.Second}, nil
	redirect(t, sub, url)
	for _, topic := range topics {
		sub.Topics = append(sub.Topics, topic.Name)
	}
	return catalog.NewSnapshot(0, nil, []*catalog.Subscription{sub}).WithForeign(declared.Foreign)
}

// letters checks the dead letters: the value as it was written, and still an event.
func letters(t *testing.T, ko kafka.Options, asked *registry.Client, want map[string]string, raw []byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(ko.Brokers...), kgo.ConsumeTopics(ko.Prefix+"dlq"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d := schemas.NewDecoder(asked.Schema)
	for read := 0; read < len(want); {
		for _, r := range client.PollFetches(t.Context()).Records() {
			read++
			e, err := d.FromRecord(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			letter, err := schemas.DeliveryFromRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			if letter.Reason != schemas.ReasonExhausted || letter.Attempt != 2 || string(e.Body) != want[letter.Origin.Topic] {
				t.Errorf("dead letter of %s: %s after %d attempts, %s", letter.Origin, letter.Reason, letter.Attempt, e.Body)
			}
			if strings.HasSuffix(letter.Origin.Topic, "-orders") && !bytes.Equal(r.Value, raw) {
				t.Errorf("dead letter of %s: %x, want %x", letter.Origin, r.Value, raw)
			}
		}
	}
}
