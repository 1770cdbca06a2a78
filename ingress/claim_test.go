package ingress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/ingress/dedup"
	"causeway/pkg/catalog"
	"causeway/pkg/provider"
)

// send sends a request beside the test and gives the answer when it comes.
func (w *world) send(r *http.Request) <-chan reply {
	answer := make(chan reply, 1)
	go func() { answer <- w.do(r) }()
	synctest.Wait()
	return answer
}

func (w *world) still(answer <-chan reply, why string) {
	w.t.Helper()
	synctest.Wait()
	select {
	case r := <-answer:
		w.t.Errorf("%s: already answered %d %s", why, r.status, r.what())
	default:
	}
}

func (w *world) answered(answer <-chan reply, status int, what string) {
	w.t.Helper()
	if r := <-answer; r.status != status || r.what() != what {
		w.t.Errorf("got %d %s, want %d %s", r.status, r.what(), status, what)
	}
}

func TestACopyInFlightWaitsForTheFirst(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		first := w.send(w.signed(src, `{"id":"evt_1"}`))
		second := w.send(w.signed(src, `{"id":"evt_1"}`))
		time.Sleep(3 * time.Second)
		w.still(first, "the broker has not acknowledged")
		w.still(second, "the first copy is in flight")
		release()
		w.answered(first, 200, "received")
		w.answered(second, 200, "already_processed")
		if events := w.events(src); len(events) != 1 {
			w.t.Errorf("%d records, want 1", len(events))
		}
		if got := w.metric("causeway_ingress_duplicates_total"); got != 1 {
			w.t.Errorf("%v duplicates counted, want 1", got)
		}
	})
}

// A source that is made again under the name of one that is gone has nothing stored: its
// events are its own, whatever IDs and bodies the other one had.
func TestASourceMadeAgainHasNothingStored(t *testing.T) {
	old := stripe(t)
	again := stripe(t, func(src *catalog.Source) { src.UID = catalog.UID("source", "another") })
	var now atomic.Pointer[catalog.Snapshot]
	now.Store(&catalog.Snapshot{Sources: []*catalog.Source{old}})
	inWorld(t, Options{Catalog: now.Load}, []*catalog.Source{old}, func(w *world) {
		w.expect(w.signed(old, `{"id":"evt_1"}`), 200, "received")
		w.expect(w.signed(old, `{"id":"evt_1"}`), 200, "already_processed")
		now.Store(&catalog.Snapshot{Sources: []*catalog.Source{again}})
		w.expect(w.signed(again, `{"id":"evt_1"}`), 200, "received")
		if events := w.events(again); len(events) != 2 {
			w.t.Errorf("%d records, want 2", len(events))
		}
	})
}

func TestACopyInFlightFailsWithTheFirstAndTheRetryIsAccepted(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_0"}`), 200, "received")
		w.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.UnknownServerError})
		release := w.hold()
		first := w.send(w.signed(src, `{"id":"evt_1"}`))
		second := w.send(w.signed(src, `{"id":"evt_1"}`))
		release()
		w.answered(first, 503, "kafka_unavailable")
		w.answered(second, 503, "kafka_unavailable")
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
		if events := w.events(src); len(events) != 2 {
			w.t.Errorf("%d records, want 2", len(events))
		}
	})
}

// TestTheClaimOutlivesTheReply: the timer answers 503, the record is stored all the same,
// and the provider's retry is told so.
func TestTheClaimOutlivesTheReply(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		started := time.Now()
		r := w.do(w.signed(src, `{"id":"evt_1"}`))
		if took := time.Since(started); r.status != 503 || r.what() != "not_acknowledged" || took != 5*time.Second {
			w.t.Errorf("got %d %s after %v, want 503 not_acknowledged after 5s", r.status, r.what(), took)
		}
		if r.header.Get("Retry-After") == "" {
			w.t.Error("no Retry-After")
		}
		retry := w.send(w.signed(src, `{"id":"evt_1"}`))
		w.still(retry, "the first copy is still in flight")
		release()
		w.answered(retry, 200, "already_processed")
		if events := w.events(src); len(events) != 1 {
			w.t.Errorf("%d records, want 1", len(events))
		}
	})
}

