package egress

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"causeway/schemas"
)

// recorder is a Registerer that keeps what it was told: metrics with labels are not
// gathered before they have a value.
type recorder map[string]string // name to labels

func (r recorder) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	form := regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: {([^}]*)}`)
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		r[m[1]] = m[2]
	}
	return nil
}

func (r recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = r.Register(c)
	}
}

func (recorder) Unregister(prometheus.Collector) bool { return false }

func TestMetricsAreThoseOfTheDesign(t *testing.T) {
	design := map[string]string{
		"egress_attempts_total": "topic,outcome", "egress_attempt_duration_seconds": "", "egress_end_to_end_seconds": "",
		"egress_in_flight": "", "egress_queue_depth": "", "egress_parked_total": "reason", "egress_watermark_age_seconds": "",
		"egress_duplicates_total": "", "egress_attempt_records_dropped_total": "",
		"delay_backlog": "tier", "delay_lateness_seconds": "",
		"dlq_total": "reason", "dlq_depth": "", "dlq_oldest_age_seconds": "",
		"subscriptions": "state", "consumer_lag": "topic", "consumer_lag_seconds": "topic",
	}
	beside := []string{
		"egress_tombstones_total", "egress_twins_forgotten_total", "delay_skewed_total", "egress_fetch_errors_total",
		"egress_commit_errors_total", "egress_commit_duration_seconds", "egress_settle_errors_total",
		"egress_rate_limited_subscriptions", "egress_rewinds_total", "egress_lost_records_total", "egress_commits_lost_total",
	}
	got := recorder{}
	newMetrics(got, func() (int, int) { return 0, 0 }, func() int { return 0 })
	for name, labels := range design {
		if found, ok := got["causeway_"+name]; !ok || found != labels {
			t.Errorf("causeway_%s{%s}: found %t with labels %q", name, labels, ok, found)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		short, ok := strings.CutPrefix(name, "causeway_")
		if _, known := design[short]; !ok || !known && !slices.Contains(beside, short) {
			t.Errorf("%s is neither in the design nor in this test's list", name)
		}
	}
	for _, name := range beside {
		if _, ok := got["causeway_"+name]; !ok {
			t.Errorf("causeway_%s is gone", name)
		}
	}
}

// Labels come from closed sets: what comes off the wire never makes a new one.
func TestLabelsAreClosed(t *testing.T) {
	inBubble(t, func(a arrival) int {
		return map[string]int{"evt-ok": 200, "evt-bad": 500, "evt-limit": 429}[a.id]
	}, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.Logger, o.Kafka.Logger = nil, nil }
		stop := b.start()
		for _, id := range []string{"evt-ok", "evt-bad", "evt-limit"} {
			b.publish(schemas.Event{ID: id, Type: "a type that\nnobody knows"})
		}
		time.Sleep(3 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		families, err := b.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		closed := map[string][]string{
			"topic": {testTopic}, "outcome": {"done", "delay"}, "state": {"live", "paused", "faulty", "disabled"},
			"tier":   {"1s", "5s", "30s", "5m", "30m", "2h", "6h", "12h", "24h"},
			"reason": nil,
		}
		for _, r := range parkedReasons() {
			closed["reason"] = append(closed["reason"], string(r))
		}
		for _, r := range schemas.Reasons() {
			closed["reason"] = append(closed["reason"], string(r))
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if !slices.Contains(closed[l.GetName()], l.GetValue()) {
						t.Errorf("%s{%s=%q}", f.GetName(), l.GetName(), l.GetValue())
					}
				}
			}
		}
	})
}
