package ingress

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"causeway/ingress/dedup"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
)

// Options says what a Server works on. Limits left zero get their defaults.
type Options struct {
	Catalog func() *catalog.Snapshot // never nil
	Client  *kgo.Client              // made of kafka.Options.IngressProducer; closed by whoever made it
	// Started is closed when Kafka was reached and Cluster gives its id, which is part
	// of what makes two events the same. Until then a webhook waits, as long as for an
	// acknowledgement, and gets a 503. nil: from the beginning.
	Started <-chan struct{}
	Cluster func() string
	Dedup   *dedup.Memory // nil: 24 h and 1,000,000 identities
	// Writable says why nothing may be stored now, as the embedded broker does
	// while the disk is full; nil: always.
	Writable func() error
	// Topic says why nothing may be stored in that topic now, as when somebody has
	// deleted it; nil: whatever Kafka says.
	Topic func(name string) error
	// SchemaID gives the id under which a schema registry knows the schema of
	// events for a topic, or why there is none yet; nil: there is no registry.
	SchemaID func(topic string) (int, error)
	// PublicURL is where providers reach this server, without a path: the
	// beginning of the URL that some of them sign.
	PublicURL string

	ReplyTimeout    time.Duration // longest wait for Kafka's acknowledgement; 5 s, or less where the provider waits less
	DrainDelay      time.Duration // goes on accepting this long after it is not ready any more; 5 s, negative: none
	ShutdownTimeout time.Duration // bounds the whole stop, the delay included; 25 s
	HeaderTimeout   time.Duration // for the headers of a request; 10 s
	ReadTimeout     time.Duration // for a whole request; 60 s
	IdleTimeout     time.Duration // for the next request of a connection; 75 s
	BodyGrace       time.Duration // how long a body may be slower than MinBodyRate; 5 s
	MinBodyRate     int64         // bytes per second; 1 KiB

	MaxHeaderBytes     int            // of one request; 32 KiB
	MaxConns           int            // connections; 8,192
	MaxConnsPerAddress int            // connections of one address that is no trusted proxy; 1,024
	MaxBodyBytes       int64          // all bodies in memory together; 64 MiB
	AddressRate        float64        // requests of one address per second; 0: no limit
	AddressBurst       int            // of them, as many at once; one second's worth
	TrustedProxies     []netip.Prefix // whose X-Forwarded-For and Forwarded count

	TLS        *tls.Config // nil: plain HTTP
	Health     *health.Set
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
	// TracerProvider makes a span of each verified request and of each record; nil:
	// nothing is traced, and a request's traceparent goes through as it is.
	TracerProvider trace.TracerProvider
}

func (o Options) withDefaults() Options {
	if o.Dedup == nil {
		o.Dedup = dedup.NewMemory(24*time.Hour, 1_000_000)
	}
	if o.Writable == nil {
		o.Writable = func() error { return nil }
	}
	if o.Topic == nil {
		o.Topic = func(string) error { return nil }
	}
	if o.Cluster == nil {
		o.Cluster = func() string { return "" }
	}
	if o.Started == nil {
		at := make(chan struct{})
		close(at)
		o.Started = at
	}
	if o.Health == nil {
		o.Health = health.NewSet(nil)
	}
	o.ReplyTimeout = cmp.Or(o.ReplyTimeout, 5*time.Second)
	o.DrainDelay = max(cmp.Or(o.DrainDelay, 5*time.Second), 0)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 25*time.Second)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, time.Minute)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.BodyGrace = cmp.Or(o.BodyGrace, 5*time.Second)
	o.MinBodyRate = cmp.Or(o.MinBodyRate, 1<<10)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 32<<10)
	o.MaxConns = cmp.Or(o.MaxConns, 8192)
	o.MaxConnsPerAddress = cmp.Or(o.MaxConnsPerAddress, 1024)
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, 64<<20)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	return o
}
