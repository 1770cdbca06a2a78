package egress

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/schemas"
)

func TestUnreadableRecordsAreDeadLettersAndOthersGoOn(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		stop := b.start()
		b.produce(&kgo.Record{Topic: testTopic, Key: []byte("junk"), Value: []byte{0, 1, 2}})
		b.produce(&kgo.Record{Topic: testTopic, Key: []byte("gone")}) // a tombstone
		b.produce(&kgo.Record{Topic: "causeway.delay.1s", Key: []byte("junk"), Value: []byte("?"), Headers: []kgo.RecordHeader{{Key: "causeway-subscription", Value: []byte("no uuid")}}})
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(10 * time.Second)
		if n := len(b.sink.of("a", "evt-1")); n != 1 {
			t.Errorf("%d arrivals of the good event, want 1", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		records := b.read("causeway.dlq")
		if len(records) != 2 {
			t.Fatalf("%d dead letters, want 2", len(records))
		}
		for _, r := range records {
			d, err := schemas.DeliveryFromRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			if d.Reason != schemas.ReasonPoison || d.Error == "" {
				t.Errorf("dead letter %q: reason %q, error %q", r.Key, d.Reason, d.Error)
			}
		}
	})
}

// produceNewer writes an event as a later release would.
func (b *bed) produceNewer(id string) {
	b.t.Helper()
	e := schemas.Event{ID: id, Source: "shop", Received: time.Now(), Body: []byte("x")}
	r, err := e.Record(testTopic, schemas.Raw)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, h := range r.Headers {
		if h.Key == "causeway-schema" {
			r.Headers[i].Value = []byte("99")
		}
	}
	b.produce(r)
}

func TestNewerSchemaIsHeldAndNamed(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger = nil }
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		b.produceNewer("evt-2")
		b.publish(schemas.Event{ID: "evt-3"})
		time.Sleep(time.Minute)
		if n := len(b.sink.of("a", "evt-1")); n != 1 {
			t.Errorf("%d arrivals of the event before, want 1", n)
		}
		if n := len(b.sink.of("a", "evt-3")); n != 0 {
			t.Errorf("the event behind the held one was delivered")
		}
		b.wantCondition("egress_partitions", "webhooks.shop/0 is held at offset 1")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.read("causeway.dlq")); n != 0 {
			t.Errorf("%d dead letters: a record of a newer release is not poison", n)
		}
		offsets, err := kadm.NewClient(b.client).FetchOffsets(t.Context(), "causeway.egress")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := offsets.Lookup(testTopic, 0); o.At != 1 {
			t.Errorf("committed %d, want 1: the held record must be read again", o.At)
		}
	})
}

func TestCommitMadeByHandIsRefused(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.publish(schemas.Event{ID: "evt-1"}, schemas.Event{ID: "evt-2"})
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: testTopic, Partition: 0, At: 1, LeaderEpoch: -1})
		if err := kadm.NewClient(b.client).CommitAllOffsets(t.Context(), "causeway.egress", offsets); err != nil {
			t.Fatal(err)
		}
		b.tune = func(o *Options) { o.Logger = nil }
		stop := b.start()
		time.Sleep(10 * time.Second)
		b.wantCondition("egress_partitions", "does not serve webhooks.shop/0")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.arrivals); n != 0 {
			t.Errorf("%d deliveries from a commit that nobody can vouch for", n)
		}
	})
}

// A process that dies between writing a delay record and committing writes it
// again: the chain forks. The twin is dropped where both lie in one partition.
func TestForkedChainIsDeliveredOnce(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		d := b.parked("evt-1", 1, time.Now().Add(time.Second))
		b.produce(d.DelayRecord("causeway.delay.1s"))
		b.produce(d.DelayRecord("causeway.delay.1s"))
		other := d
		other.Hop++
		b.produce(other.DelayRecord("causeway.delay.1s"))
		stop := b.start()
		time.Sleep(5 * time.Second)
		// A twin that comes after the first one was committed, to a new owner.
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		stop = b.start()
		b.produce(d.DelayRecord("causeway.delay.1s"))
		time.Sleep(5 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-1")); n != 2 {
			t.Errorf("%d arrivals, want 2: one for each hop", n)
		}
	})
}

