// Package kafka holds the settings of causeway's Kafka clients and the plan of
// its topics.
//
// Callers hold a *kgo.Client themselves: there is no wrapper around it. What
// belongs to all clients of one kind, and was learned the hard way, stands here
// once: an ingress that never waits for a hung broker longer than it said, a
// consumer that never jumps over a record, an egress write that is never given
// up.
//
// # Who refuses over which topic
//
// A process does not serve with a topic that can lose what it is responsible for:
//
//	topics        ingress                 egress                                      admin
//	of sources    every setting, missing  retention.ms, retention.bytes,              warns
//	                                      cleanup.policy; warns of the rest
//	catalog       every setting, missing  every setting, missing                      every setting, missing
//	delay, DLQ    does not look           every setting, missing                      warns
//	attempts      does not look           warns                                       warns
//	audit         does not look           does not look                               every setting, missing
//
// The settings are the replication factor, min.insync.replicas,
// unclean.leader.election.enable, cleanup.policy, retention.ms, retention.bytes and
// max.message.bytes. message.timestamp.type is not among them: every record is
// stamped with the time at which it is produced, which is what the broker would
// stamp it with. Nor are partitions: more or fewer of them lose nothing, but in the
// catalog, whose versions are the offsets of its only one.
//
// To refuse is to wait ([Watch.Await]), not to end: a process that ends is started
// again and again, and none of its successors says more. What is found later stops
// nothing ([Watch.Run]).
package kafka

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// DefaultPrefix begins the names of all topics, groups and transactional ids
// that are causeway's own.
const DefaultPrefix = "causeway."

// Options is what all clients of a process share.
type Options struct {
	Brokers  []string
	Prefix   string // default causeway.
	ClientID string // default causeway
	// InstanceID makes consumers static members of their groups: they don't leave
	// when they close, so that whoever comes back under the same ID within the
	// session timeout finds its partitions untouched.
	InstanceID     string
	SessionTimeout time.Duration // after which the others take over from a member that is not heard of; default 45 s
	MaxBody        int64         // largest body that any source accepts, as in PlanOptions; default 1 MiB
	TLS            *TLS          // nil: connections are not secured
	SASL           *SASL         // nil: the brokers don't ask who we are
	Extra          []kgo.Opt     // added last, so they win: in tests the dialer and long waits
	Logger         *zap.Logger
	// Registerer takes the clients' own metrics, causeway_kafka_*, told apart by
	// their label client. With nil there are none.
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.ClientID = cmp.Or(o.ClientID, "causeway")
	o.MaxBody = cmp.Or(o.MaxBody, DefaultMaxBody)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 45*time.Second)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	return o
}

// Base is what every client has. The role names it in logs and metrics; with a
// Registerer, each role can be open once at a time.
func (o Options) Base(role string) []kgo.Opt { return o.client(role) }

// IngressProducer is for the door: whoever produces stands before a provider
// that waits for its answer. So records may be given up, also ones in flight
// (the provider sends the event again and dedup absorbs the copy), and buffers
// are bounded. Produce with TryProduce and a context that is not the request's:
// the first record's context decides for its whole batch.
func (o Options) IngressProducer() []kgo.Opt {
	o = o.withDefaults()
	return o.client("ingress", o.producer(EventBytes(o.MaxBody)), []kgo.Opt{
		kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordDeliveryTimeout(10 * time.Second),
		kgo.UnknownTopicRetries(4),
		kgo.MaxBufferedRecords(20_000),
		kgo.MaxBufferedBytes(64 << 20),
	})
}

// SettleProducer is for egress' delay and DLQ records: a delivery rests on each
// of them, so they are never timed out or cancelled, only acknowledged or refused.
func (o Options) SettleProducer() []kgo.Opt {
	o = o.withDefaults()
	return o.client("settle", o.producer(DelayBytes(o.MaxBody)), []kgo.Opt{
		kgo.UnknownTopicRetries(-1),
		kgo.MaxBufferedRecords(20_000),
		kgo.MaxBufferedBytes(128 << 20),
	})
}

