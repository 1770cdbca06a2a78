package ingress

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
)

// TestAHungBroker: whoever asks is told 503 in time, what is buffered is bounded, and
// when the broker comes back nothing needs a restart and nothing was lost.
func TestAHungBroker(t *testing.T) {
	src := stripe(t)
	other := newSource(t, "github", "github", provider.Settings{})
	inWorld(t, Options{MaxBodyBytes: 256 << 20}, []*catalog.Source{src, other}, func(w *world) {
		release := w.hold()
		const each, n = 200_000, 200 // 40 MB, of a share of 16 MiB
		answers := make(chan reply, n)
		started := time.Now()
		for i := range n {
			go func() { answers <- w.do(w.signed(src, sized(each, fmt.Sprintf("evt_%d", i)))) }()
		}
		synctest.Wait()
		if got := w.kafka.BufferedProduceBytes(); got > w.server.topicShare+each || got < w.server.topicShare/2 {
			w.t.Errorf("%d bytes buffered, want about %d", got, w.server.topicShare)
		}
		counts := map[string]int{}
		for range n {
			r := <-answers
			counts[r.what()]++
			if r.status != 503 || r.header.Get("Retry-After") == "" {
				w.t.Errorf("got %d %s, Retry-After %q", r.status, r.what(), r.header.Get("Retry-After"))
			}
		}
		if took := time.Since(started); took > 5*time.Second {
			w.t.Errorf("the last was answered after %v, want 5s", took)
		}
		if counts["not_acknowledged"] < 50 || counts["topic_buffer_full"] < 50 {
			w.t.Errorf("answers: %v", counts)
		}
		// The other topic has room still.
		waiting := w.send(w.signed(other, `{"n":1}`, "X-GitHub-Delivery", "one"))
		w.still(waiting, "it is buffered")
		release()
		w.answered(waiting, 200, "received")

		received, processed := 0, 0
		for i := range n {
			switch r := w.do(w.signed(src, sized(each, fmt.Sprintf("evt_%d", i)))); r.what() {
			case "received":
				received++
			case "already_processed":
				processed++
			default:
				w.t.Fatalf("the retry of event %d: %d %s", i, r.status, r.what())
			}
		}
		ids := map[string]int{}
		for _, e := range w.events(src) {
			ids[e.ID]++
		}
		if len(ids) != n || received+processed != n {
			w.t.Errorf("%d of %d events stored; %d received, %d already processed", len(ids), n, received, processed)
		}
		if used := w.server.bodies.used.Load(); used != 0 {
			w.t.Errorf("%d bytes of bodies still accounted for", used)
		}
		if _, inFlight := w.server.options.Dedup.Len(); inFlight != 0 {
			w.t.Errorf("%d claims still in flight", inFlight)
		}
	})
}

// TestABrokerThatHangsForLong: the client gives records up after a while, and their
// claims with them.
func TestABrokerThatHangsForLong(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "not_acknowledged")
		time.Sleep(30 * time.Second)
		if _, inFlight := w.server.options.Dedup.Len(); inFlight != 0 {
			w.t.Errorf("%d claims in flight after 35s", inFlight)
		}
		if got := w.kafka.BufferedProduceRecords(); got != 0 {
			w.t.Errorf("%d records buffered after 35s", got)
		}
		retry := w.send(w.signed(src, `{"id":"evt_1"}`))
		release()
		if r := <-retry; r.status != 200 {
			// The connection that hung may take the client a moment.
			time.Sleep(10 * time.Second)
			if r := w.do(w.signed(src, `{"id":"evt_1"}`)); r.status != 200 {
				w.t.Errorf("after the broker came back: %d %s", r.status, r.what())
			}
		}
	})
}

func TestReadinessFollowsKafka(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		time.Sleep(2 * time.Second)
		if ready, failing := w.health.Ready(); !ready {
			w.t.Fatalf("not ready after start: %v", failing)
		}
		w.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ClusterAuthorizationFailed})
		w.expect(w.signed(src, `{"id":"evt_0"}`), 503, "kafka_unavailable")
		w.expect(w.signed(src, `{"id":"evt_0"}`), 200, "received")
		time.Sleep(15 * time.Second)
		if ready, failing := w.health.Ready(); !ready {
			w.t.Errorf("one failure of long ago took the process out of service: %v", failing)
		}
		faults := w.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
		w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "kafka_unavailable")
		if ready, _ := w.health.Ready(); !ready {
			w.t.Error("one failure took the process out of service")
		}
		time.Sleep(12 * time.Second)
		ready, failing := w.health.Ready()
		if ready || len(failing) != 1 || failing[0].Code != "ingress_kafka" {
			w.t.Errorf("after 12s of failures: ready %v, %v", ready, failing)
		}
		faults.Remove()
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		time.Sleep(15 * time.Second)
		if ready, failing := w.health.Ready(); !ready {
			w.t.Errorf("not ready although Kafka stores again: %v", failing)
		}
	})
}

func TestNotReadyWithoutABroker(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		time.Sleep(time.Second)
		cluster := w.bubble.Cluster()
		for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.Produce} {
			cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return nil, errors.New("gone"), true // closes the connection
			})
		}
		if r := w.do(w.signed(src, `{"id":"evt_1"}`)); r.status != 503 {
			w.t.Errorf("got %d %s, want 503", r.status, r.what())
		}
		time.Sleep(time.Minute)
		if ready, _ := w.health.Ready(); ready {
			w.t.Error("ready although no broker answers")
		}
	})
}
