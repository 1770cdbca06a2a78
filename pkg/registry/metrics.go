package registry

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ found, unknown, failed prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "causeway_registry_lookups_total", Help: "Schemas asked for by id, by outcome: found, unknown, failed.",
	}, []string{"outcome"})
	if reg != nil {
		reg.MustRegister(lookups)
	}
	return &metrics{lookups.WithLabelValues("found"), lookups.WithLabelValues("unknown"), lookups.WithLabelValues("failed")}
}
