package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/schemas"
)

// The numbers were worked out by hand; each line says how.
func TestCapacity(t *testing.T) {
	base := load{Rate: 500, Size: 4096, Failing: 0.1, Subscriptions: 1, Replication: 3, PartitionRate: 1000, Latency: 200 * time.Millisecond, Timeout: 15 * time.Second}
	with := func(change func(*load)) load {
		l := base
		change(&l)
		return l
	}
	for name, tc := range map[string]struct {
		load load
		want map[string]float64 // by JSON name
	}{
		"the example of the documentation": {base, map[string]float64{
			"deliveries_per_second":          500,
			"delay_writes_per_second":        450,                                      // 500 x 0.1 x 9
			"dead_letters_per_second":        50,                                       // 500 x 0.1
			"attempts_per_second":            950,                                      // 500 + 450
			"wait_seconds":                   246_935,                                  // 5 + 30 + 300 + 1,800 + 7,200 + 21,600 + 43,200 + 86,400 + 86,400
			"parked":                         12_346_750,                               // 50 x 246,935
			"in_flight":                      190,                                      // 950 x 0.2
			"in_flight_if_failing_hang":      7590,                                     // 450 x 0.2 + 50 x 10 x 15
			"event_partitions":               12,                                       // 500 / 1,000 is less
			"delay_partitions":               12,                                       // 100 / 1,000 is less
			"busiest_delay_topic_per_second": 100,                                      // two of the waits are 24 h: 50 x 2
			"ingress_processes":              2,                                        // 500 / 32,000 is less
			"egress_processes":               2,                                        // 7,590 / 4,096 = 1.9
			"events.bytes_per_day":           597_196_800_000,                          // 500 x (4,096 + 512) x 86,400 x 3
			"events.bytes":                   4_180_377_600_000,                        // 7 d
			"delay.bytes_per_day":            597_196_800_000,                          // 450 x (4,096 + 512 + 512) x 86,400 x 3
			"delay.bytes":                    8_360_755_200_000,                        // 14 d
			"dlq.bytes_per_day":              66_355_200_000,                           // 50 x 5,120 x 86,400 x 3
			"dlq.bytes":                      1_990_656_000_000,                        // 30 d
			"attempts.bytes_per_day":         189_112_320_000,                          // 950 x 768 x 86,400 x 3
			"attempts.bytes":                 1_323_786_240_000,                        // 7 d
			"disk_bytes_per_day":             1_449_861_120_000,                        // the four together
			"disk_bytes":                     15_855_575_040_000,                       // the same
			"events.kept_seconds":            604_800, "delay.kept_seconds": 1_209_600, // 7 d, 14 d
		}},
		"nobody fails": {with(func(l *load) { l.Failing = 0 }), map[string]float64{
			"delay_writes_per_second": 0, "parked": 0, "dead_letters_per_second": 0, "delay.bytes": 0,
			"attempts_per_second": 500, "in_flight": 100, "in_flight_if_failing_hang": 100,
		}},
		"three subscriptions get each event, which is stored once": {with(func(l *load) { l.Subscriptions = 3 }), map[string]float64{
			"deliveries_per_second": 1500, "delay_writes_per_second": 1350, "parked": 37_040_250, "events.bytes": 4_180_377_600_000, "delay.bytes_per_day": 1_791_590_400_000,
			"in_flight_if_failing_hang": 22_770, "egress_processes": 6, // 22,770 / 4,096 = 5.6
		}},
		"a rate that needs more of everything": {with(func(l *load) { l.Rate, l.Failing = 100_000, 0.5 }), map[string]float64{
			"event_partitions":          1834,      // more than 100,000 / 1,000: one for each egress process
			"delay_partitions":          1834,      // more than 100,000 / 1,000
			"ingress_processes":         4,         // 100,000 / 32,000 = 3.1
			"in_flight_if_failing_hang": 7_510_000, // 50,000 x 0.2 + 50,000 x 10 x 15
			"egress_processes":          1834,      // 7,510,000 / 4,096 = 1,833.5
		}},
		"partitions that are given less": {with(func(l *load) { l.PartitionRate = 20; l.Failing = 0.01 }), map[string]float64{
			"event_partitions": 25, "delay_partitions": 12, // 500 / 20; 10 / 20
		}},
		"kept for a month, in one copy": {with(func(l *load) { l.Retention, l.Replication = 30*24*time.Hour, 1 }), map[string]float64{
			"events.bytes_per_day": 199_065_600_000, "events.bytes": 5_971_968_000_000, "delay.kept_seconds": 1_209_600,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := numbers(t, capacityOf(tc.load))
			for field, want := range tc.want {
				if have, ok := got[field]; !ok || math.Abs(have-want) > 1e-9*want {
					t.Errorf("%s = %v, want %v", field, have, want)
				}
			}
		})
	}
}

// numbers are those of the capacity's JSON, the disk's by its topics.
func numbers(t *testing.T, c capacity) map[string]float64 {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for name, v := range fields {
		if n, ok := v.(float64); ok {
			all[name] = n
		}
	}
	for _, u := range fields["disk"].([]any) {
		use := u.(map[string]any)
		for name, v := range use {
			if n, ok := v.(float64); ok {
				all[use["topics"].(string)+"."+name] = n
			}
		}
	}
	return all
}

