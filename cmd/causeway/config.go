package main

import (
	"strings"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
)

// config is the process file: how this process runs and, for causeway dev and causeway
// apply, sources and subscriptions.
//
// Everything about a setting stands at its field: its key (json), its one
// sentence of documentation (doc) and its bounds. The JSON Schema, the
// environment variables and the check of docs/configuration.md are made from it.
type config struct {
	Kafka    kafkaConfig    `json:"kafka,omitempty" doc:"The Kafka cluster, and the topics in it."`
	Registry registryConfig `json:"registry,omitempty" doc:"The schema registry, where there is one."`
	Ingress  ingressConfig  `json:"ingress,omitempty" doc:"The HTTP edge that takes webhooks in."`
	Egress   egressConfig   `json:"egress,omitempty" doc:"The consumer group that delivers events."`
	Admin    adminConfig    `json:"admin,omitempty" doc:"The API by which the catalog is looked at and changed."`
	Secrets  secretsConfig  `json:"secrets,omitempty" doc:"What the catalog may hold in the way of secrets."`
	Ops      opsConfig      `json:"ops,omitempty" doc:"The listener for machines that watch: /metrics, /healthz, /readyz."`
	Traces   tracesConfig   `json:"traces,omitempty" doc:"Where spans go; nowhere when left out."`
	Log      logConfig      `json:"log,omitempty" doc:"What is logged, and how."`
}

type kafkaConfig struct {
	Brokers        []string         `json:"brokers,omitempty" doc:"Bootstrap brokers, host:port. Left out, causeway dev runs its embedded broker."`
	Prefix         string           `json:"prefix,omitempty" doc:"Begins the names of causeway's own topics and groups; causeway. when left out."`
	ClientID       string           `json:"client_id,omitempty" doc:"Client id shown to the brokers; causeway when left out."`
	InstanceID     string           `json:"instance_id,omitempty" doc:"Makes egress a static member of its groups under this name, which no other process may have; left out, a process that stops hands its partitions on at once."`
	SessionTimeout catalog.Duration `json:"session_timeout,omitempty" doc:"How long Kafka waits for an egress process that is not heard of before its partitions go to the others, 6s to 30m; 45s when left out."`
	TLS            kafkaTLSConfig   `json:"tls,omitempty" doc:"TLS with the brokers."`
	SASL           kafkaSASLConfig  `json:"sasl,omitempty" doc:"Authentication with the brokers."`
	Topics         topicsConfig     `json:"topics,omitempty" doc:"Which topics may be used, and how they are made."`
	AllowUnsafe    []kafka.Risk     `json:"allow_unsafe,omitempty" enum:"replication_factor,min_insync_replicas,unclean_leader_election,retention_ms,retention_bytes,cleanup_policy,max_message_bytes" doc:"Settings of topics with which records can be lost and that are accepted all the same; none when left out."`
}

type topicsConfig struct {
	Allow             []string     `json:"allow,omitempty" doc:"Patterns that the topics of sources must match; webhooks.* when left out."`
	Create            *bool        `json:"create,omitempty" doc:"Create topics that are missing; true when left out."`
	Partitions        int32        `json:"partitions,omitempty" minimum:"1" maximum:"10000" doc:"Partitions of the topics that causeway makes; 12 when left out. A source's own number stands above it."`
	MaxBody           catalog.Size `json:"max_body,omitempty" doc:"Largest max_body that a source may have: topics, and what is written to them, are sized for it; 1MiB when left out. The same in every process."`
	ReplicationFactor int16        `json:"replication_factor,omitempty" minimum:"1" maximum:"15" doc:"Replication factor of the topics that causeway makes, and the least that others may have; 3 when left out, fewer where the cluster has fewer brokers. A source's own number stands above it."`
}

type ingressConfig struct {
	Listen          string               `json:"listen,omitempty" doc:"Address for webhooks, host:port; :8700 when left out, 127.0.0.1:8700 in causeway dev."`
	TLS             serverTLSConfig      `json:"tls,omitempty" doc:"TLS for webhooks."`
	PublicURL       string               `json:"public_url,omitempty" doc:"How providers reach ingress from outside, like https://hooks.example.com."`
	ReplyTimeout    catalog.Duration     `json:"reply_timeout,omitempty" doc:"Longest wait for Kafka before a provider gets a 503; 5s when left out, less where the provider waits less."`
	DrainDelay      *catalog.Duration    `json:"drain_delay,omitempty" doc:"How long ingress goes on accepting after SIGTERM while it is not ready; 5s when left out, 0s in causeway dev."`
	ShutdownTimeout catalog.Duration     `json:"shutdown_timeout,omitempty" doc:"Longest time from SIGTERM to the end, the drain delay included; 25s when left out."`
	MaxConnections  int                  `json:"max_connections,omitempty" minimum:"1" maximum:"1000000" doc:"Connections at once; 8192 when left out."`
	MaxPerAddress   int                  `json:"max_connections_per_address,omitempty" minimum:"1" maximum:"1000000" doc:"Connections at once of one address that is no trusted proxy; 1024 when left out."`
	MaxBodyMemory   catalog.Size         `json:"max_body_memory,omitempty" doc:"Bytes of all bodies in memory together; 64MiB when left out."`
	AddressRate     catalog.Rate         `json:"address_rate,omitempty" doc:"Requests of one address, signed or not, like 100/s; no limit when left out."`
	TrustedProxies  []string             `json:"trusted_proxies,omitempty" doc:"Networks of the proxies whose X-Forwarded-For or Forwarded counts; none when left out."`
	Sources         []catalog.SourceSpec `json:"sources,omitempty" doc:"Sources of webhooks: for causeway dev, and for causeway apply, which puts them into the catalog."`
}

