package egress

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/egress/retry"
	"causeway/egress/target"
	"causeway/schemas"
)

// parkedReason says why a delay record was written.
type parkedReason string

const (
	parkedRetry     parkedReason = "retry"      // after a failed attempt
	parkedHop       parkedReason = "hop"        // the next tier of a planned wait
	parkedQueueFull parkedReason = "queue_full" // crowded out
	parkedQueueWait parkedReason = "queue_wait" // waited too long
	parkedRate      parkedReason = "rate"       // waited too long, because its tenant's rate was used up
	parkedDisabled  parkedReason = "disabled"   // the subscription answered 410
	parkedPaused    parkedReason = "paused"     // the subscription takes none now
	parkedFaulty    parkedReason = "faulty"     // this process cannot use the subscription's entry
	parkedSecret    parkedReason = "secret"     // this process cannot resolve a secret to sign it with
	parkedBehind    parkedReason = "behind"     // this process's catalog is older than the delivery
	parkedBirth     parkedReason = "birth"      // its subscription was not known yet when its event was handed on
	parkedSchema    parkedReason = "schema"     // the schema registry does not answer
	parkedUnknown   parkedReason = "unknown"    // this process has no such subscription, another one may
)

func parkedReasons() []parkedReason {
	return []parkedReason{parkedRetry, parkedHop, parkedQueueFull, parkedQueueWait, parkedRate, parkedDisabled, parkedPaused, parkedFaulty, parkedSecret, parkedBehind, parkedBirth, parkedSchema, parkedUnknown}
}

// metrics are egress's; every label value comes from a closed set, and children
// are made up front where the set is known.
type metrics struct {
	attempts              *prometheus.CounterVec // by topic and outcome
	attemptSeconds        prometheus.Histogram
	endToEnd              prometheus.Histogram
	parked                map[parkedReason]prometheus.Counter
	dead                  map[schemas.Reason]prometheus.Counter
	duplicates            prometheus.Counter
	twinsForgotten        prometheus.Counter
	tombstones            prometheus.Counter
	lateness              prometheus.Histogram
	skewed                prometheus.Counter
	attemptRecordsDropped prometheus.Counter
	fetchErrors           prometheus.Counter
	commitErrors          prometheus.Counter
	commitSeconds         prometheus.Histogram
	settleErrors          prometheus.Counter
	rewinds               prometheus.Counter
	lostRecords           prometheus.Counter
	commitsLost           prometheus.Counter
	subscriptions         *prometheus.GaugeVec // by state
	backlog               *prometheus.GaugeVec // by tier
	lag                   *prometheus.GaugeVec // by topic
	lagSeconds            *prometheus.GaugeVec // by topic
	dlqDepth              prometheus.Gauge
	dlqAge                prometheus.Gauge

	watched atomic.Pointer[[]*member]
}