func TestTwinIsForgottenAfterItsWindow(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		d := b.parked("evt-1", 1, time.Now())
		b.produce(d.DelayRecord("causeway.delay.1s"))
		stop := b.start()
		time.Sleep(16 * time.Minute)
		b.produce(d.DelayRecord("causeway.delay.1s"))
		time.Sleep(5 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-1")); n != 2 {
			t.Errorf("%d arrivals, want 2", n)
		}
	})
}

func TestDeliveryOfAnUnknownSubscriptionIsADeadLetter(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		d := b.parked("evt-1", 1, time.Now())
		d.Subscription = subscription(t, "deleted").UID
		b.produce(d.DelayRecord("causeway.delay.1s"))
		stop := b.start()
		time.Sleep(6 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonSubscriptionDeleted {
			t.Fatalf("dead letters: %+v", letters)
		}
	})
}

// Processes get a new process file one after the other: what one of them has begun to
// deliver must not end with another that does not know the subscription yet.
func TestADeliveryWaitsForAProcessThatKnowsItsSubscription(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		d := b.parked("evt-1", 1, time.Now())
		known := b.subs
		b.subs = nil
		b.produce(d.DelayRecord("causeway.delay.1s"))
		stop := b.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		b.subs = known
		stop = b.start()
		time.Sleep(6 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n, letters := len(b.sink.of("a", "evt-1")), b.deadLetters(); n != 1 || len(letters) != 0 {
			t.Errorf("%d arrivals and %d dead letters, want 1 and none", n, len(letters))
		}
	})
}

func TestADueTimeFromAWrongClockIsNotBelieved(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger = nil }
		d := b.parked("evt-1", 1, time.Now().Add(24*time.Hour))
		b.produce(d.DelayRecord("causeway.delay.5s"))
		began := time.Now()
		stop := b.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := b.sink.of("a", "evt-1")
		if len(got) != 1 {
			t.Fatalf("%d arrivals, want 1", len(got))
		}
		if after := got[0].at.Sub(began); after < 5*time.Second || after > 6*time.Second {
			t.Errorf("came after %v, want the tier's 5s from first sight", after)
		}
	})
}

func TestARecordTooLargeForTheDelayTopicIsADeadLetter(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		admin := kadm.NewClient(b.client)
		small := "20000"
		if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &small}}, "causeway.delay.5s"); err != nil {
			t.Fatal(err)
		}
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1", Body: noise(64000)})
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonTooLarge || len(letters[0].Value) != 64000 {
			t.Fatalf("%d dead letters: %+v", len(letters), letters)
		}
	})
}

// noise is a body that no compression makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// parked makes a delivery as egress would have parked it.
func (b *bed) parked(id string, hop int, due time.Time) schemas.Delivery {
	b.t.Helper()
	e := schemas.Event{ID: id, Source: "shop", Received: time.Now(), Body: []byte("x")}
	r, err := e.Record(testTopic, schemas.Raw)
	if err != nil {
		b.t.Fatal(err)
	}
	d := schemas.NewDelivery(r, "", b.subs[0].UID, 0)
	d.Hop, d.Attempt, d.Due = hop, 1, due
	d.First, d.Last, d.Status = time.Now(), time.Now(), 500
	return d
}

// wantCondition checks that a health condition fails and says the text.
func (b *bed) wantCondition(code, text string) {
	b.t.Helper()
	_, failing := b.health.Ready()
	for _, f := range failing {
		if f.Code == code && strings.Contains(f.Text, text) {
			return
		}
	}
	b.t.Errorf("no condition %s says %q: %+v", code, text, failing)
}

func TestAPlannedTierThatIsNotKnownHereIsHeld(t *testing.T) {
	inBubble(t, always(200), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger = nil }
		d := b.parked("evt-1", 1, time.Now())
		d.Hops = []string{"45s"}
		b.produce(d.DelayRecord("causeway.delay.1s"))
		stop := b.start()
		time.Sleep(time.Minute)
		b.wantCondition("egress_partitions", `no delay tier "45s" here`)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-1")); n != 0 {
			t.Errorf("%d arrivals of a delivery whose wait is not over", n)
		}
	})
}
