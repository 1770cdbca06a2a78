package catalog

import (
	"net/netip"

	"github.com/google/uuid"

	"causeway/pkg/provider"
	"causeway/pkg/signature"
	"causeway/schemas"
)

// SourceSpec is a webhook source as people write it down.
type SourceSpec struct {
	Name              string   `json:"name" doc:"Name of the source: the last part of its URL, /webhooks/<name>."`
	Provider          string   `json:"provider" doc:"Preset that knows how this provider signs: stripe, github, gitlab, shopify, slack, standard-webhooks, svix; or hmac, token, basic."`
	Secrets           []string `json:"secrets" doc:"References to the secrets that may have signed: env:NAME or file:/path. Several while one is rotated."`
	AllowWeak         bool     `json:"allow_weak,omitempty" doc:"Accept a secret of under 16 bytes."`
	Topic             string   `json:"topic,omitempty" doc:"Kafka topic; webhooks.<name> when left out."`
	Format            string   `json:"format,omitempty" enum:"raw,avro,cloudevents" doc:"Format of the record values; avro with a schema registry, else raw when left out. Fixed when the topic is made."`
	Partitions        int32    `json:"partitions,omitempty" minimum:"0" maximum:"10000" doc:"Partitions of the topic when causeway makes it."`
	ReplicationFactor int16    `json:"replication_factor,omitempty" minimum:"0" maximum:"15" doc:"Replication factor of the topic when causeway makes it."`
	provider.Settings
	Owner           string   `json:"owner,omitempty" doc:"Tenant that the source belongs to: every event of it is then this tenant's. The operator when left out."`
	Key             string   `json:"key,omitempty" doc:"Record key instead of the event ID: json:$.path, header:Name or query:name."`
	Tenant          string   `json:"tenant,omitempty" doc:"Where the tenant stands: json:$.path, header:Name or query:name."`
	Headers         []string `json:"headers,omitempty" doc:"Original headers to keep beside the preset's own."`
	AllowCIDRs      []string `json:"allow_cidrs,omitempty" doc:"Addresses that may post; everybody when left out."`
	MaxBody         Size     `json:"max_body,omitempty" doc:"Largest body; 1MiB when left out."`
	Rate            Rate     `json:"rate,omitempty" doc:"Accepted webhooks, like 500/s; no limit when left out."`
	ContentEncoding []string `json:"content_encoding,omitempty" enum:"gzip" doc:"Content encodings that are accepted; none when left out."`
	Trace           string   `json:"trace,omitempty" enum:"continue,link" doc:"What becomes of a verified request's traceparent: continue (default) goes on with its trace and its sampling, link begins a trace of its own that links to it."`
}

// Source is a source ready for use. It is immutable and safe for concurrent use.
type Source struct {
	UID     uuid.UUID
	Name    string
	Version int64            // catalog version that made this form of it
	Starts  map[string]Start // where subscriptions by prefix* begin in its topic
	Fault   error            // why it cannot be used in this process; nil: it can
	Paused  bool             // nothing is accepted for now
	Topic   string           // "": what its entry names may be no source's, which is its Fault
	Format  schemas.Format
	// Partitions and ReplicationFactor are for the topic when it is made; 0: as the
	// others have it.
	Partitions        int32
	ReplicationFactor int16
	Provider          *provider.Provider
	// Keys gives the live keys. An error means that none could be resolved: the
	// door answers 503, for the provider will send again.
	Keys       func() ([]signature.Key, error)
	AllowCIDRs []netip.Prefix // empty: every address
	MaxBody    int64          // bytes
	Rate       float64        // accepted webhooks per second; 0: no limit
	Gzip       bool           // Content-Encoding: gzip is accepted
	Headers    []string       // original headers to keep, lower case, none that authenticates
	LinkTraces bool           // a request's traceparent is linked to, and goes no further
	// Key and Tenant pick a value out of a verified request; nil: the event ID is
	// the key, and the event has no tenant.
	Key, Tenant func(*signature.Message) string

	unread error // why its spec cannot be read; nil: it was
}
