package catalog_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// The first change of a catalog dies on its way and is made again: then nothing was
// written yet, although a marker says that something was tried. What the process file
// had goes on under its uids, where the group stands, and not at the end of the log.
func TestAFirstTryThatWasAbortedIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		o := b.Options()
		dying, err := kgo.NewClient(append(o.Base("dying"), kgo.TransactionalID("causeway.catalog"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer dying.Close()
		if err := dying.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := dying.ProduceSync(t.Context(), &kgo.Record{Topic: catalogTopic, Key: []byte("source/x"), Value: []byte("{}")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		topic := open() // whose fence aborts it
		want := catalog.UID("subscription", "billing").String()
		state, err := topic.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
			if s.Version == 0 || !s.Unwritten() {
				t.Errorf("version %d, unwritten %t: the test shows nothing", s.Version, s.Unwritten())
			}
			ch, _ := s.Plan(teamA(), "apply", time.Unix(100, 0))
			return ch, catalog.NewChecker(s, catalog.CheckOptions{Options: options()}).Begin(ch, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
				t.Errorf("asked where %q end", topics)
				return nil, nil
			}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := state.Named(catalog.KindSubscription, "", "billing").UID; got != want {
			t.Errorf("uid %s, want the process file's %s", got, want)
		}
		if state.Unwritten() || now(t, open()).Unwritten() {
			t.Error("nothing counts as written")
		}
	})
}

// The topic is deleted and made again under a process: a change that it worked out from
// what it knows must not become all that the new one holds.
func TestACatalogThatWasMadeAnewIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		topic := open()
		for range 3 {
			put(t, topic, entry(catalog.KindSource, "", "s"+catalog.NewUID()[:8]))
		}
		o := b.Options()
		client, err := kgo.NewClient(o.Base("admin")...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		admin := kadm.NewClient(client)
		if _, err := admin.DeleteTopic(t.Context(), catalogTopic); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 1, -1, nil, catalogTopic); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := topic.Update(ctx, func(*catalog.State) (catalog.Changes, error) {
			return catalog.Changes{Put: []*catalog.Entry{entry(catalog.KindSource, "", "another")}}, nil
		}); err == nil || !strings.Contains(err.Error(), "made anew") {
			t.Errorf("%v, want that it was made anew", err)
		}
		if s := now(t, open()); s.Len() > 0 {
			t.Errorf("%d entries of %q", s.Len(), "another")
		}
	})
}

// Somebody writes past Update, without a transaction: the end of the catalog is reached
// all the same, and what he wrote counts if it is an entry.
func TestARecordOutsideATransactionHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		topic := open()
		s := put(t, topic, entry(catalog.KindSource, "", "stripe"))
		o := b.Options()
		past, err := kgo.NewClient(o.Base("past")...)
		if err != nil {
			t.Fatal(err)
		}
		defer past.Close()
		records := []*kgo.Record{
			{Topic: catalogTopic, Key: []byte("source/x"), Value: []byte(`{"schema":1,"kind":"source",`)},
			{Topic: catalogTopic, Key: []byte("source/" + s.Sorted(catalog.KindSource)[0].UID)}, // takes it out
		}
		if err := past.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if s := now(t, topic); s.Len() != 0 || s.Version < records[1].Offset+1 {
			t.Errorf("%d entries at version %d, want none at %d", s.Len(), s.Version, records[1].Offset+1)
		}
		put(t, topic, entry(catalog.KindSource, "", "github"))
		if s := now(t, open()); s.Len() != 1 {
			t.Errorf("%d entries afterwards, want 1", s.Len())
		}
	})
}