// What plan takes a record for is at least what one of each kind has, and not twice that.
func TestCapacityKnowsRecords(t *testing.T) {
	ev := &schemas.Event{
		ID: "evt_1NG8Du2eZvKYlo2CUI79vXWy", Source: "stripe", Type: "customer.subscription.updated", Tenant: "acct_1Nv0FGQ9RKHgCVdK",
		Received: time.Now(), Occurred: time.Now(), ContentType: "application/json; charset=utf-8", VerifiedBy: "stripe",
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Identity: strings.Repeat("ab", 16),
	}
	event, err := ev.Record("webhooks.stripe", schemas.Raw)
	if err != nil {
		t.Fatal(err)
	}
	event.Offset = 123_456_789
	d := schemas.NewDelivery(event, "5L6g3nShT-eMCtK--X86sw", uuid.New(), 42)
	d.Attempt, d.Hop, d.Status, d.Error = 5, 4, 503, "503 Service Unavailable"
	d.Due, d.First, d.Last = time.Now(), time.Now(), time.Now()
	attempt := (&schemas.Attempt{
		EventID: ev.ID, Source: ev.Source, Type: ev.Type, Tenant: ev.Tenant, Subscription: uuid.New(), SubscriptionName: "billing-production",
		Cluster: d.Cluster, Origin: d.Origin, Attempt: 5, Hop: 4, Started: time.Now(), Took: time.Second, Class: "failed", Status: 503, Error: d.Error,
		Verdict: "delay", NextDue: time.Now(), Response: make([]byte, 256), ResponseContentType: "application/json",
	}).Record("causeway.attempts")
	parked := recordSize(d.DelayRecord("causeway.delay.5s"))
	for _, tc := range []struct {
		what       string
		size, told int
	}{
		{"an event without a body", recordSize(event), eventOverhead},
		{"what a delivery adds", parked - recordSize(event), deliveryOverhead},
		{"an attempt", recordSize(attempt), attemptBytes},
	} {
		if tc.size > tc.told || tc.size*2 < tc.told {
			t.Errorf("%s has %d bytes, and plan takes it for %d", tc.what, tc.size, tc.told)
		}
	}
}

// recordSize is about what a record takes in a batch (KIP-98): a byte for each length, a
// few for itself.
func recordSize(r *kgo.Record) int {
	n := 10 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 2 + len(h.Key) + len(h.Value)
	}
	return n
}

// The figures that plan cites are those of the page, to within a quarter: machines differ
// by that much, and nobody plans closer.
func TestCapacityCitesTheBenchmarks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row, told := range map[string]float64{"`ingress` | 256 connections, raw": benchIngress, "`egress` | 300,000 events": benchEgress} {
		m := regexp.MustCompile(`\| ` + regexp.QuoteMeta(row) + ` \| rate \| [0-9,]+/s \| ([0-9,]+)/s`).FindSubmatch(page)
		if m == nil {
			t.Errorf("docs/benchmarks.md has no row %s", row)
			continue
		}
		if got, _ := strconv.ParseFloat(strings.ReplaceAll(string(m[1]), ",", ""), 64); got < told*0.75 || got > told*1.25 {
			t.Errorf("%s: %v/s in docs/benchmarks.md, and plan cites %v/s", row, got, told)
		}
	}
	if !strings.Contains(string(page), "Topics have "+strconv.Itoa(benchPartitions)+" partitions") {
		t.Errorf("docs/benchmarks.md does not say that topics have %d partitions", benchPartitions)
	}
}

func TestPlanVerb(t *testing.T) {
	code, text, stderr := ask(t, "kafka: {}\n", "plan", "--rate", "500/s", "--size", "4KiB", "--failing", "10%")
	for _, want := range []string{
		"500 events/s with bodies of 4.0 KiB, to 1 subscription each; 10 % of the deliveries fail\n",
		"12,346,750", "500 deliveries/s x 10 % x 246,935 s of waits", "450/s x 0.2 s + 500/s x 15 s, when those that fail hang",
		"556.2 GiB", "3.8 TiB", "500/s x 4,608 B x 86,400 s x 3 copies", "This assumes:", "(68h35m35s)", "docs/benchmarks.md",
	} {
		if code != 0 || stderr != "" || !strings.Contains(text, want) {
			t.Errorf("ends with %d, says %s, and has no %q:\n%s", code, stderr, want, text)
		}
	}
	code, text, _ = ask(t, "kafka: {}\n", "plan", "--rate", "30/m", "--retention", "2d", "-o", "json")
	var got struct {
		Load        map[string]float64
		Parked      float64 `json:"parked"`
		Assumptions []string
	}
	if err := json.Unmarshal([]byte(text), &got); code != 0 || err != nil || got.Load["rate_per_second"] != 0.5 || math.Abs(got.Parked-1234.675) > 1e-9 || len(got.Assumptions) != 8 {
		t.Errorf("ends with %d, %v, and prints %s", code, err, text)
	}
	code, text, stderr = ask(t, "kafka: {}\n", "plan", "--size", "4 bananas", "--failing", "120%", "--retention", "0d", "--latency", "0s", "--subscriptions", "0", "--partition-rate", "9", "-o", "xml")
	for _, want := range []string{
		"--rate is missing", `"4 bananas" is not a size`, `"120%" is not a share`, `"0d" is not a time to keep records`,
		"--latency: 0s must be positive", "--subscriptions: 0 is not between 1 and 1000000", `--partition-rate: "9" is not a rate`, "-o xml: write -o table or -o json",
	} {
		if code != 2 || text != "" || !strings.Contains(stderr, want) {
			t.Errorf("ends with %d, prints %q, and does not say %q but %s", code, text, want, stderr)
		}
	}
}

func TestReadableNumbers(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.125: "0.125", 0.1 + 0.2: "0.3", 12.5: "12.5", 999: "999", 246.935: "247", 1000: "1,000", 999.7: "1,000", 12_346_750.4: "12,346,750"} {
		if got := readable(n); got != want {
			t.Errorf("readable(%v) = %s, want %s", n, got, want)
		}
	}
}
