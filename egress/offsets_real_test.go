package egress

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/delay"
	"causeway/schemas"
)

// Commits and records that are lost while no egress runs: it goes on at the oldest
// record, counts, and shows it; what is there is delivered.
func TestOffsetsLostOnRealKafka(t *testing.T) {
	y := newYard(t, 3, 2, always(200))
	group := y.kafka.Prefix + "egress"
	stop := y.start()
	y.publish(y.topics[0], nil, ids("old", 10)...)
	y.arrived(1, ids("old", 10)...)
	y.committed(y.topics[0], 10)
	y.committed(y.topics[1], 0) // also partitions in which nothing came
	offsets, err := y.admin.FetchOffsets(t.Context(), group)
	if err != nil || len(offsets.Offsets()[y.topics[1]]) != 3 {
		t.Errorf("commits of an empty topic: %v, %v; want one for each partition", offsets.Offsets()[y.topics[1]], err)
	}
	await(t, "commits of the delay topics", func() bool {
		offsets, err := y.admin.FetchOffsets(t.Context(), y.kafka.Prefix+"delay")
		return err == nil && len(offsets) == len(delay.Tiers())
	})
	if why := y.failing("egress_offsets"); why != "" {
		t.Errorf("at the first start: %s", why)
	}
	stop()

	t.Run("records deleted behind the commit", func(t *testing.T) {
		y.publish(y.topics[0], nil, ids("deleted", 20)...)
		ends, err := y.admin.ListEndOffsets(t.Context(), y.topics[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := y.admin.DeleteRecords(t.Context(), ends.Offsets()); err != nil {
			t.Fatal(err)
		}
		y.publish(y.topics[0], nil, ids("kept", 10)...)
		stop := y.start()
		y.arrived(1, ids("kept", 10)...)
		if lost := testutil.ToFloat64(y.egress.met.lostRecords); lost != 20 {
			t.Errorf("%v records lost, want 20", lost)
		}
		if why := y.failing("egress_offsets"); !strings.Contains(why, "records were deleted before they were delivered") {
			t.Errorf("condition: %q", why)
		}
		y.committed(y.topics[0], 40)
		stop()
		stop = y.start() // the loss is counted once
		y.publish(y.topics[0], nil, "after")
		y.arrived(1, "after")
		if lost := testutil.ToFloat64(y.egress.met.lostRecords); lost != 0 {
			t.Errorf("%v records lost at the next start", lost)
		}
		y.committed(y.topics[0], 41)
		stop()
	})
	t.Run("the group deleted", func(t *testing.T) {
		if _, err := y.admin.DeleteGroup(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		y.publish(y.topics[0], nil, "new")
		stop := y.start()
		y.arrived(2, ids("kept", 10)...) // from the oldest record, never the end
		y.arrived(1, "new")
		if lost := testutil.ToFloat64(y.egress.met.commitsLost); lost != 6 {
			t.Errorf("%v commits lost, want those of 6 partitions", lost)
		}
		if why := y.failing("egress_offsets"); !strings.Contains(why, "read again from its oldest record") {
			t.Errorf("condition: %q", why)
		}
		y.committed(y.topics[0], 42)
		stop()
	})
	t.Run("one partition's commit deleted", func(t *testing.T) {
		if _, err := y.admin.DeleteOffsets(t.Context(), group, kadm.TopicsSet{y.topics[0]: {0: {}}}); err != nil {
			t.Fatal(err)
		}
		stop := y.start()
		y.committed(y.topics[0], 42)
		if lost := testutil.ToFloat64(y.egress.met.commitsLost); lost != 1 {
			t.Errorf("%v commits lost, want 1", lost)
		}
		stop()
	})
	t.Run("a commit beyond the end", func(t *testing.T) {
		offsets, err := y.admin.FetchOffsets(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := offsets.Lookup(y.topics[0], 1)
		o.At += 1000
		offsets.Add(o)
		if _, err := y.admin.CommitOffsets(t.Context(), group, offsets.Offsets()); err != nil {
			t.Fatal(err)
		}
		stop := y.start()
		y.committed(y.topics[0], 42)
		if rewinds := testutil.ToFloat64(y.egress.met.rewinds); rewinds != 1 {
			t.Errorf("%v rewinds, want 1", rewinds)
		}
		stop()
	})
}

// A record that the delay topic does not take ends in the DLQ: whole, or what of it
// the DLQ takes, and at least where it stands.
func TestTooLargeOnRealKafka(t *testing.T) {
	y := newYard(t, 1, 1, always(500))
	limit := func(topic string, bytes string) {
		t.Helper()
		resp, err := y.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic)
		if err == nil {
			_, err = resp.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dlq := y.kafka.Prefix + "dlq"
	for _, tier := range delay.Tiers() {
		limit(tier.Topic(y.kafka.Prefix), "2000")
	}
	body := make([]byte, 8000)
	_, _ = rand.Read(body)
	y.start()
	y.publish(y.topics[0], body, "whole")
	y.publish(y.topics[0], []byte("{}"), "small") // held up by nothing
	whole := y.letter(dlq, 0)
	if whole.Reason != schemas.ReasonTooLarge || string(whole.Value) != string(body) || !strings.Contains(whole.Error, "does not take a record of") {
		t.Errorf("letter: %s, %d bytes, %s", whole.Reason, len(whole.Value), whole.Error)
	}
	await(t, "the small one is parked", func() bool { return testutil.ToFloat64(y.egress.met.parked[parkedRetry]) == 1 })

	limit(dlq, "2000")
	y.publish(y.topics[0], body, "bare")
	bare := y.letter(dlq, 1)
	if bare.Reason != schemas.ReasonTooLarge || bare.Value != nil || bare.Origin.Offset != 2 || string(bare.Key) != "bare" || len(bare.Headers) == 0 {
		t.Errorf("letter without the value: %s, %d bytes, %v, key %q, %d headers", bare.Reason, len(bare.Value), bare.Origin, bare.Key, len(bare.Headers))
	}

	long := make([]byte, 1800)
	_, _ = rand.Read(long)
	r := &kgo.Record{Topic: y.topics[0], Key: []byte("headers"), Value: body, Headers: []kgo.RecordHeader{{Key: "x", Value: long}}}
	e := schemas.Event{ID: "headers", Source: "0", Received: time.Now(), Body: body}
	plain, err := e.Record(y.topics[0], schemas.Raw)
	if err != nil {
		t.Fatal(err)
	}
	r.Headers = append(plain.Headers, r.Headers...)
	if err := y.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	naked := y.letter(dlq, 2)
	if naked.Reason != schemas.ReasonTooLarge || naked.Value != nil || naked.Origin.Offset != 3 || len(naked.Headers) != 0 {
		t.Errorf("letter without the headers: %s, %d bytes, %v, %d headers", naked.Reason, len(naked.Value), naked.Origin, len(naked.Headers))
	}
	y.committed(y.topics[0], 4)
}

// TestManyPartitionsOnRealKafka: 600 partitions of one group start, are committed,
// and move to a second member and back.
func TestManyPartitionsOnRealKafka(t *testing.T) {
	const topics = 50
	began := time.Now()
	y := newYard(t, 12, topics, always(200))
	all := 12 * topics
	t.Logf("%d partitions made in %v", all, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	stop := y.start()
	founded := func() bool {
		offsets, err := y.admin.FetchOffsets(t.Context(), y.kafka.Prefix+"egress")
		n := 0
		offsets.Each(func(kadm.OffsetResponse) { n++ })
		return err == nil && n == all
	}
	await(t, "a commit of every partition", founded)
	t.Logf("assigned and committed in %v", time.Since(began).Round(time.Millisecond))
	deliver := func(round string) {
		t.Helper()
		began := time.Now()
		for n, topic := range y.topics {
			y.publish(topic, nil, ids(fmt.Sprint(round, n), 12)...)
		}
		for n := range y.topics {
			y.arrived(1, ids(fmt.Sprint(round, n), 12)...)
		}
		t.Logf("%s: %d events delivered in %v", round, all, time.Since(began).Round(time.Millisecond))
	}
	deliver("one")
	first := y.egress

	began = time.Now()
	stopSecond := y.start()
	await(t, "an even share for both", func() bool {
		owned := func(e *Egress) int {
			running := e.running.Load()
			if running == nil {
				return 0
			}
			return len(running.members[0].all())
		}
		return owned(first) == all/2 && owned(y.egress) == all/2
	})
	t.Logf("shared with a second member in %v", time.Since(began).Round(time.Millisecond))
	deliver("two")
	began = time.Now()
	stop()
	t.Logf("one stopped in %v", time.Since(began).Round(time.Millisecond))
	deliver("three")
	stopSecond()
	for _, topic := range y.topics {
		y.committed(topic, 36)
	}
}
