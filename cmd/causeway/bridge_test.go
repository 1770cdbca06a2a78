package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"causeway/egress"
	"causeway/egress/delay"
	"causeway/ingress"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/outbound"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const (
	bridgeSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	bridgeLimit  = 1 << 20 // body limit of the source, bytes
)

// bridge is both halves on one Kafka: an ingress, an egress and a subscriber. It
// is the only test that sees them together.
type bridge struct {
	t       *testing.T
	kafka   kafka.Options
	url     string // of the source
	topic   string // of the source
	calm    string // URL of the other source
	wire    wire
	scheme  *signature.Compiled
	key     signature.Key
	answer  func(id string, attempt int) int
	stopAll func()

	mu       sync.Mutex
	arrivals map[string][]delivered
}

type delivered struct {
	at          time.Time
	body        [sha256.Size]byte
	err         error // of its signature
	traceparent string
}

// wire is the network that all parts but the brokers use.
type wire struct {
	listen func() net.Listener
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	traces trace.TracerProvider // nil: off
}

// newBridge starts both halves, with BRIDGE_SECRET set; stop them before the bubble
// or the cluster ends.
func newBridge(t *testing.T, o kafka.Options, w wire, schedule []catalog.Duration, answer func(id string, attempt int) int) *bridge {
	t.Helper()
	b := &bridge{t: t, kafka: o, wire: w, answer: answer, arrivals: map[string][]delivered{}}
	var err error
	if b.scheme, err = signature.Standard().Compile(); err != nil {
		t.Fatal(err)
	}
	if b.key, err = b.scheme.Key(secret.New([]byte(bridgeSecret)), false); err != nil {
		t.Fatal(err)
	}
	sink, door := w.listen(), w.listen()
	b.url = "http://" + door.Addr().String() + "/webhooks/shop"
	b.calm = "http://" + door.Addr().String() + "/webhooks/calm"
	topic := "webhooks.shop-" + strconv.FormatUint(rand.Uint64(), 36)
	b.topic = topic
	snapshot, faults := catalog.Build(
		[]catalog.SourceSpec{
			{Name: "shop", Provider: "standard-webhooks", Secrets: []string{"env:BRIDGE_SECRET"}, Topic: topic, MaxBody: bridgeLimit},
			{Name: "calm", Provider: "standard-webhooks", Secrets: []string{"env:BRIDGE_SECRET"}, Topic: topic + "-calm", MaxBody: bridgeLimit},
		},
		[]catalog.SubscriptionSpec{{
			Name: "sink", Topics: []string{topic, topic + "-calm"}, Secrets: []string{"env:BRIDGE_SECRET"},
			URL: "http://" + sink.Addr().String(), Retry: catalog.RetrySpec{Schedule: schedule},
		}},
		catalog.Options{Resolver: secret.NewResolver(), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"}, AllowHTTP: true, ResolveSources: true, ResolveSubscriptions: true})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	current := func() *catalog.Snapshot { return snapshot }
	producer, err := kgo.NewClient(o.IngressProducer()...)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := kadm.NewClient(producer).BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := kafka.Plan(kafka.PlanOptions{
		Prefix: o.Prefix, Tiers: delay.Names(), Brokers: len(meta.Brokers), Partitions: 3, MaxBody: bridgeLimit,
		Sources: []kafka.SourceTopic{{Name: topic, Partitions: 3}, {Name: topic + "-calm", Partitions: 1}},
	})
	log := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	admin, err := kgo.NewClient(o.Base("admin")...)
	if err != nil {
		t.Fatal(err)
	}
	watch := kafka.NewWatch(kafka.WatchOptions{
		Client: admin, Plan: func(int) []kafka.Topic { return plan }, Create: true, Look: time.Second, Logger: log,
		Check: kafka.CheckOptions{Use: kafka.Use{Ingress: true, Egress: true}},
	})
	if err := watch.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	edge := ingress.New(ingress.Options{Catalog: current, Client: producer, Cluster: func() string { return meta.Cluster }, Topic: watch.Usable, DrainDelay: -1, ReplyTimeout: 25 * time.Second, Logger: log, TracerProvider: w.traces})
	client := outbound.New(outbound.Options{
		AllowLoopback: true, AllowHTTP: true, Dial: w.dial,
		// In a bubble nothing may touch the resolver: it keeps a channel, which then
		// belongs to the bubble, and the next look-up outside it ends the process.
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	})
	out := egress.New(egress.Options{Kafka: o, Catalog: current, Client: client, Logger: log, TracerProvider: w.traces})
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	for name, run := range map[string]func() error{
		"ingress": func() error { return edge.Run(ctx, door) },
		"egress":  func() error { return out.Run(ctx) },
		"topics": func() error {
			return watch.Run(ctx, func(topic string) {
				producer.PurgeTopicsFromProducing(topic)
				out.Recreated(topic)
			})
		},
	} {
		parts.Go(func() {
			if err := run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	server := &http.Server{Handler: http.HandlerFunc(b.receive), ReadHeaderTimeout: time.Minute}
	parts.Go(func() { _ = server.Serve(sink) })
	b.stopAll = sync.OnceFunc(func() {
		cancel()
		client.CloseIdle()
		_ = server.Close()
		parts.Wait()
		producer.Close()
		admin.Close()
	})
	t.Cleanup(b.stopAll)
	return b
}

// receive is the subscriber.
func (b *bridge) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = b.scheme.Verify(&signature.Message{Method: r.Method, Header: r.Header, Body: body}, []signature.Key{b.key}, time.Now())
	}
	id := r.Header.Get("Webhook-Id")
	b.mu.Lock()
	b.arrivals[id] = append(b.arrivals[id], delivered{time.Now(), sha256.Sum256(body), err, r.Header.Get("Traceparent")})
	attempt := len(b.arrivals[id])
	b.mu.Unlock()
	w.WriteHeader(b.answer(id, attempt))
}

func (b *bridge) of(id string) []delivered {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]delivered(nil), b.arrivals[id]...)
}

// post sends a signed webhook and gives the status and the code or status text of
// the answer's body. Headers are names and values in turn.
func (b *bridge) post(id string, body []byte, headers ...string) (int, string) {
	b.t.Helper()
	return b.postTo(b.url, id, body, headers...)
}

func (b *bridge) postTo(url, id string, body []byte, headers ...string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Content-Type", "application/json")
	if err := b.scheme.Sign(&signature.Message{Method: http.MethodPost, Header: req.Header, Body: body}, []signature.Key{b.key}, time.Now()); err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: b.wire.dial}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		b.t.Fatalf("post %s: %T: %v", id, err, err)
	}
	defer resp.Body.Close()
	var said struct{ Status, Code any }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		b.t.Fatalf("answer %d: %v", resp.StatusCode, err)
	}
	if text, ok := said.Status.(string); ok {
		return resp.StatusCode, text
	}
	return resp.StatusCode, fmt.Sprint(said.Code)
}