type egressConfig struct {
	AllowNetworks   []string                   `json:"allow_networks,omitempty" doc:"Networks that are not public and may be delivered to all the same, like 10.0.0.0/8."`
	AllowHTTP       bool                       `json:"allow_http,omitempty" doc:"Deliver to http:// URLs too; https only when left out."`
	ShutdownTimeout catalog.Duration           `json:"shutdown_timeout,omitempty" doc:"Longest time from SIGTERM to the end: attempts, what settles them, commits; 25s when left out."`
	InFlight        int                        `json:"in_flight,omitempty" minimum:"1" maximum:"65536" doc:"Attempts at once in all; 4096 when left out."`
	QueueTasks      int                        `json:"queue_tasks,omitempty" minimum:"1" maximum:"1000000" doc:"Deliveries that may wait for one subscription; 1000 when left out."`
	QueueBytes      catalog.Size               `json:"queue_bytes,omitempty" doc:"Bytes of the deliveries that may wait for one subscription; 8MiB when left out."`
	OpenBytes       catalog.Size               `json:"open_bytes,omitempty" doc:"Bytes of all records that are fetched and not settled; 128MiB when left out."`
	Topics          []catalog.ForeignSpec      `json:"topics,omitempty" doc:"Topics that causeway did not write, and may deliver."`
	Subscriptions   []catalog.SubscriptionSpec `json:"subscriptions,omitempty" doc:"Who gets which events: for causeway dev, and for causeway apply, which puts them into the catalog."`
}

type adminConfig struct {
	Listen string          `json:"listen,omitempty" doc:"Address of the API, host:port; 127.0.0.1:8701 when left out. On any other than a loopback address every request needs a key."`
	TLS    serverTLSConfig `json:"tls,omitempty" doc:"TLS for the API."`
	Hosts  []string        `json:"hosts,omitempty" doc:"Names under which the API is reached, beside the listener's own address and localhost: requests for others are refused."`
}

type secretsConfig struct {
	Allow []string `json:"allow,omitempty" doc:"References that administrators may use through the API, like env:TEAM_* or file:/run/secrets/*; none when left out. Sealed secrets need no permission."`
}

type opsConfig struct {
	Listen string   `json:"listen,omitempty" doc:"Address of the listener, host:port; 127.0.0.1:8702 when left out."`
	Hosts  []string `json:"hosts,omitempty" doc:"Names under which a listener on loopback is reached, beside localhost and addresses: requests for others are refused."`
	Pprof  bool     `json:"pprof,omitempty" doc:"Serve /debug/pprof/ too; only on a loopback address."`
}

type tracesConfig struct {
	Endpoint    string              `json:"endpoint,omitempty" doc:"Collector that takes OTLP over HTTP, like http://127.0.0.1:4318; /v1/traces is added where it has no path. Traces are off when left out, unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set."`
	Headers     []traceHeaderConfig `json:"headers,omitempty" doc:"Headers for the collector, such as the one that says who you are."`
	Sample      *float64            `json:"sample,omitempty" minimum:"0" maximum:"1" doc:"Share of the traces that begin here; 1 when left out. One that comes with a decision, in the sampled flag of its traceparent, keeps it."`
	ServiceName string              `json:"service_name,omitempty" doc:"The service that spans are shown under; causeway when left out."`
}

type traceHeaderConfig struct {
	Name  string `json:"name" doc:"Name of the header, like Authorization."`
	Value string `json:"value" doc:"Reference to its value: env:NAME or file:/path."`
}

type logConfig struct {
	Level  string `json:"level,omitempty" enum:"debug,info,warn,error" doc:"Least level that is logged; info when left out."`
	Format string `json:"format,omitempty" enum:"console,json" doc:"Format of the log; console on a terminal, else json."`
}

const (
	defaultIngress = "127.0.0.1:8700" // of dev; ingress on its own listens on every address
	defaultAdmin   = "127.0.0.1:8701"
	defaultOps     = "127.0.0.1:8702"
	defaultBroker  = "127.0.0.1:8703" // of the embedded broker
	defaultPrefix  = "causeway."

	defaultBodyMemory catalog.Size = 64 << 20
)

// publicURL is ingress.public_url without the slash that people put at its end.
func (c config) publicURL() string { return strings.TrimSuffix(c.Ingress.PublicURL, "/") }

// withDefaults fills in what the rest of this program reads. What an Options of
// another package fills in by itself stays zero.
func (c config) withDefaults() config {
	if c.Kafka.Prefix == "" {
		c.Kafka.Prefix = defaultPrefix
	}
	if c.Kafka.ClientID == "" {
		c.Kafka.ClientID = "causeway"
	}
	if len(c.Kafka.Topics.Allow) == 0 {
		c.Kafka.Topics.Allow = []string{"webhooks.*"}
	}
	if c.Kafka.Topics.Create == nil {
		c.Kafka.Topics.Create = new(true)
	}
	if c.Ingress.Listen == "" {
		c.Ingress.Listen = ":8700"
	}
	if c.Ingress.DrainDelay == nil {
		c.Ingress.DrainDelay = new(catalog.Duration(5 * time.Second))
	}
	if c.Admin.Listen == "" {
		c.Admin.Listen = defaultAdmin
	}
	if c.Kafka.Topics.MaxBody == 0 {
		c.Kafka.Topics.MaxBody = kafka.DefaultMaxBody
	}
	if c.Ops.Listen == "" {
		c.Ops.Listen = defaultOps
	}
	if c.Log.Level == "" {
		c.Log.Level = "info"
	}
	return c
}

// listens are the addresses that the process file names, also those of processes beside
// this one.
func (c config) listens() []string { return []string{c.Ingress.Listen, c.Admin.Listen, c.Ops.Listen} }