// TestAClientThatHangsUpFailsNobody: its claim goes on, and so does the batch that its
// record is in.
func TestAClientThatHangsUpFailsNobody(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		m := signedMessage(w.t, src, `{"id":"evt_1"}`)
		c := w.dial("192.0.2.9:1")
		text := head("Content-Length: 14", "Stripe-Signature: "+m.Header.Get("Stripe-Signature")) + `{"id":"evt_1"}`
		if _, err := c.Write([]byte(text)); err != nil {
			w.t.Fatal(err)
		}
		other := w.send(w.signed(src, `{"id":"evt_2"}`))
		c.Close()
		synctest.Wait()
		if got := w.metric("causeway_ingress_requests_total", "outcome", "client_gone"); got != 1 {
			w.t.Errorf("client_gone counted %v times, want once", got)
		}
		release()
		w.answered(other, 200, "received")
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
	})
}

// TestAProcessThatDies has a new one begin with an empty memory: the copy is stored
// again, under the identity by which egress tells it.
func TestAProcessThatDies(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		w.server.options.Dedup = dedup.NewMemory(time.Hour, 10)
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		events := w.events(src)
		if len(events) != 2 || events[0].Identity != events[1].Identity || events[0].Identity == "" {
			w.t.Errorf("stored %d, want two of one identity", len(events))
		}
	})
}

func TestAfterTheWindowItIsAnEventAgain(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		time.Sleep(24*time.Hour - time.Minute)
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
		time.Sleep(2 * time.Minute)
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
	})
}

// TestNobodySuppressesAnEvent is about what an attacker who has seen a signed request,
// or a provider that is sloppy with IDs, could do to others' events.
func TestNobodySuppressesAnEvent(t *testing.T) {
	github := func(name string) *catalog.Source { return newSource(t, name, "github", provider.Settings{}) }
	settings := provider.Settings{HMAC: &provider.HMAC{Header: "X-Signature"}}
	with := func(rules provider.EventRules) *catalog.Source {
		s := settings
		s.Event = rules
		return newSource(t, "orders", "hmac", s)
	}
	type step struct {
		source   int
		body, id string // id: in the header X-GitHub-Delivery or X-Id
		want     string
	}
	for name, tc := range map[string]struct {
		sources []*catalog.Source
		steps   []step
	}{
		"an old valid body under the ID of an event to come": {[]*catalog.Source{github("github")}, []step{
			{0, `{"n":1}`, "one", "received"}, {0, `{"n":1}`, "two", "received"}, {0, `{"n":2}`, "two", "received"}, {0, `{"n":2}`, "two", "already_processed"},
		}},
		"a new body under an old ID": {[]*catalog.Source{github("github")}, []step{
			{0, `{"n":1}`, "one", "received"}, {0, `{"n":2}`, "one", "received"}, {0, `{"n":1}`, "one", "already_processed"},
		}},
		"equal IDs and bodies from two sources": {[]*catalog.Source{github("a"), github("b")}, []step{
			{0, `{"n":1}`, "one", "received"}, {1, `{"n":1}`, "one", "received"}, {1, `{"n":1}`, "one", "already_processed"},
		}},
		"two sources on one topic": {[]*catalog.Source{github("a"), func() *catalog.Source { s := github("b"); s.Topic = "webhooks.a"; return s }()}, []step{
			{0, `{"n":1}`, "one", "received"}, {1, `{"n":1}`, "one", "received"},
		}},
		"an ID of the user's choice that two events share": {[]*catalog.Source{with(provider.EventRules{ID: "json:$.order"})}, []step{
			{0, `{"order":7,"n":1}`, "", "received"}, {0, `{"order":7,"n":2}`, "", "received"}, {0, `{"order":7,"n":2}`, "", "already_processed"},
		}},
		"the same if the user says that it is unique": {[]*catalog.Source{with(provider.EventRules{ID: "json:$.order", Unique: true})}, []step{
			{0, `{"order":7,"n":1}`, "", "received"}, {0, `{"order":7,"n":2}`, "", "already_processed"},
		}},
		"no ID at all": {[]*catalog.Source{with(provider.EventRules{})}, []step{
			{0, `{"n":1}`, "", "received"}, {0, `{"n":1}`, "", "already_processed"}, {0, `{"n":2}`, "", "received"},
		}},
		"random IDs": {[]*catalog.Source{with(provider.EventRules{ID: "random"})}, []step{
			{0, `{"n":1}`, "", "received"}, {0, `{"n":1}`, "", "received"},
		}},
		"IDs that differ only in what cannot be stored": {[]*catalog.Source{with(provider.EventRules{ID: "json:$.id", Unique: true})}, []step{
			{0, `{"id":"a b"}`, "", "received"}, {0, `{"id":"a\tb"}`, "", "received"}, {0, `{"id":"a\r\nb"}`, "", "received"}, {0, `{"id":"a b"}`, "", "already_processed"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, tc.sources, func(w *world) {
				for i, s := range tc.steps {
					src := tc.sources[s.source]
					r := w.signed(src, s.body, "X-GitHub-Delivery", s.id)
					if got := w.do(r); got.status != 200 || got.what() != s.want {
						w.t.Errorf("step %d, %s with ID %q: got %d %s, want %s", i+1, s.body, s.id, got.status, got.what(), s.want)
					}
				}
			})
		})
	}
}

