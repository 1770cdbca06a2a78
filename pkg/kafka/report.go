package kafka

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/health"
)

// watchConditions are what a Watch shows beside readiness.
type watchConditions struct{ present, settings, accepted *health.Handle }

func declareWatch(set *health.Set) watchConditions {
	return watchConditions{
		present:  set.Declare(health.Condition{Code: "topics_present", Title: "every topic is there"}),
		settings: set.Declare(health.Condition{Code: "topic_settings", Title: "no topic's settings can lose records"}),
		accepted: set.Declare(health.Condition{Code: "allow_unsafe", Title: "no risk had to be accepted in kafka.allow_unsafe"}),
	}
}

type watchMetrics struct {
	findings        map[Verdict]prometheus.Gauge
	missing         prometheus.Gauge
	partitionsAdded prometheus.Counter
	recreated       prometheus.Counter
}

func newWatchMetrics(reg prometheus.Registerer) *watchMetrics {
	m := &watchMetrics{
		findings:        map[Verdict]prometheus.Gauge{},
		missing:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "causeway_topics_missing", Help: "Topics that this process needs and that are not there."}),
		partitionsAdded: prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_topic_partitions_added_total", Help: "Partitions that topics got while this process was running."}),
		recreated:       prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_topics_recreated_total", Help: "Times that a topic was deleted and made again while this process was running."}),
	}
	findings := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "causeway_topic_findings", Help: "Settings of topics that are not as planned, by what that means for this process."}, []string{"verdict"})
	for _, v := range Verdicts() {
		m.findings[v] = findings.WithLabelValues(v.String())
	}
	if reg != nil {
		reg.MustRegister(findings, m.missing, m.partitionsAdded, m.recreated)
	}
	return m
}

// report shows findings: gauges and conditions always, lines when they changed.
func (w *Watch) report(findings []Finding, refused string) {
	counts := map[Verdict]int{}
	lines := map[Verdict][]string{}
	groups := Group(findings)
	for _, g := range groups {
		counts[g[0].Verdict] += len(g)
		lines[g[0].Verdict] = append(lines[g[0].Verdict], summary(g))
	}
	for v, gauge := range w.met.findings {
		gauge.Set(float64(counts[v]))
	}
	show(w.found.settings, append(lines[Refuse], lines[Warn]...))
	show(w.found.accepted, lines[Accepted])
	var all []string
	for _, g := range groups {
		all = append(all, g[0].Verdict.String()+summary(g))
	}
	w.sayOnce(strings.Join(all, "\n"), func() {
		if len(groups) == 0 {
			w.log.Info("every topic is as planned now")
		}
		for _, g := range groups {
			w.line(g, refused)
		}
	})
}

func show(h *health.Handle, lines []string) {
	if len(lines) == 0 {
		h.OK()
		return
	}
	h.Fail(strings.Join(lines, "; "))
}

func (w *Watch) line(group []Finding, refused string) {
	f := group[0]
	fields := []zap.Field{zap.String("mend", f.Mend)}
	if f.Risk != "" {
		fields = append(fields, zap.String("risk", string(f.Risk)))
	}
	if f.Verdict == Refuse {
		w.log.Error(summary(group), append(fields, zap.String("so", refused))...)
		return
	}
	w.log.Warn(summary(group), append(fields, zap.String("verdict", f.Verdict.String()))...)
}

// sayOnce says something when it is not what was said last.
func (w *Watch) sayOnce(text string, say func()) {
	if w.said != text {
		w.said = text
		say()
	}
}

// refusal is what refuses, in words.
func refusal(findings []Finding) string {
	var lines []string
	for _, g := range Group(findings) {
		if g[0].Verdict == Refuse {
			lines = append(lines, summary(g)+"; mend it: "+g[0].Mend)
		}
	}
	return strings.Join(lines, "; ")
}
