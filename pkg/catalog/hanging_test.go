package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// A transaction is open for which nobody is there any more: no change can be made, each
// is said to have changed nothing, and once that has lasted longer than Kafka lets a
// transaction be, what to do is said. When it was done, all goes on.
func TestAHangingTransactionIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		topic := topicIn(t, b)()
		at := reached(t, topic, put(t, topic, entry(catalog.KindSource, "", "stripe")).Version).Version
		abort := begun(t, b)
		for i, seen := range []bool{false, false, false, true, true} { // one every 30 s
			if end, err := topic.End(t.Context()); err != nil || end != at {
				t.Fatalf("ends at %d, %v, want %d", end, err, at)
			}
			switch err := topic.Hanging(); {
			case (err != nil) != seen:
				t.Errorf("look %d: %v", i+1, err)
			case seen && (!errors.Is(err, catalog.ErrHanging) || !strings.Contains(err.Error(), fmt.Sprintf("abort --topic %s --partition 0 --start-offset %d", catalogTopic, at))):
				t.Errorf("look %d says %v", i+1, err)
			}
			late, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := topic.Update(late, func(*catalog.State) (catalog.Changes, error) {
				t.Error("a change was worked out from a catalog that was not read to its end")
				return catalog.Changes{}, errors.New("not worked out")
			})
			cancel()
			if err == nil || errors.Is(err, catalog.ErrUnknownOutcome) || errors.Is(err, catalog.ErrHanging) != seen {
				t.Errorf("look %d, a change: %v", i+1, err)
			}
			time.Sleep(20 * time.Second)
		}
		abort()
		if _, err := topic.End(t.Context()); err != nil || topic.Hanging() != nil {
			t.Errorf("after it was aborted: %v, %v", err, topic.Hanging())
		}
		put(t, topic, entry(catalog.KindSource, "", "github"))
	})
}

// Each look meets an open transaction, and each time another.
func TestTransactionsThatEndDoNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		topic := topicIn(t, b)()
		put(t, topic, entry(catalog.KindSource, "", "stripe"))
		for range 5 {
			abort := begun(t, b)
			if _, err := topic.End(t.Context()); err != nil || topic.Hanging() != nil {
				t.Errorf("%v, %v", err, topic.Hanging())
			}
			time.Sleep(30 * time.Second)
			abort()
		}
	})
}

// begun writes to the catalog's topic in a transaction of its own that stays open.
func begun(t *testing.T, b *kafkatest.Bubble) (abort func()) {
	t.Helper()
	client, err := kgo.NewClient(append(b.Options().Base("stranger"), kgo.TransactionalID("stranger"), kgo.TransactionTimeout(15*time.Minute), kgo.DefaultProduceTopic(catalogTopic))...)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(client.BeginTransaction(), client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("source/x"), Value: []byte("x")}).FirstErr())
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Error(err)
		}
		client.Close()
	}
}
