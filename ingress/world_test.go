package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/provider"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const listenAddr = "127.0.0.1:8700"

// world is an ingress with everything around it, in a bubble.
type world struct {
	t        *testing.T
	bubble   *kafkatest.Bubble
	server   *Server
	kafka    *kgo.Client
	registry *prometheus.Registry
	health   *health.Set
	logs     *observer.ObservedLogs
	http     *http.Client
	dial     func(from string) net.Conn // a connection that seems to come from there
	stop     func() error               // ends Run and says how it ended
	sent     map[string]bool
}

// inWorld runs f in a bubble with an ingress of these sources.
func inWorld(t *testing.T, o Options, sources []*catalog.Source, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, bubble: kafkatest.NewBubble(t), registry: prometheus.NewRegistry(), health: health.NewSet(nil)}
		for _, src := range sources {
			if w.bubble.Cluster().TopicInfo(src.Topic) != nil {
				continue // shared
			}
			if err := w.bubble.Cluster().CreateTopic(src.Topic, 1, nil); err != nil {
				t.Fatalf("create topic %s: %v", src.Topic, err)
			}
		}
		client, err := kgo.NewClient(w.bubble.Options().IngressProducer()...)
		if err != nil {
			t.Fatalf("make the producer: %v", err)
		}
		defer client.Close()
		w.kafka = client
		core, logs := observer.New(zapcore.DebugLevel)
		w.logs = logs
		if o.Catalog == nil {
			snapshot := &catalog.Snapshot{Sources: sources}
			o.Catalog = func() *catalog.Snapshot { return snapshot }
		}
		if o.Cluster == nil {
			o.Cluster = func() string { return "test-cluster" }
		}
		o.Client, o.Health, o.Logger, o.Registerer = client, w.health, zap.New(core), w.registry
		w.server = New(o)
		w.http = w.bubble.Client(t)
		w.run()
		f(w)
		w.http.CloseIdleConnections()
		if err := w.stop(); err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// run starts Run and makes stop end it.
func (w *world) run() {
	ln := &addressed{Listener: w.bubble.Listen(w.t, listenAddr), from: make(chan string, 1<<16)}
	w.dial = func(from string) net.Conn {
		w.t.Helper()
		ln.from <- from
		c, err := w.bubble.Net().DialContext(w.t.Context(), "tcp", listenAddr)
		if err != nil {
			w.t.Fatalf("dial: %v", err)
		}
		return c
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Run(ctx, ln) }()
	synctest.Wait()
	w.stop = func() error {
		cancel()
		err := <-ended
		w.stop = func() error { return nil }
		return err
	}
}

// addressed gives connections an address, for those of a virtual network have none.
type addressed struct {
	net.Listener
	from chan string
}

func (l *addressed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	addr := "192.0.2.1:1000"
	select {
	case addr = <-l.from:
	default:
	}
	return fromConn{c, fakeAddr(addr)}, nil
}

type fromConn struct {
	net.Conn
	addr net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.addr }

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

const testSecret = "whsec_test_secret_of_more_than_sixteen_bytes"

// newSource is a source as the catalog would build it. Its secret is testSecret.
func newSource(t testing.TB, name, preset string, settings provider.Settings, more ...func(*catalog.Source)) *catalog.Source {
	t.Helper()
	p, err := provider.New(preset, settings)
	if err != nil {
		t.Fatalf("provider %s: %v", preset, err)
	}
	key, err := p.Key(secret.New([]byte(testSecret)), true)
	if err != nil {
		t.Fatalf("key for %s: %v", preset, err)
	}
	src := &catalog.Source{
		UID: catalog.UID("source", name), Name: name, Topic: "webhooks." + name, Provider: p, MaxBody: 1 << 20,
		Headers: p.Headers(),
		Keys:    func() ([]signature.Key, error) { return []signature.Key{key}, nil },
	}
	for _, change := range more {
		change(src)
	}
	return src
}

func stripe(t testing.TB, more ...func(*catalog.Source)) *catalog.Source {
	return newSource(t, "stripe", "stripe", provider.Settings{}, more...)
}

// signedMessage is what the provider of src would send now.
func signedMessage(t testing.TB, src *catalog.Source, body string, headers ...string) *signature.Message {
	t.Helper()
	m := &signature.Message{Method: http.MethodPost, URL: "/webhooks/" + src.Name, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	keys, err := src.Keys()
	if err != nil {
		t.Fatalf("keys of %s: %v", src.Name, err)
	}
	if err := src.Provider.Sign(m, keys, time.Now()); err != nil {
		t.Fatalf("sign for %s: %v", src.Name, err)
	}
	return m
}

// signed is a request to src as its provider would send it now.
func (w *world) signed(src *catalog.Source, body string, headers ...string) *http.Request {
	w.t.Helper()
	m := signedMessage(w.t, src, body, headers...)
	r := w.post(m.URL, body)
	r.Header = m.Header
	return r
}

// post is an unsigned request.
func (w *world) post(path, body string) *http.Request {
	w.t.Helper()
	// The bubble's own context: one from outside must not learn of its channels.
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+listenAddr+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// reply is an answer read whole.
type reply struct {
	status int
	header http.Header
	text   string
	fields map[string]any
	closed bool // the server said Connection: close
}

func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return readReply(w.t, resp)
}

func readReply(t testing.TB, resp *http.Response) reply {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, text: string(body), closed: resp.Close}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&out.fields); err != nil {
			t.Fatalf("answer %d %q is not JSON: %v", resp.StatusCode, body, err)
		}
	}
	return out
}

// what is the status or the code of an answer, whichever it has.
func (r reply) what() string {
	for _, name := range []string{"code", "status"} {
		if text, ok := r.fields[name].(string); ok {
			return text
		}
	}
	return r.text
}

// expect sends a request and fails the test unless it is answered so.
func (w *world) expect(r *http.Request, status int, what string) reply {
	w.t.Helper()
	got := w.do(r)
	if got.status != status || got.what() != what {
		w.t.Errorf("%s %s: got %d %s, want %d %s", r.Method, r.URL.Path, got.status, got.what(), status, what)
	}
	return got
}

// events are the events that Kafka has in the source's topic.
func (w *world) events(src *catalog.Source) []*schemas.Event {
	w.t.Helper()
	var events []*schemas.Event
	for _, r := range w.records(src.Topic) {
		e, err := schemas.FromRecord(r)
		if err != nil {
			w.t.Fatalf("record %d of %s: %v", r.Offset, src.Topic, err)
		}
		events = append(events, e)
	}
	return events
}

func (w *world) records(topic string) []*kgo.Record {
	w.t.Helper()
	end := w.bubble.Cluster().PartitionInfo(topic, 0).HighWatermark
	client, err := kgo.NewClient(append(w.bubble.Options().Base("test"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for int64(len(records)) < end {
		fetches := client.PollFetches(w.t.Context())
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("read %s: %v", topic, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// hold makes the broker sit on produce requests until the function it returns is called,
// which it must be: a cluster closed with a request asleep can lock itself up.
func (w *world) hold() (release func()) {
	wake := make(chan struct{})
	cluster := w.bubble.Cluster()
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-wake })
		return nil, nil, false
	})
	return func() {
		close(wake)
		time.Sleep(time.Millisecond)
	}
}

// metric is the value of a counter, summed over the labels that are not given.
func (w *world) metric(name string, labels ...string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			fits := true
			for i := 0; i < len(labels); i += 2 {
				fits = fits && have[labels[i]] == labels[i+1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// offline is a client that never reaches anybody.
func offline(t testing.TB) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
