package catalog

import (
	"net/url"
	"time"

	"github.com/google/uuid"

	"causeway/pkg/signature"
)

// SubscriptionSpec is a subscription as people write it down.
type SubscriptionSpec struct {
	Name string `json:"name" doc:"Name of the subscription."`
	// Owner is written down only where many entries stand together, in a file. In the
	// catalog the entry has it. It is not Tenant: that one only picks events, and the
	// operator's own subscriptions may pick a tenant's too, without its limits.
	Owner           string    `json:"owner,omitempty" doc:"Tenant that the subscription belongs to: it gets this tenant's events only, within this tenant's limits. The operator when left out."`
	Topics          []string  `json:"topics,omitempty" doc:"Topics to deliver, exact or prefix*. The topics of sources when left out."`
	Sources         []string  `json:"sources,omitempty" doc:"Only events of these sources."`
	Types           []string  `json:"types,omitempty" doc:"Only events of these types, exact or prefix.*."`
	Tenant          string    `json:"tenant,omitempty" doc:"Only events of this tenant."`
	URL             string    `json:"url" doc:"Where deliveries are posted."`
	Secrets         []string  `json:"secrets" doc:"References to the signing secrets: env:NAME or file:/path. whsec_ for v1, whsk_ for v1a; a signature for each."`
	AllowWeak       bool      `json:"allow_weak,omitempty" doc:"Accept a secret of under 16 bytes."`
	Timeout         Duration  `json:"timeout,omitempty" doc:"How long one attempt may take; 15s when left out."`
	MaxConcurrency  int       `json:"max_concurrency,omitempty" minimum:"0" maximum:"4096" doc:"Attempts at once and process; 64 when left out."`
	Retry           RetrySpec `json:"retry,omitempty" doc:"When failed attempts are made again."`
	CaptureResponse string    `json:"capture_response,omitempty" enum:"on,off" doc:"Keep the first 4 KiB of responses in the attempt records; on when left out."`
}

// RetrySpec is a retry policy as people write it down.
type RetrySpec struct {
	Schedule []Duration `json:"schedule,omitempty" doc:"Waits between attempts; 5s 30s 5m 30m 2h 6h 12h 24h 24h when left out."`
	MaxAge   Duration   `json:"max_age,omitempty" doc:"Give up this long after the first attempt; no limit when left out."`
	NeverOn  []int      `json:"never_on,omitempty" doc:"Response statuses that are not worth another attempt, like 400 and 422."`
}

// Subscription is a subscription ready for use. It is immutable and safe for
// concurrent use.
type Subscription struct {
	UID     uuid.UUID
	Name    string
	Version int64            // catalog version that made this form of it
	Starts  map[string]Start // where it begins in each of its topics
	Paused  bool
	Fault   error    // why it cannot be used in this process; nil: it can
	Topics  []string // exact or prefix*
	Sources []string // empty: all
	Types   []string // exact or prefix.*; empty: all
	Tenant  string   // "": all
	// Owner is the tenant that the subscription belongs to, whose limits hold for it;
	// nil: the operator.
	Owner *Tenant
	URL   string
	// Endpoint is URL, parsed once for all attempts. It must not be changed.
	Endpoint *url.URL
	// Scheme and Keys sign a delivery; there is one signature for each live key.
	Scheme *signature.Compiled
	Keys   func() ([]signature.Key, error)

	Timeout         time.Duration // of one attempt
	MaxConcurrency  int           // attempts at once in this process
	Schedule        []time.Duration
	MaxAge          time.Duration // since the first attempt; 0: no limit
	NeverOn         []int
	CaptureResponse bool

	unread error // why its spec cannot be read; nil: it was
}
