package egress

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/outbound"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const (
	testTopic  = "webhooks.shop"
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// bed is a whole egress in a bubble: a cluster, a subscriber's server, and
// whatever the test starts on them.
type bed struct {
	t      *testing.T
	bubble *kafkatest.Bubble
	client *kgo.Client
	sink   *sink
	reg    *prometheus.Registry
	health *health.Set
	subs   []*catalog.Subscription
	tune   func(*Options)
	hurt   func(*Egress) // breaks something in each egress before it runs

	running []func() error // stops of every egress, for tests that end early
}

// inBubble runs the test in a bubble with one subscription per path.
func inBubble(t *testing.T, answer func(arrival) int, paths []string, test func(*testing.T, *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, bubble: kafkatest.NewBubble(t), tune: func(*Options) {}, hurt: func(*Egress) {}}
		b.sink = newSink(t, b.bubble.Listen(t, "127.0.0.1:8080"), answer)
		for _, path := range paths {
			b.subs = append(b.subs, subscription(t, path))
		}
		client, err := kgo.NewClient(b.kafka().SettleProducer()...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		b.client = client
		plan := kafka.Plan(kafka.PlanOptions{Embedded: true, Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: testTopic}}})
		if _, err := kafka.Ensure(t.Context(), client, plan); err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, stop := range b.running {
				_ = stop()
			}
		}()
		test(t, b)
	})
}

// kafka are the options of the bubble's clients. The race detector makes
// compressing several times as slow as everything else together.
func (b *bed) kafka() kafka.Options {
	o := b.bubble.Options()
	o.Extra = append(o.Extra, kgo.ProducerBatchCompression(kgo.NoCompression()))
	return o
}

func subscription(t *testing.T, path string) *catalog.Subscription {
	t.Helper()
	scheme, err := signature.Standard().Compile()
	if err != nil {
		t.Fatal(err)
	}
	key, err := scheme.Key(secret.New([]byte(testSecret)), false)
	if err != nil {
		t.Fatal(err)
	}
	sub := &catalog.Subscription{
		UID: catalog.UID("subscription", path), Name: path, Topics: []string{testTopic}, Scheme: scheme,
		Keys:    func() ([]signature.Key, error) { return []signature.Key{key}, nil },
		Timeout: 15 * time.Second, MaxConcurrency: 64, Schedule: catalog.DefaultSchedule(), CaptureResponse: true,
	}
	redirect(t, sub, "http://127.0.0.1:8080/"+path)
	return sub
}

// redirect gives the subscription another URL.
func redirect(t *testing.T, sub *catalog.Subscription, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	sub.URL, sub.Endpoint = address, u
}

// forDays lets brokers keep empty fetches for long, so that idle days cost no wall
// time. Records of partitions that were just assigned can be late by that.
func forDays(o *Options) { o.extra = append(o.extra, kgo.FetchMaxWait(time.Minute)) }

// start runs an egress until the returned function stops it and gives its error.
func (b *bed) start() (stop func() error) {
	var e *Egress
	return b.startAs(&e)
}

// startAs also gives the egress itself.
func (b *bed) startAs(started **Egress) (stop func() error) {
	snapshot := catalog.NewSnapshot(0, []*catalog.Source{{Name: "shop", Topic: testTopic}}, b.subs)
	b.reg = prometheus.NewRegistry()
	b.health = health.NewSet(nil)
	o := Options{
		Kafka:   b.kafka(),
		Catalog: func() *catalog.Snapshot { return snapshot },
		Client: outbound.New(outbound.Options{
			AllowLoopback: true, AllowHTTP: true,
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return b.bubble.Net().DialContext(ctx, network, addr)
			},
			Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, net.ErrClosed },
		}),
		Registerer: b.reg, Health: b.health, Version: "test", LagEvery: time.Hour,
		Logger: zaptest.NewLogger(b.t, zaptest.Level(zap.ErrorLevel)),
	}
	o.Kafka.Logger = o.Logger
	b.tune(&o)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	e := New(o)
	*started = e
	b.hurt(e)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		o.Client.CloseIdle()
		if left := e.budget.used; err == nil && left != 0 {
			b.t.Errorf("%d bytes of the memory budget did not come back", left)
		}
		return err
	})
	b.running = append(b.running, stop)
	return stop
}

// publish writes events and returns when Kafka has them.
func (b *bed) publish(events ...schemas.Event) {
	b.t.Helper()
	for _, e := range events {
		if e.Source == "" {
			e.Source = "shop"
		}
		if e.Body == nil {
			e.Body = []byte(`{"id":"` + e.ID + `"}`)
		}
		e.Received = time.Now()
		r, err := e.Record(testTopic, schemas.Raw)
		if err != nil {
			b.t.Fatal(err)
		}
		b.produce(r)
	}
}

func (b *bed) produce(r *kgo.Record) {
	b.t.Helper()
	if err := b.client.ProduceSync(b.t.Context(), r).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// read gives all records of a topic.
func (b *bed) read(topic string) []*kgo.Record {
	b.t.Helper()
	o := b.bubble.Options()
	o.Extra = append(o.Extra, kgo.ConsumeTopics(topic), kgo.FetchMaxWait(time.Second))
	cl, err := kgo.NewClient(o.Base("test")...)
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	var all []*kgo.Record
	for ctx.Err() == nil {
		all = append(all, cl.PollFetches(ctx).Records()...)
	}
	return all
}

// deadLetters gives the DLQ's deliveries.
func (b *bed) deadLetters() []*schemas.Delivery {
	b.t.Helper()
	var letters []*schemas.Delivery
	for _, r := range b.read("causeway.dlq") {
		d, err := schemas.DeliveryFromRecord(r)
		if err != nil {
			b.t.Fatal(err)
		}
		letters = append(letters, d)
	}
	return letters
}

// arrival is one request as the subscriber saw it.
type arrival struct {
	path, id string
	attempt  int // how many of this id came to this path, this one included
	at       time.Time
	header   http.Header
	body     string
}

// sink is the subscribers' server.
type sink struct {
	mu       sync.Mutex
	arrivals []arrival
	counts   map[string]int
	header   http.Header // added to each answer
}

func newSink(t *testing.T, ln net.Listener, answer func(arrival) int) *sink {
	s := &sink{counts: map[string]int{}, header: http.Header{}}
	var answering sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answering.Add(1)
		defer answering.Done()
		body, _ := io.ReadAll(r.Body)
		a := s.note(arrival{path: r.URL.Path[1:], id: r.Header.Get("Webhook-Id"), at: time.Now(), header: r.Header.Clone(), body: string(body)})
		status := answer(a)
		s.mu.Lock()
		maps.Copy(w.Header(), s.header)
		s.mu.Unlock()
		w.WriteHeader(status)
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		answering.Wait() // one that hangs must not be left behind in the bubble
	})
	return s
}

func (s *sink) note(a arrival) arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[a.path+"/"+a.id]++
	a.attempt = s.counts[a.path+"/"+a.id]
	s.arrivals = append(s.arrivals, a)
	return a
}

// of gives the arrivals of one id at one path.
func (s *sink) of(path, id string) []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []arrival
	for _, a := range s.arrivals {
		if a.path == path && a.id == id {
			out = append(out, a)
		}
	}
	return out
}

func always(status int) func(arrival) int { return func(arrival) int { return status } }