// letters reads the DLQ until it holds n dead letters.
func (b *bridge) letters(n int) map[string]*schemas.Delivery {
	b.t.Helper()
	o := b.kafka
	prefix := o.Prefix
	if prefix == "" {
		prefix = kafka.DefaultPrefix
	}
	o.Extra = append(append([]kgo.Opt(nil), o.Extra...), kgo.ConsumeTopics(prefix+"dlq"), kgo.FetchMaxWait(time.Second))
	cl, err := kgo.NewClient(o.Base("letters")...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	letters := map[string]*schemas.Delivery{}
	for len(letters) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			d, err := schemas.DeliveryFromRecord(r)
			if err != nil {
				b.t.Error(err)
				return
			}
			letters[string(d.Key)] = d
		})
	}
	return letters
}

// TestBodiesAtTheLimit takes bodies of just under, at and just over the limit
// through a retry and into the DLQ, byte for byte.
func TestBodiesAtTheLimit(t *testing.T) {
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	synctest.Test(t, func(t *testing.T) {
		bubble := kafkatest.NewBubble(t)
		b := newBubbleBridge(t, bubble, []catalog.Duration{catalog.Duration(time.Second)}, func(id string, attempt int) int {
			if strings.HasPrefix(id, "dead") || attempt == 1 {
				return 500
			}
			return 200
		})
		for _, size := range []int{bridgeLimit - 1, bridgeLimit} {
			for _, kind := range []string{"retried", "dead"} {
				id := fmt.Sprintf("%s-%d", kind, size)
				if status, said := b.post(id, noise(size)); status != 200 || said != "received" {
					t.Fatalf("%s: %d %s, want 200 received", id, status, said)
				}
			}
		}
		if status, said := b.post("over", noise(bridgeLimit+1)); status != http.StatusRequestEntityTooLarge {
			t.Errorf("a byte over the limit: %d %s, want 413", status, said)
		}
		time.Sleep(time.Minute)
		letters := b.letters(2)
		for _, size := range []int{bridgeLimit - 1, bridgeLimit} {
			want := sha256.Sum256(noise(size))
			got := b.of(fmt.Sprintf("retried-%d", size))
			if len(got) != 2 || got[1].body != want || got[1].err != nil {
				t.Errorf("retried body of %d: %d arrivals: %v", size, len(got), got)
			}
			letter := letters[fmt.Sprintf("dead-%d", size)]
			if letter == nil || sha256.Sum256(letter.Value) != want || letter.Reason != schemas.ReasonExhausted {
				t.Errorf("dead letter of %d: %v", size, letter != nil)
			}
		}
		if got := b.of("over"); len(got) != 0 {
			t.Error("what was refused was delivered")
		}
		b.stopAll()
	})
}

