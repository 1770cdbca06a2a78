package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// auditIn is what readers of committed records find in the audit topic.
func auditIn(t *testing.T, b *kafkatest.Bubble) []string {
	t.Helper()
	options := b.Options()
	client, err := kgo.NewClient(append(options.Base("auditor"),
		kgo.ConsumeTopics(auditTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var found []string
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble: until nothing comes
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return slices.Sorted(slices.Values(found))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var a catalog.AuditRecord
			if err := json.Unmarshal(r.Value, &a); err != nil || a.Schema != 1 || a.Who != string(r.Key) {
				t.Errorf("key %s: %s: %v", r.Key, r.Value, err)
			}
			found = append(found, a.Who+" "+a.Action+" "+a.Name)
		})
	}
}

// auditedChanges lets writers fence each other, which is when changes are made twice.
func auditedChanges(t *testing.T, o opened) {
	s := o.open()
	e := entry(catalog.KindSource, "", "counter")
	e.Spec = json.RawMessage("0")
	put(t, s, e)
	writers := []store{s}
	if _, isTopic := s.(*catalog.Topic); isTopic {
		writers = append(writers, o.open(), o.open())
	}
	var want []string
	var wg sync.WaitGroup
	for i := range 9 {
		who, name := fmt.Sprint("k", i%2), fmt.Sprint("change-", i)
		want = append(want, who+" source.update "+name)
		wg.Go(func() {
			if _, err := writers[i%len(writers)].Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
				c := now.Entry(e.Kind, e.UID).Copy()
				c.Spec = fmt.Appendf(nil, "%d", counted(t, now, e.UID)+1)
				return catalog.Changes{
					Put:   []*catalog.Entry{c},
					Audit: []catalog.AuditRecord{{At: time.Unix(1, 0), Who: who, Action: "source.update", Name: name}},
				}, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Audit(t.Context(), catalog.AuditRecord{Who: "k9", Action: "event.read", Name: "evt_1"}); err != nil {
		t.Fatal(err)
	}
	version := s.State().Version
	if _, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Audit: []catalog.AuditRecord{{Who: "k9", Action: "event.read", Name: "evt_2"}}}, nil
	}); err != nil || now(t, s).Version < version {
		t.Fatal(err)
	}
	want = append(want, "k9 event.read evt_1", "k9 event.read evt_2")
	slices.Sort(want)
	if got := o.audited(); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	if n := counted(t, now(t, s), e.UID); n != 9 {
		t.Errorf("counted %d, want 9", n)
	}
}

// unauditedIsRefused: a record that cannot be kept refuses the change. For the topic
// that is one too large for Kafka.
func unauditedIsRefused(t *testing.T, o opened) {
	s := o.open()
	_, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{
			Put:   []*catalog.Entry{entry(catalog.KindSource, "", "a")},
			Audit: []catalog.AuditRecord{{Who: "k1", Action: "refused", Name: strings.Repeat("x", 2_000_000)}},
		}, nil
	})
	if err == nil || errors.Is(err, catalog.ErrUnknownOutcome) || now(t, s).Len() != 0 || len(o.audited()) > 0 {
		t.Errorf("%v, %d entries, %d records", err, s.State().Len(), len(o.audited()))
	}
}

func endIsReached(t *testing.T, o opened) {
	s := o.open()
	if end, err := s.End(t.Context()); err != nil || end != 0 {
		t.Errorf("an empty catalog ends at %d, %v", end, err)
	}
	if state, err := s.AwaitEnd(t.Context()); err != nil || state.Version != 0 {
		t.Errorf("an empty catalog: %v", err)
	}
	for i := range 3 {
		written := put(t, s, entry(catalog.KindSource, "", fmt.Sprint("s", i))).Version
		if end, err := s.End(t.Context()); err != nil || end != written {
			t.Errorf("it ends at %d, %v; written was %d", end, err, written)
		}
		if state, err := o.open().AwaitEnd(t.Context()); err != nil || state.Version != written || state.Len() != i+1 {
			t.Errorf("another reader: %v", err)
		}
	}
}
