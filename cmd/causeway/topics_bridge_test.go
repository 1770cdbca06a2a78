package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// onKafka is a bridge on one real broker, on whose clients' metadata nothing gets
// older than a second.
func onKafka(t *testing.T, answer func(id string, attempt int) int) (*bridge, *kadm.Client) {
	t.Helper()
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	o := kafkatest.Real(t, 1).Options()
	o.Prefix = kafkatest.Prefix(t)
	o.Extra = append(o.Extra, kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond))
	b := newBridge(t, o, loopbackWire(t), []catalog.Duration{catalog.Duration(time.Second)}, answer)
	client, err := kgo.NewClient(o.Base("test")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return b, kadm.NewClient(client)
}

// all says whether each of n ids arrived.
func (b *bridge) all(prefix string, n int) func() bool {
	return func() bool {
		for i := range n {
			if len(b.of(fmt.Sprintf("%s-%d", prefix, i))) == 0 {
				return false
			}
		}
		return true
	}
}

// store posts n webhooks, all of which have to be stored.
func (b *bridge) store(url, prefix string, n int) {
	b.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		if status, said := b.postTo(url, id, []byte(`{"id":"`+id+`"}`)); status != 200 || said != "received" {
			b.t.Fatalf("%s: %d %s", id, status, said)
		}
	}
}

// TestATopicIsDeletedUnderTheBridge: its source is answered 503 and says why, the
// other one goes on, and the topic that is made again is read from its beginning,
// whatever was committed of the one before.
func TestATopicIsDeletedUnderTheBridge(t *testing.T) {
	b, admin := onKafka(t, func(string, int) int { return 200 })
	b.store(b.url, "old", 60)
	b.store(b.calm, "calm-before", 5)
	b.await("delivery", func() bool { return b.all("old", 60)() && b.all("calm-before", 5)() })
	before, err := admin.ListTopics(t.Context(), b.topic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopics(t.Context(), b.topic); err != nil {
		t.Fatal(err)
	}
	missing := 0
	b.await("the topic made again", func() bool {
		status, said := b.post("probe", []byte(`{}`))
		if status == 503 && said == "topic_missing" {
			missing++
		}
		if status, said := b.postTo(b.calm, fmt.Sprintf("calm-%d", missing), []byte(`{}`)); status != 200 {
			t.Errorf("the other source: %d %s", status, said)
		}
		return status == 200
	})
	if missing == 0 {
		t.Error("nobody was told that the topic is missing")
	}
	after, err := admin.ListTopics(t.Context(), b.topic)
	if err != nil || after[b.topic].ID == before[b.topic].ID || len(after[b.topic].Partitions) != 3 {
		t.Errorf("the topic: %v, %d partitions, the same as before: %v", err, len(after[b.topic].Partitions), after[b.topic].ID == before[b.topic].ID)
	}
	b.store(b.url, "new", 30) // fewer than before: where the old commits would pass over them
	b.await("delivery of the new topic", b.all("new", 30))
	b.store(b.calm, "calm-after", 5)
	b.await("delivery of the other source", b.all("calm-after", 5))
}

// TestPartitionsAreAddedUnderLoad: nothing is lost, and the new partitions are read
// from their beginning.
func TestPartitionsAreAddedUnderLoad(t *testing.T) {
	b, admin := onKafka(t, func(_ string, attempt int) int {
		if attempt == 1 {
			return 500
		}
		return 200
	})
	b.store(b.url, "before", 20)
	if _, err := admin.UpdatePartitions(t.Context(), 6, b.topic); err != nil {
		t.Fatal(err)
	}
	used := func() bool {
		ends, err := admin.ListEndOffsets(t.Context(), b.topic)
		if err != nil {
			return false
		}
		n := 0
		ends.Each(func(o kadm.ListedOffset) {
			if o.Partition >= 3 && o.Offset > 0 {
				n++
			}
		})
		return n == 3
	}
	sent := 0
	b.await("records in the new partitions", func() bool {
		b.store(b.url, fmt.Sprintf("during%d", sent), 5)
		sent++
		return used()
	})
	b.await("delivery after a retry", func() bool {
		for n := range sent {
			for i := range 5 {
				if len(b.of(fmt.Sprintf("during%d-%d", n, i))) < 2 {
					return false
				}
			}
		}
		return b.all("before", 20)()
	})
}