func newBubbleBridge(t *testing.T, bubble *kafkatest.Bubble, schedule []catalog.Duration, answer func(string, int) int) *bridge {
	t.Helper()
	return newBridge(t, bubble.Options(), bubbleWire(t, bubble), schedule, answer)
}

func bubbleWire(t *testing.T, bubble *kafkatest.Bubble) wire {
	port := 8080
	return wire{
		listen: func() net.Listener {
			port++
			return bubble.Listen(t, fmt.Sprintf("127.0.0.1:%d", port))
		},
		dial: bubble.Net().DialContext,
	}
}

// loopbackWire is this machine's own network.
func loopbackWire(t *testing.T) wire {
	t.Helper()
	return wire{
		listen: func() net.Listener {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			return ln
		},
		dial: (&net.Dialer{}).DialContext,
	}
}

// noise is a body of that size that no compression makes smaller; the same for
// the same size.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	out := make([]byte, 0, size)
	out = append(out, '"')
	out = hex.AppendEncode(out, b[:(size-2)/2])
	for len(out) < size-1 {
		out = append(out, 'x')
	}
	return append(out, '"')
}

// TestPathOnKafka takes webhooks through a real Kafka: some arrive at once, some
// fail twice and arrive, one dies, one comes twice and is known.
func TestPathOnKafka(t *testing.T) {
	t.Setenv("BRIDGE_SECRET", bridgeSecret)
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d brokers", brokers), func(t *testing.T) {
			cluster := kafkatest.Real(t, brokers)
			o := cluster.Options()
			o.Prefix = kafkatest.Prefix(t)
			second := catalog.Duration(time.Second)
			b := newBridge(t, o, loopbackWire(t), []catalog.Duration{second, second}, func(id string, attempt int) int {
				if strings.HasPrefix(id, "dead") || strings.HasPrefix(id, "twice") && attempt <= 2 {
					return 500
				}
				return 200
			})
			for n := range 50 {
				for _, kind := range []string{"once", "twice"} {
					id := fmt.Sprintf("%s-%d", kind, n)
					if status, said := b.post(id, []byte(`{"id":"`+id+`"}`)); status != 200 || said != "received" {
						t.Fatalf("%s: %d %s", id, status, said)
					}
				}
			}
			if status, said := b.post("once-0", []byte(`{"id":"once-0"}`)); status != 200 || said != "already_processed" {
				t.Errorf("a copy: %d %s, want 200 already_processed", status, said)
			}
			if status, said := b.post("dead", []byte(`{}`)); status != 200 {
				t.Fatalf("dead: %d %s", status, said)
			}
			b.await("50 webhooks that fail twice", func() bool {
				for n := range 50 {
					if len(b.of(fmt.Sprintf("once-%d", n))) < 1 || len(b.of(fmt.Sprintf("twice-%d", n))) < 3 {
						return false
					}
				}
				return true
			})
			if letters := b.letters(1); letters["dead"] == nil || letters["dead"].Attempt != 3 {
				t.Errorf("dead letters: %v", letters)
			}
			b.judge()
		})
	}
}

// await waits for what a real Kafka takes its time for.
func (b *bridge) await(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not within a minute", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// judge checks every delivery: its signature, its body, that nothing came too
// often and nothing too early.
func (b *bridge) judge() {
	b.t.Helper()
	for n := range 50 {
		for kind, want := range map[string]int{"once": 1, "twice": 3} {
			id := fmt.Sprintf("%s-%d", kind, n)
			got := b.of(id)
			if len(got) != want {
				b.t.Errorf("%s: %d arrivals, want %d", id, len(got), want)
			}
			body := sha256.Sum256([]byte(`{"id":"` + id + `"}`))
			for i, d := range got {
				if d.err != nil || d.body != body {
					b.t.Errorf("%s, arrival %d: signature %v, same body %v", id, i, d.err, d.body == body)
				}
				if i > 0 && d.at.Sub(got[i-1].at) < time.Second {
					b.t.Errorf("%s came back after %v, want 1s at least", id, d.at.Sub(got[i-1].at))
				}
			}
		}
	}
}
