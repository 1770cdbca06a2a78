package embedded

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	data, free prometheus.Gauge
	trimmed    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		data: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_embedded_data_bytes",
			Help: "Bytes in the embedded broker's data directory.",
		}),
		free: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_embedded_disk_free_bytes",
			Help: "Bytes free on the file system of the embedded broker's data directory.",
		}),
		trimmed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_embedded_trimmed_records_total",
			Help: "Records that the embedded broker's janitor trimmed because they were old and read by all groups.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.data, m.free, m.trimmed)
	}
	return m
}