// zstdFastest is the lowest level of klauspost/compress. Attempts repeat each other so
// much that the next one gains little and takes twice the time.
const zstdFastest = 1

// AttemptProducer is for the records of attempts, which are off the delivery
// path: one broker's word is enough, and a full buffer drops and counts
// (TryProduce). They are gathered for a quarter of a second: what an append costs
// a broker hardly depends on how many records it brings.
func (o Options) AttemptProducer() []kgo.Opt {
	return o.client("attempts", []kgo.Opt{
		kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.DisableIdempotentWrite(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(250 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(zstdFastest), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.MaxBufferedRecords(50_000),
		kgo.MaxBufferedBytes(32 << 20),
	})
}

// Consumer is for a member of a group; the caller adds its topics and hooks.
// It never commits by itself and never jumps: without a commit, and where its
// offset is gone, it goes on at the oldest record. It does not hold rebalances
// up between polls: what arrives late is fenced by the caller.
func (o Options) Consumer(group string) []kgo.Opt {
	o = o.withDefaults()
	var static []kgo.Opt
	if o.InstanceID != "" {
		static = []kgo.Opt{kgo.InstanceID(o.InstanceID)}
	}
	return o.client(strings.TrimPrefix(group, o.Prefix), static, []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.RebalanceTimeout(time.Minute),
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, o.SessionTimeout/5)),
		kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(time.Second),
		// Memory for what was fetched and not yet polled is at most their product,
		// times what decompression adds.
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.MaxConcurrentFetches(4),
		kgo.MaxDecompressBatchBytes(64 << 20),
		kgo.WithHooks(&groupHook{logger: o.Logger.With(zap.String("group", group))}),
	})
}

// producer is what both producers that carry events have in common: nothing is
// acknowledged before all in-sync replicas have it, and equal keys always meet
// in one partition, because dedup and the delay topics rest on that.
func (o Options) producer(maxBytes int32) []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(maxBytes),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerLinger(2 * time.Millisecond),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.RequestTimeoutOverhead(3 * time.Second),
		kgo.ProducerOnDataLossDetected(lostRecords(o.Logger)),
	}
}

func (o Options) client(role string, parts ...[]kgo.Opt) []kgo.Opt {
	o = o.withDefaults()
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.WithLogger(kzap.New(calm(o.Logger).With(zap.String("client", role)), kzap.LevelFn(quiet(o.Logger.Core())))),
		// A new topic or a moved leader is noticed after a second when something
		// is known to be wrong, after a minute when nothing is.
		kgo.MetadataMinAge(time.Second),
		kgo.MetadataMaxAge(time.Minute),
		kgo.Dialer(o.dial),
	}
	if o.SASL != nil {
		opts = append(opts, kgo.SASL(o.SASL.mechanism()))
	}
	if o.Registerer != nil {
		opts = append(opts, kgo.WithHooks(kprom.NewMetrics("causeway",
			kprom.Subsystem("kafka"),
			kprom.Registerer(o.Registerer),
			kprom.WithStaticLabel(prometheus.Labels{"client": role}),
		)))
	}
	return append(slices.Concat(append([][]kgo.Opt{opts}, parts...)...), o.Extra...)
}

// calm lets the client say the same thing a few times a minute: while Kafka is gone,
// every try of every connection is a line.
func calm(log *zap.Logger) *zap.Logger {
	if log.Core().Enabled(zap.DebugLevel) {
		return log
	}
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 3, 0)
	}))
}

// quiet keeps the client's own stories out of the log unless somebody debugs:
// it reports every step of every rebalance as information.
func quiet(core zapcore.Core) func() kgo.LogLevel {
	return func() kgo.LogLevel {
		if core.Enabled(zap.DebugLevel) {
			return kgo.LogLevelDebug
		}
		return kgo.LogLevelWarn
	}
}
