package ingress

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"causeway/ingress/dedup"
	"causeway/pkg/deadline"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/limit"
	"causeway/pkg/provider"
	"causeway/pkg/signature"
	"causeway/pkg/tracing"
)

// addressBuckets is how many buckets addresses share in each of two rows: 512 KiB in all.
const addressBuckets = 1 << 15

// Server is the HTTP edge.
type Server struct {
	options    Options
	proxies    proxies
	log        *zap.Logger
	metrics    *metrics
	tracer     trace.Tracer // nil: nothing is traced
	start      time.Time    // rates count from here, by the monotonic clock
	refusals   []refusal
	serving    *health.Handle
	kafka      *kafkaHealth
	perAddress *limit.Each[netip.Addr]
	bodies     budget // all bodies in memory
	topicShare int64  // bytes in flight to one topic
	draining   atomic.Bool
	waits      deadline.Shared // for acknowledgements

	table      atomic.Pointer[table]
	rebuilding sync.Mutex
}

// New makes a server. It starts nothing and does no I/O.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		options:    o,
		proxies:    o.TrustedProxies,
		log:        sampled(o.Logger),
		tracer:     tracing.Tracer(o.TracerProvider),
		metrics:    newMetrics(o.Registerer, o.Dedup),
		start:      time.Now(),
		refusals:   refusals(),
		perAddress: limit.NewEach[netip.Addr](o.AddressRate, o.AddressBurst, addressBuckets),
		bodies:     budget{limit: o.MaxBodyBytes},
		topicShare: topicShare(o.Client),
		serving: o.Health.Declare(health.Condition{
			Code: "ingress_serving", Title: "Ingress accepts webhooks", Readiness: true,
		}),
	}
	s.kafka = &kafkaHealth{client: o.Client, start: s.start, handle: o.Health.Declare(health.Condition{
		Code: "ingress_kafka", Title: "Kafka stores webhooks", Readiness: true,
	})}
	s.kafka.denied = kafka.NewDenied(o.Health.Declare(health.Condition{
		Code: "ingress_topics", Title: "Ingress may write to the topics of all sources",
	}), o.Logger)
	s.table.Store(&table{})
	return s
}

// Handler serves webhooks without Run's limits on connections and time: for tests.
func (s *Server) Handler() http.Handler {
	router := mux.NewRouter()
	router.MatcherFunc(isWebhook).HandlerFunc(s.serve)
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &visit{started: time.Now()}, errNoRoute)
	})
	// Asked for its match alone: the router's own ServeHTTP would redirect a POST to a
	// cleaned path, which loses it, and copy the request twice for variables and a route
	// that nobody asks for.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var match mux.RouteMatch
		router.Match(r, &match)
		match.Handler.ServeHTTP(w, r)
	})
}

// isWebhook matches /webhooks/{source} without a regular expression.
func isWebhook(r *http.Request, _ *mux.RouteMatch) bool { return sourceName(r.URL.Path) != "" }

// sourceName is the last part of a webhook's path; "" of any other path.
func sourceName(path string) string {
	name, ok := strings.CutPrefix(path, "/webhooks/")
	if !ok || strings.IndexByte(name, '/') >= 0 {
		return ""
	}
	return name
}

// visit is what is known of one request so far: mostly the fields of its log line.
type visit struct {
	started      time.Time
	name         string  // of the source, as the URL has it
	source       *source // nil: unknown
	client, peer netip.Addr
	held         holding // of the memory for bodies
	bodyRead     bool
	size         int
	id           string
	span         trace.Span    // nil: not traced
	retryAfter   time.Duration // where the limit itself knows
}

// answer is what a request that was not refused gets.
type answer struct {
	outcome     string
	status      int
	contentType []string // of the header; shared by many answers, so never written to
	body        []byte
}

// contentType is the value of a reply's header; nil: none.
func contentType(reply provider.Reply) []string {
	if reply.ContentType == "" {
		return nil
	}
	return []string{reply.ContentType}
}

