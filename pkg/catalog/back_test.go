package catalog_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// The broker has lost the topic's end and others write on from there. Whoever has read
// what is lost must not lay the new records over it: he keeps what he has, also when the
// topic is longer again than what he read, and writes nothing.
func TestATopicThatLostItsEndIsNotFollowed(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *kafkatest.Bubble, *catalog.Topic){
		"a new leader has less": func(t *testing.T, b *kafkatest.Bubble, _ *catalog.Topic) {
			b.Cluster().ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
				req := r.(*kmsg.OffsetForLeaderEpochRequest)
				resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
				topic, partition := kmsg.NewOffsetForLeaderEpochResponseTopic(), kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				partition.EndOffset = 1
				topic.Topic, topic.Partitions = catalogTopic, append(topic.Partitions, partition)
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			if err := b.Cluster().MoveTopicPartition(catalogTopic, 0, 1-b.Cluster().LeaderFor(catalogTopic, 0)); err != nil {
				t.Fatal(err)
			}
		},
		"the next offset is out of range": func(_ *testing.T, b *kafkatest.Bubble, _ *catalog.Topic) {
			b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: catalogTopic, Err: kerr.OffsetOutOfRange})
		},
		"it is too short whenever somebody asks": func(t *testing.T, b *kafkatest.Bubble, topic *catalog.Topic) {
			for range 4 {
				shortOnce(b)
				if end, err := topic.End(t.Context()); err != nil || end != 1 {
					t.Fatalf("ends at %d, %v: the test shows nothing", end, err)
				}
				time.Sleep(30 * time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := kafkatest.NewBubble(t, 2)
				open := topicIn(t, b)
				topic := open()
				before := reached(t, topic, put(t, topic, entry(catalog.KindSource, "", "stripe")).Version)
				lose(t, b, topic)
				time.Sleep(10 * time.Second)
				other := open() // was started again
				end := put(t, other, entry(catalog.KindSource, "", "github")).Version
				time.Sleep(10 * time.Second)
				if got := topic.State(); got != before {
					t.Errorf("it went on from version %d to %d", before.Version, got.Version)
				}
				if err := topic.WentBack(); !errors.Is(err, catalog.ErrWentBack) || !strings.Contains(err.Error(), "restart") {
					t.Errorf("says %v, want that the topic went back", err)
				}
				if got, err := topic.End(t.Context()); err != nil || got != end {
					t.Errorf("ends at %d, %v; want %d, as it is", got, err, end)
				}
				_, err := topic.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
					return catalog.Changes{Put: []*catalog.Entry{entry(catalog.KindSource, "", "late")}}, nil
				})
				if !errors.Is(err, catalog.ErrWentBack) || errors.Is(err, catalog.ErrUnknownOutcome) {
					t.Errorf("a change: %v, want that it is refused", err)
				}
				if other.WentBack() != nil || now(t, other).Named(catalog.KindSource, "", "late") != nil {
					t.Errorf("the one that was started again: %v, %d entries", other.WentBack(), other.State().Len())
				}
			})
		})
	}
}

// The word of one broker may be old: once is not enough.
func TestATopicThatIsTooShortOnceIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		topic := topicIn(t, b)()
		reached(t, topic, put(t, topic, entry(catalog.KindSource, "", "stripe")).Version)
		for range 3 {
			shortOnce(b)
			for _, want := range []int64{1, topic.State().Version} {
				if end, err := topic.End(t.Context()); err != nil || end != want {
					t.Errorf("ends at %d, %v; want %d", end, err, want)
				}
				time.Sleep(30 * time.Second)
			}
		}
		reached(t, topic, put(t, topic, entry(catalog.KindSource, "", "github")).Version)
		if err := topic.WentBack(); err != nil {
			t.Error(err)
		}
	})
}

// What a broker that was cut off says counts for nothing as long as the reader goes on.
func TestATopicThatGrowsIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		topic, other := open(), open()
		reached(t, topic, put(t, topic, entry(catalog.KindSource, "", "stripe")).Version)
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			shortOnce(b)
			if end, err := topic.End(t.Context()); err != nil || end != 1 {
				t.Fatalf("ends at %d, %v: the test shows nothing", end, err)
			}
			if err := topic.WentBack(); err != nil {
				t.Fatal(err)
			}
			reached(t, topic, put(t, other, entry(catalog.KindSource, "", name)).Version)
			time.Sleep(30 * time.Second)
		}
		if err := topic.WentBack(); err != nil {
			t.Error(err)
		}
	})
}

// shortOnce makes a broker say once that the topic ends at 1.
func shortOnce(b *kafkatest.Bubble) {
	b.Cluster().ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.ListOffsetsRequest)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic, partition := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		partition.Offset = 1
		topic.Topic, topic.Partitions = catalogTopic, append(topic.Partitions, partition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
}