// TestIDsAndTypesOfAllKinds sends what strangers and sloppy providers may put there.
func TestIDsAndTypesOfAllKinds(t *testing.T) {
	src := newSource(t, "orders", "hmac", provider.Settings{
		HMAC:  &provider.HMAC{Header: "X-Signature"},
		Event: provider.EventRules{ID: "json:$.id", Type: "json:$.type", Unique: true},
	})
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		long := strings.Repeat("x", 300)
		for i, tc := range []struct{ id, typ, wantID, wantType string }{
			{"a.b", "a.b c", "a.b", "a.b%20c"},
			{"a b", "a\\r\\nb", digest("id", "a b"), "a%0D%0Ab"},
			{"a\\r\\nX: 1", "", digest("id", "a\r\nX: 1"), ""},
			{`a\"b`, "x/y:z", `a"b`, "x/y:z"},
			{long, long, digest("id", long), long[:128]},
		} {
			r := w.do(w.signed(src, fmt.Sprintf(`{"id":"%s","type":"%s"}`, tc.id, tc.typ)))
			if r.status != 200 || r.fields["id"] != tc.wantID {
				w.t.Errorf("%q: answered %d %v, want ID %q", tc.id, r.status, r.fields, tc.wantID)
			}
			e := w.events(src)[i]
			if e.ID != tc.wantID || e.Type != tc.wantType {
				w.t.Errorf("%q, %q: stored %q, %q, want %q, %q", tc.id, tc.typ, e.ID, e.Type, tc.wantID, tc.wantType)
			}
		}
	})
}

func TestProduceErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  *kerr.Error
		status int
		code   string
	}{
		"too large for the topic": {kerr.MessageTooLarge, 413, "record_too_large"},
		"not allowed to write":    {kerr.TopicAuthorizationFailed, 503, "topic_denied"},
		"an unknown fault":        {kerr.UnknownServerError, 503, "kafka_unavailable"},
		"refused as invalid":      {kerr.InvalidRecord, 503, "kafka_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			src := stripe(t)
			inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
				w.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: tc.fault})
				w.expect(w.signed(src, `{"id":"evt_1"}`), tc.status, tc.code)
				w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
			})
		})
	}
}

// TestReplicasMissing: what can be tried again is, until the provider has to be told.
func TestReplicasMissing(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		faults := w.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
		w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "not_acknowledged")
		faults.Remove()
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
	})
}

func TestARecordLargerThanTheClientSends(t *testing.T) {
	src := stripe(t, func(src *catalog.Source) { src.MaxBody = 8 << 20 })
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, sized(4<<20, "evt_1")), 413, "record_too_large")
		time.Sleep(15 * time.Second)
		if ready, failing := w.health.Ready(); !ready {
			w.t.Errorf("one event too large took the process out of service: %v", failing)
		}
	})
}

func TestATopicThatIsNotThere(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		if err := w.bubble.Cluster().DeleteTopic(src.Topic); err != nil {
			w.t.Fatal(err)
		}
		if r := w.do(w.signed(src, `{"id":"evt_1"}`)); r.status != 503 {
			w.t.Errorf("got %d %s, want 503", r.status, r.what())
		}
	})
}

func TestStorageThatCannotBeWritten(t *testing.T) {
	src := stripe(t)
	var full error
	inWorld(t, Options{Writable: func() error { return full }}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		full = errors.New("disk full")
		w.expect(w.signed(src, `{"id":"evt_2"}`), 503, "storage_full")
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
		w.expect(w.post("/webhooks/stripe", "{}"), 401, "invalid_signature")
		full = nil
		w.expect(w.signed(src, `{"id":"evt_2"}`), 200, "received")
	})
}