// receive takes one webhook from its headers to the acknowledged record. The order is
// the contract: what is cheap comes before what is dear, and nothing that a stranger
// sends can use up what belongs to the source, because its rate counts only what was
// verified.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, v *visit) (answer, error) {
	if err := s.started(r.Context()); err != nil {
		return answer{}, err
	}
	src := s.source(v.name)
	if src == nil {
		return answer{}, errUnknownSource
	}
	v.source = src
	switch {
	case src.Fault != nil:
		return answer{}, fmt.Errorf("%w: %w", errFault, src.Fault)
	case src.Paused:
		return answer{}, errPaused
	}
	if v.client, v.peer = s.proxies.client(r); len(src.AllowCIDRs) > 0 && !containsAddr(src.AllowCIDRs, v.client) {
		return answer{}, errAddress
	}
	if !slices.Contains(src.methods, r.Method) {
		return answer{}, errMethod
	}
	if _, ok := s.perAddress.Take(limit.Peer(v.limited()), s.now()); !ok {
		return answer{}, errAddressRate
	}
	gzipped, err := checkContent(r, src)
	if err != nil {
		return answer{}, err
	}

	v.held.from = &s.bodies
	defer v.held.release()
	body, err := s.readBody(w, r, v, src.maxBody)
	if err != nil {
		return answer{}, err
	}
	v.bodyRead, v.size = true, len(body)
	s.metrics.bodies.Observe(float64(len(body)))

	m := &signature.Message{Method: r.Method, URL: s.options.PublicURL + target(r), Header: r.Header, Body: body}
	now := time.Now()
	if err := src.verify(m, now); err != nil {
		return answer{}, err
	}
	if wait, ok := src.rate.take(s.now); !ok {
		v.retryAfter = wait
		return answer{}, errSourceRate
	}
	s.trace(r, v)
	inside := m
	if gzipped {
		if inside, err = decompressed(m, src.maxBody, &v.held); err != nil {
			return answer{}, err
		}
	}
	if reply, ok := src.Provider.Handshake(inside); ok {
		return answer{outcomeHandshake, reply.Status, contentType(reply), reply.Body}, nil
	}
	if r.Method != http.MethodPost {
		return answer{}, errMethod // a handshake's method without the handshake
	}
	// The body's schema belongs here (422, or 200 and the quarantine topic): after
	// the rate, for it is dear, and before the claim, for it may not be stored.

	e := src.newEvent(m, inside, now)
	e.RemoteAddress = v.remote()
	v.id = e.ID
	s.traceProduce(v, e)
	record, err := s.record(src, e)
	if err != nil {
		return answer{}, err
	}
	claim, first := s.claim(e)
	if first {
		s.produce(src, e, record, claim)
	}
	if err := s.wait(r.Context(), claim, src.replyTimeout); err != nil {
		return answer{}, err
	}
	return src.accepted(e.ID, first), nil
}

// claim says whether the event is the first of its copies, and gives what tells its fate.
func (s *Server) claim(e *event) (claim *dedup.Claim, first bool) {
	if e.alone {
		return dedup.Alone(), true
	}
	return s.options.Dedup.Claim(e.identity)
}

// verify says whether the source's provider sent m.
func (src *source) verify(m *signature.Message, now time.Time) error {
	keys, err := src.Keys()
	if err != nil {
		return fmt.Errorf("%w: %w", errSecret, err)
	}
	if err := src.Provider.Verify(m, keys, now); err != nil {
		return fmt.Errorf("%w: %w", errSignature, err)
	}
	return nil
}

// decompressed is m with its body as the provider meant it.
func decompressed(m *signature.Message, limit int64, held *holding) (*signature.Message, error) {
	body, err := inflate(m.Body, limit, held)
	if err != nil {
		return nil, err
	}
	inside := *m
	inside.Body = body
	return &inside, nil
}

// target is the path and query as they were sent.
func target(r *http.Request) string {
	if len(r.RequestURI) > 0 && r.RequestURI[0] == '/' {
		return r.RequestURI
	}
	return r.URL.RequestURI() // sent with scheme and host, as to a proxy
}

// now is nanoseconds after the server's start.
func (s *Server) now() int64 { return int64(time.Since(s.start)) }

// topicShare is how many bytes may be on their way to one topic: a quarter of what the
// client buffers, so that one topic whose leader is gone leaves room for the others.
func topicShare(client *kgo.Client) int64 {
	const fallback = 64 << 20
	if buffered, ok := client.OptValue(kgo.MaxBufferedBytes).(int64); ok && buffered > 0 {
		return buffered / 4
	}
	return fallback
}

// limited is the address whose rate counts: that of the proxy where the client's is
// unclear.
func (v *visit) limited() netip.Addr {
	if v.client.IsValid() {
		return v.client
	}
	return v.peer
}

// remote is the client's address as text, empty where it is unclear.
func (v *visit) remote() string {
	if !v.client.IsValid() {
		return ""
	}
	return v.client.String()
}