func newMetrics(reg prometheus.Registerer, depth func() (queued, running int), limited func() int) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_" + name, Help: help})
		register(reg, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "causeway_" + name, Help: help, Buckets: buckets})
		register(reg, h)
		return h
	}
	gauges := func(name, help, label string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "causeway_" + name, Help: help}, []string{label})
		register(reg, g)
		return g
	}
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}
	long := append(seconds[:len(seconds):len(seconds)], 60, 300, 1800, 7200, 21600, 86400, 259200)
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_egress_attempts_total", Help: "Attempts by topic and what followed.",
		}, []string{"topic", "outcome"}),
		attemptSeconds:        histogram("egress_attempt_duration_seconds", "Time of one attempt.", seconds),
		endToEnd:              histogram("egress_end_to_end_seconds", "Time from receiving a webhook to the subscriber's 2xx.", long),
		duplicates:            counter("egress_duplicates_total", "Copies that were dropped instead of delivered again."),
		twinsForgotten:        counter("egress_twins_forgotten_total", "Delay records forgotten before their window's end, since it was full: copies of them would be delivered."),
		tombstones:            counter("egress_tombstones_total", "Records without a value on event topics, passed over."),
		lateness:              histogram("delay_lateness_seconds", "Time from when a parked delivery was due to its attempt.", seconds),
		skewed:                counter("delay_skewed_total", "Times that a due time was too far ahead to be believed."),
		attemptRecordsDropped: counter("egress_attempt_records_dropped_total", "Attempts that were not recorded, because Kafka or the log did not keep up."),
		fetchErrors:           counter("egress_fetch_errors_total", "Errors from fetching."),
		commitErrors:          counter("egress_commit_errors_total", "Offset commits that failed and were made again."),
		commitSeconds:         histogram("egress_commit_duration_seconds", "Time of one offset commit.", seconds),
		settleErrors:          counter("egress_settle_errors_total", "Writes to delay and DLQ topics that failed and were made again."),
		rewinds:               counter("egress_rewinds_total", "Times that a partition was read again because its broker had lost the end of the log."),
		lostRecords:           counter("egress_lost_records_total", "Records that were deleted from their topic before they were delivered."),
		commitsLost:           counter("egress_commits_lost_total", "Partitions that were read again from their oldest record because their commit was gone."),
		backlog:               gauges("delay_backlog", "Deliveries waiting in a delay tier.", "tier"),
		lag:                   gauges("consumer_lag", "Records of a topic that are not settled.", "topic"),
		lagSeconds:            gauges("consumer_lag_seconds", "Age of the last settled record of a topic that has unsettled ones.", "topic"),
		subscriptions:         gauges("subscriptions", "Subscriptions by state, as this process sees them.", "state"),
		dlqDepth:              prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_dlq_depth", Help: "Records in the DLQ topic."}),
		dlqAge:                prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_dlq_oldest_age_seconds", Help: "Age of the oldest record in the DLQ topic."}),
		parked:                map[parkedReason]prometheus.Counter{},
		dead:                  map[schemas.Reason]prometheus.Counter{},
	}
	parked := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_egress_parked_total", Help: "Delay records written, by reason."}, []string{"reason"})
	dead := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_dlq_total", Help: "Deliveries dead-lettered, by reason."}, []string{"reason"})
	for _, r := range parkedReasons() {
		m.parked[r] = parked.WithLabelValues(string(r))
	}
	for _, r := range schemas.Reasons() {
		m.dead[r] = dead.WithLabelValues(string(r))
	}
	register(reg, m.attempts, parked, dead, m.dlqDepth, m.dlqAge)
	gauge := func(name, help string, read func() float64) {
		register(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "causeway_" + name, Help: help}, read))
	}
	gauge("egress_queue_depth", "Deliveries waiting for an attempt.", func() float64 { q, _ := depth(); return float64(q) })
	gauge("egress_in_flight", "Attempts under way.", func() float64 { _, r := depth(); return float64(r) })
	gauge("egress_rate_limited_subscriptions", "Subscriptions with deliveries that wait because the rate of their tenant is used up.", func() float64 { return float64(limited()) })
	gauge("egress_watermark_age_seconds", "Age of the oldest record that is not settled.", func() float64 { return m.oldest(time.Now()).Seconds() })
	return m
}

func register(reg prometheus.Registerer, cs ...prometheus.Collector) {
	if reg != nil {
		reg.MustRegister(cs...)
	}
}

// watch names the members whose partitions the watermark's age is taken from.
func (m *metrics) watch(members ...*member) { m.watched.Store(&members) }

func (m *metrics) oldest(now time.Time) (age time.Duration) {
	members := m.watched.Load()
	if members == nil {
		return 0
	}
	for _, mem := range *members {
		for _, p := range mem.all() {
			if at, ok := p.oldest(); ok {
				age = max(age, now.Sub(at))
			}
		}
	}
	return age
}

// attempted counts an attempt. The outcome is done, delay, or dead_ and the
// reason; the topics are those of the sources, which configuration bounds.
func (m *metrics) attempted(topic string, res target.Result, out retry.Outcome) {
	outcome := out.Verdict.String()
	if out.Verdict == retry.Dead {
		outcome += "_" + string(out.Reason)
	}
	m.attempts.WithLabelValues(topic, outcome).Inc()
	m.attemptSeconds.Observe(res.Took.Seconds())
}
