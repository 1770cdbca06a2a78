package egress

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/outbound"
	"causeway/schemas"
)

// Options says what an Egress works on. Limits left zero get their defaults.
type Options struct {
	Kafka kafka.Options
	// Catalog gives the catalog where it never changes.
	Catalog func() *catalog.Snapshot
	// Changed gives the newest catalog, whose version never goes down, and a channel
	// that is closed when there is a newer one; nil: it never changes, and Catalog has it.
	Changed func() (*catalog.Snapshot, <-chan struct{})
	// CatalogEnd asks the store for the version that the catalog has at this moment; nil:
	// nobody can say.
	CatalogEnd func(context.Context) (int64, error)
	Client     *outbound.Client
	// Decoder reads records that are framed for a schema registry; nil: there is none.
	Decoder *schemas.Decoder

	QueueTasks  int           // deliveries waiting for one subscription; 1,000
	QueueBytes  int64         // bytes of them; 8 MiB
	QueueWait   time.Duration // longest wait in a queue before a delivery is parked; 5 s
	InFlight    int           // attempts at once in all; 4,096
	OpenBytes   int64         // bytes of all records that are not settled; 128 MiB
	RevokeWait  time.Duration // how long a revoke waits for attempts; 20 s
	CommitEvery time.Duration // shortest time between two commits of a group; 100 ms
	LagEvery    time.Duration // how often lag and depths are looked up; 15 s
	// ShutdownTimeout bounds the whole stop: attempts, flush, commit, leave; 25 s.
	ShutdownTimeout time.Duration

	Version    string // for user-agent
	Health     *health.Set
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// TracerProvider makes a span of each record that is delivered and of each attempt;
	// nil: nothing is traced, and subscribers get the event's traceparent.
	TracerProvider trace.TracerProvider

	extra []kgo.Opt // tests: options for the group clients
}

func (o Options) withDefaults() Options {
	o.Kafka.Prefix = cmp.Or(o.Kafka.Prefix, kafka.DefaultPrefix)
	o.QueueTasks = cmp.Or(o.QueueTasks, 1000)
	o.QueueBytes = cmp.Or(o.QueueBytes, 8<<20)
	o.QueueWait = cmp.Or(o.QueueWait, 5*time.Second)
	o.InFlight = cmp.Or(o.InFlight, 4096)
	o.OpenBytes = cmp.Or(o.OpenBytes, 128<<20)
	o.RevokeWait = cmp.Or(o.RevokeWait, 20*time.Second)
	o.CommitEvery = cmp.Or(o.CommitEvery, 100*time.Millisecond)
	o.LagEvery = cmp.Or(o.LagEvery, 15*time.Second)
	o.ShutdownTimeout = cmp.Or(o.ShutdownTimeout, 25*time.Second)
	o.Version = cmp.Or(o.Version, "dev")
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	if o.Decoder == nil {
		o.Decoder = schemas.NewDecoder(nil)
	}
	if o.Health == nil {
		o.Health = health.NewSet(nil)
	}
	return o
}
