package admin

import (
	"cmp"
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/secret"
)

// Catalog is where entries are kept. What State gives may be a little behind what
// others have written; Update always sees the newest.
type Catalog interface {
	State() *catalog.State
	Update(context.Context, catalog.Change) (*catalog.State, error)
	Audit(context.Context, ...catalog.AuditRecord) error
}

// NewTopic is a topic that a source needs.
type NewTopic struct {
	Name       string
	Partitions int32 // 0: as many as is usual here
	Copies     int16 // 0: as many as is usual here
	MaxBody    int64 // the source's, in bytes: larger records must fit
}

// Options are what a Server needs. What it cannot do itself, because higher packages
// can, comes as a function; one that is nil is left out of what it does.
type Options struct {
	Catalog Catalog
	Checks  catalog.CheckOptions
	Keyring *secret.Keyring // nil: plain: secrets are refused

	PublicURL string // of ingress, like https://hooks.example.com; "": unknown
	Version   string // of the release
	Health    *health.Set

	// Loopback says that the listener is on loopback: then requests that come from there
	// may do everything without a key. Hosts are names that it may be reached by there,
	// beside localhost and its own address.
	Loopback bool
	Hosts    []string

	// Ends gives the end offsets of topics by partition; a topic that is not there has
	// none. Without it a subscription begins at the beginning.
	Ends func(ctx context.Context, topics []string) (map[string][]int64, error)
	// Committed gives what egress has committed of topics by partition, -1 for nothing.
	Committed func(ctx context.Context, topics []string) (map[string][]int64, error)
	// Drained says of which topics egress has settled everything by a version of the
	// catalog that is not below the one given, or that are not there; with an error, of
	// those that are known.
	Drained func(ctx context.Context, topics map[string]int64) (map[string]bool, error)
	// Prepare makes the topics that are not there. It says why when it may not, and what
	// to do: its error goes to whoever asked.
	Prepare func(ctx context.Context, topics []NewTopic) error
	// Topics lists the topics that causeway uses, with what egress has not settled.
	Topics func(ctx context.Context) ([]Topic, error)
	// Test sends one signed test event to a subscription.
	Test func(ctx context.Context, sub *catalog.Subscription) TestResult
	// Live gives what this process has compiled of the catalog.
	Live func() *catalog.Snapshot

	Logger     *zap.Logger
	Registerer prometheus.Registerer

	// Rate is how many requests per second one key, or one address without one, may
	// make, and Burst how many at once; FailedRate and FailedBurst are those of an
	// address that are refused for their key.
	Rate        float64
	Burst       int
	FailedRate  float64
	FailedBurst int
	// TenantRate is how many changes per second all keys of one tenant may make or try,
	// and TenantBurst how many at once.
	TenantRate  float64
	TenantBurst int
}

func (o Options) withDefaults() Options {
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	o.Rate = cmp.Or(o.Rate, 100)
	o.Burst = cmp.Or(o.Burst, 200)
	o.FailedRate = cmp.Or(o.FailedRate, 1)
	o.FailedBurst = cmp.Or(o.FailedBurst, 20)
	o.TenantRate = cmp.Or(o.TenantRate, 2)
	o.TenantBurst = cmp.Or(o.TenantBurst, 120)
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	hosts := make([]string, len(o.Hosts))
	for i, host := range o.Hosts {
		hosts[i] = strings.ToLower(Hostname(host))
	}
	o.Hosts = hosts
	return o
}
