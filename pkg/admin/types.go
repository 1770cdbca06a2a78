package admin

import (
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
)

// Meta is what every resource of the catalog has beside what people wrote.
type Meta struct {
	UID     string    `json:"uid" doc:"Immutable id; a name may be used again, an uid never is."`
	Version int64     `json:"version" doc:"Version of the catalog that made this form of it; also the ETag, for If-Match."`
	Tenant  string    `json:"tenant,omitempty" doc:"Tenant that owns it; the operator when left out."`
	Set     string    `json:"set,omitempty" doc:"Set of causeway apply that it belongs to: its settings are changed there alone."`
	Created time.Time `json:"created,omitzero" doc:"When it was made."`
	Changed time.Time `json:"changed,omitzero" doc:"When it was last changed."`
	By      string    `json:"by,omitempty" doc:"Who changed it last: the id of an API key, or the name of what did it."`
}

// Retiring is a secret that counts only until some time.
type Retiring struct {
	Secret string    `json:"secret" doc:"The secret as spec.secrets shows it."`
	Until  time.Time `json:"until" doc:"When it stops to count."`
}

// Source is a webhook source. Secrets are shown as references, or, sealed ones, as
// sealed:KEY#HASH, which may be sent back to keep them.
type Source struct {
	Meta
	Paused   bool               `json:"paused" doc:"The door answers 503, so that the provider sends again later."`
	Fault    string             `json:"fault,omitempty" doc:"Why the process that answers cannot use it; empty when it can, or when it does not need to."`
	URL      string             `json:"url,omitempty" doc:"Where the provider posts, when ingress.public_url is set."`
	Topic    string             `json:"topic" doc:"The topic that it writes."`
	Retiring []Retiring         `json:"retiring,omitempty" doc:"Secrets that are being rotated away."`
	Spec     catalog.SourceSpec `json:"spec" doc:"What people wrote."`
}

// Subscription is who gets which events.
type Subscription struct {
	Meta
	Paused   bool                     `json:"paused" doc:"Its deliveries wait."`
	Fault    string                   `json:"fault,omitempty" doc:"Why the process that answers cannot use it."`
	Starts   map[string]catalog.Start `json:"starts,omitempty" doc:"Where it began in each topic: nothing below is delivered."`
	Retiring []Retiring               `json:"retiring,omitempty" doc:"Secrets that are being rotated away."`
	Spec     catalog.SubscriptionSpec `json:"spec" doc:"What people wrote."`
	// Secret is set in the answer that made it, and never again.
	Secret string `json:"secret,omitempty" doc:"The signing secret that was made: shown once."`
}

// SourceInput is what is sent to make or change a source. Secrets are references
// (env:NAME, file:/path, where secrets.allow lets them), plain:VALUE, which is sealed
// before anything else is done with it, or what Source shows, to keep one.
type SourceInput struct {
	Tenant string             `json:"tenant,omitempty" doc:"Tenant that shall own it; that of the key when left out. Fixed once it is made."`
	Spec   catalog.SourceSpec `json:"spec" doc:"The source."`
}

// SubscriptionInput is what is sent to make or change a subscription. Without secrets
// one is made, and shown once in the answer.
type SubscriptionInput struct {
	Tenant string                   `json:"tenant,omitempty" doc:"Tenant that shall own it; that of the key when left out. Fixed once it is made."`
	Spec   catalog.SubscriptionSpec `json:"spec" doc:"The subscription."`
}

// RotateInput asks for a new secret.
type RotateInput struct {
	Secret string `json:"secret,omitempty" doc:"The new secret: a reference or plain:VALUE. A random one is made when left out (subscriptions, and sources whose provider leaves the choice to the receiver)."`
	// Overlap is a pointer because leaving it out is not the same as 0s.
	Overlap *catalog.Duration `json:"overlap,omitempty" doc:"How long the old ones go on counting; 24h when left out, 0s for not at all."`
}

// Rotated is what came of it.
type Rotated struct {
	Version int64      `json:"version"`
	Secret  string     `json:"secret,omitempty" doc:"The secret that was made: shown once."`
	Retires *time.Time `json:"retires,omitempty" doc:"When the old ones stop to count."`
}

