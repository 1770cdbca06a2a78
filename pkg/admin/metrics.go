package admin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have closed sets of labels: operations are those of the description, "none"
// for what is none of them, and statuses are what the API answers.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	unnoted  prometheus.Counter
	closed   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_admin_requests_total",
			Help: "Requests to the admin API, by operation and status of the answer.",
		}, []string{"operation", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "causeway_admin_request_duration_seconds",
			Help:    "How long the admin API took to answer.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation"}),
		unnoted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_admin_refusals_unaudited_total",
			Help: "Refused requests that were too many for the audit.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_admin_connections_closed_total",
			Help: "Connections that were closed because their address had as many as one may have.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.unnoted, m.closed)
	}
	return m
}

func (m *metrics) done(v *visit, status int) {
	m.requests.WithLabelValues(v.operation, statusText(status)).Inc()
	m.duration.WithLabelValues(v.operation).Observe(time.Since(v.started).Seconds())
}

func statusText(status int) string { return strconv.Itoa(status) }
