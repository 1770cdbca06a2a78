package ingress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/ingress/dedup"
)

// Outcomes of a request, beside the codes of refusals.
const (
	outcomeReceived  = "received"
	outcomeDuplicate = "already_processed"
	outcomeHandshake = "handshake"
)

type metrics struct {
	requests   *prometheus.CounterVec
	duration   prometheus.Histogram
	bodies     prometheus.Histogram
	duplicates prometheus.Counter
	produce    prometheus.Histogram
}

// sourceMetrics are the children that every source has from its first day.
type sourceMetrics struct{ received, duplicate prometheus.Counter }

func newMetrics(reg prometheus.Registerer, store *dedup.Memory) *metrics {
	seconds := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_ingress_requests_total",
			Help: "Requests by source and what became of them; source is empty where it is not known.",
		}, []string{"source", "outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "causeway_ingress_request_duration_seconds",
			Help:    "Time from a request's headers to its answer.",
			Buckets: seconds,
		}),
		bodies: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "causeway_ingress_body_bytes",
			Help:    "Size of the bodies that were read whole.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 9), // to 16 MiB
		}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_ingress_duplicates_total",
			Help: "Copies of events that Kafka already had.",
		}),
		produce: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "causeway_produce_duration_seconds",
			Help:    "Time from handing an event to the producer to Kafka's acknowledgement or refusal.",
			Buckets: seconds,
		}),
	}
	window := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "causeway_dedup_window_seconds",
		Help:        "How far back copies of an event are recognised, by layer.",
		ConstLabels: prometheus.Labels{"layer": "memory"},
	}, func() float64 { return store.Window().Seconds() })
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.bodies, m.duplicates, m.produce, window)
	}
	return m
}

func (m *metrics) source(name string) sourceMetrics {
	return sourceMetrics{
		received:  m.requests.WithLabelValues(name, outcomeReceived),
		duplicate: m.requests.WithLabelValues(name, outcomeDuplicate),
	}
}

// forget removes the series of a source that is no more.
func (m *metrics) forget(source string) {
	m.requests.DeletePartialMatch(prometheus.Labels{"source": source})
}

// count counts a request that ended in another way than most.
func (m *metrics) count(src *source, outcome string) {
	name := ""
	if src != nil {
		name = src.Name
	}
	m.requests.WithLabelValues(name, outcome).Inc()
}

func seconds(since time.Time) float64 { return time.Since(since).Seconds() }