// TestResult is what came of trying a source or a subscription.
type TestResult struct {
	OK       bool        `json:"ok"`
	Checks   []TestCheck `json:"checks" doc:"What was looked at, in order."`
	Status   int         `json:"status,omitempty" doc:"The endpoint's answer, for a subscription."`
	Took     string      `json:"took,omitempty" doc:"How long the endpoint took."`
	Response string      `json:"response,omitempty" doc:"The first 4 KiB of its answer."`
}

// TestCheck is one thing that was looked at.
type TestCheck struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"`
}

// Tenant is a tenant with its limits.
type Tenant struct {
	Meta
	Subscriptions int                `json:"subscriptions" doc:"How many it has."`
	Spec          catalog.TenantSpec `json:"spec" doc:"What people wrote."`
}

// TenantInput is what is sent to make or change a tenant.
type TenantInput struct {
	Spec catalog.TenantSpec `json:"spec" doc:"The tenant."`
}

// Key is an API key without its secret part.
type Key struct {
	Meta
	Roles    []string   `json:"roles" enum:"viewer,operator,editor,payloads,admin" doc:"What it may do."`
	Note     string     `json:"note,omitempty" doc:"Whose it is, what for."`
	Expires  *time.Time `json:"expires,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty" doc:"To the hour."`
	// Key is set in the answer that made it, and never again.
	Key string `json:"key,omitempty" doc:"The key itself: shown once."`
}

// KeyInput is what is sent to make a key.
type KeyInput struct {
	Tenant  string     `json:"tenant,omitempty" doc:"Tenant that it is for; the operator when left out."`
	Roles   []string   `json:"roles" enum:"viewer,operator,editor,payloads,admin" minItems:"1" doc:"What it may do."`
	Note    string     `json:"note,omitempty" maxLength:"200" doc:"Whose it is, what for."`
	Expires *time.Time `json:"expires,omitempty" doc:"When it stops to count; never when left out."`
}

// ApplyInput is a whole set of entries, as causeway apply reads it from a file.
type ApplyInput struct {
	Set           string                     `json:"set" pattern:"^[a-z0-9][a-z0-9._-]{0,62}$" patternDescription:"1 to 63 of a-z 0-9 . _ -" doc:"Name of the set."`
	Prune         bool                       `json:"prune,omitempty" doc:"Remove what the set has and this does not."`
	DryRun        bool                       `json:"dry_run,omitempty" doc:"Only say what would be done."`
	Tenants       []catalog.TenantSpec       `json:"tenants,omitempty"`
	Sources       []catalog.SourceSpec       `json:"sources,omitempty"`
	Subscriptions []catalog.SubscriptionSpec `json:"subscriptions,omitempty"`
}

// Applied is what an apply did, or would do.
type Applied struct {
	Version     int64                `json:"version" doc:"Version of the catalog afterwards."`
	Unchanged   int                  `json:"unchanged" doc:"Entries that were as they should be."`
	Differences []catalog.Difference `json:"differences"`
}

// Resealed is what came of sealing every secret under the first key of CAUSEWAY_KEYS.
type Resealed struct {
	Version  int64 `json:"version"`
	Resealed int   `json:"resealed" doc:"Secrets that were sealed under another key before."`
	Kept     int   `json:"kept" doc:"Secrets that were under the first key already."`
}

// Topic is a topic that causeway uses.
type Topic struct {
	Name       string `json:"name"`
	Kind       string `json:"kind" enum:"events,orphan,foreign,delay,dlq,attempts,catalog,audit"`
	Partitions int    `json:"partitions"`
	Copies     int    `json:"copies"`
	Records    int64  `json:"records" doc:"Offsets between its beginning and its end."`
	Lag        *int64 `json:"lag,omitempty" doc:"Records that egress has not settled; absent for topics that it does not read."`
	Missing    bool   `json:"missing,omitempty"`
}

// Health is the state of the process that answers.
type Health struct {
	Ready   bool             `json:"ready"`
	Failing []health.Failing `json:"failing"`
	Version string           `json:"version" doc:"Release of the process."`
	Catalog int64            `json:"catalog" doc:"Version of the catalog that it has read."`
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one."`
}

// ListOptions choose what of a list.
type ListOptions struct {
	Limit  int    // 1 to 500; 0: 100
	Cursor string // Next of the page before
	Tenant string // only what that tenant owns
	Set    string // only what belongs to that set
	Prefix string // only names that begin so
}
