package egress

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/schemas"
)

// limit sets the largest batch that a topic takes.
func (b *bed) limit(bytes string, topics ...string) {
	b.t.Helper()
	if _, err := kadm.NewClient(b.client).AlterTopicConfigs(b.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &bytes}}, topics...); err != nil {
		b.t.Fatal(err)
	}
}

// A topic whose limit is below the producer's batches refuses all of a batch,
// although each of its records would do.
func TestSmallRecordsAreNotTooLargeTogether(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.limit("20000", "causeway.delay.5s")
		b.flood(testTopic, "small", 60, 4<<10)
		stop := b.start()
		time.Sleep(4 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.deadLetters()); n != 0 {
			t.Errorf("%d deliveries were dead-lettered, want none", n)
		}
		if n := len(b.read("causeway.delay.5s")); n != 60 {
			t.Errorf("%d deliveries were parked, want 60", n)
		}
	})
}

func TestLettersAreKeptWholeWhereTheyFitAlone(t *testing.T) {
	inBubble(t, always(410), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.limit("20000", "causeway.dlq")
		b.flood(testTopic, "small", 60, 4<<10)
		stop := b.start()
		time.Sleep(4 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, d := range b.deadLetters() {
			if d.Reason == schemas.ReasonGone && len(d.Value) == 4<<10 {
				whole++
			}
		}
		if whole == 0 || whole != len(b.deadLetters()) {
			t.Errorf("%d of %d letters are whole and say why", whole, len(b.deadLetters()))
		}
	})
}

// Even what no topic takes must not hold its partition for ever.
func TestARecordThatNoTopicTakesLeavesALetterOfItsPlace(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		b.limit("3000", "causeway.delay.5s", "causeway.dlq")
		e := schemas.Event{ID: "evt-0", Source: "shop", Received: time.Now(), Body: noise(5000)}
		r, err := e.Record(testTopic, schemas.Raw)
		if err != nil {
			t.Fatal(err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "x-large", Value: noise(5000)})
		b.produce(r)
		stop := b.start()
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonTooLarge || letters[0].Origin.Topic != testTopic || len(letters[0].Value) != 0 {
			t.Fatalf("%d dead letters: %+v", len(letters), letters)
		}
		if at := b.committed("causeway.egress", testTopic, 0); at != 1 {
			t.Errorf("committed %d, want 1", at)
		}
	})
}

// A write that Kafka does not take is tried for ever by the client, which says nothing.
func TestAWriteThatIsNotTakenIsSaid(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		fault := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "causeway.delay.5s", Err: kerr.NotEnoughReplicas, Count: -1})
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(2 * time.Minute)
		b.wantCondition("egress_writes", "causeway.delay.5s")
		fault.Remove()
		time.Sleep(time.Minute)
		if _, failing := b.health.Ready(); len(failing) > 0 {
			t.Errorf("failing %v after it was taken", failing)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
