package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/pkg/kafka/kafkatest"
)

// TestMain is also the two limits: the bench runs itself anew for them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if limit := limits()[os.Args[1]]; limit != nil {
			if err := limit(context.Background(), os.Args[2:]); err != nil {
				_, _ = os.Stderr.WriteString(err.Error() + "\n")
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	kafkatest.Main(m)
}

// TestSmoke runs every row for a moment: that it runs, and says something sane. How
// fast it was is nobody's business here.
func TestSmoke(t *testing.T) {
	cluster := kafkatest.Real(t, 1)
	causeway := filepath.Join(t.TempDir(), "causeway")
	if out, err := exec.Command("go", "build", "-o", causeway, "../causeway").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	o, err := parse([]string{"-rounds", "1", "-seconds", "1", "-connections", "8", "-events", "5000", "-causeway", causeway, "-profile", t.TempDir()}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	rep, err := measure(t.Context(), o, cluster.Seeds, &said)
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	for _, f := range rep.Figures {
		if f.What != "delivered again" && (len(f.Causeway) != 1 || f.Causeway[0] <= 0) {
			t.Errorf("%s, %s, %s: causeway %v", f.Row, f.Case, f.What, f.Causeway)
		}
		if f.What == "attempts recorded" && f.Causeway[0] != 5000 {
			t.Errorf("%v attempts recorded of 5000", f.Causeway[0])
		}
	}
	var table strings.Builder
	rep.write(&table)
	for _, want := range []string{
		"ingress   8 connections, raw ", "ingress   8 connections, avro", ">= 0.80", "egress    5000 events", ">= 0.60",
		"latency   2000 events/s", "<= 3.00", "start-up  causeway dev", "<= 2.00",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in the table", want)
		}
	}
	if profiles, err := filepath.Glob(filepath.Join(o.profile, "ingress-8-raw-*.pprof")); err != nil || len(profiles) == 0 {
		t.Errorf("no profile of ingress: %v", err)
	}
	if t.Failed() {
		t.Logf("%s\n%s", &said, &table)
	}
}

func TestABodyIsOneKiBAndTellsItsNumber(t *testing.T) {
	for range 100 {
		body := newBody()
		if len(body) != bodySize {
			t.Fatalf("%d bytes", len(body))
		}
		putNumber(body, 1234567)
		if n := number(body); n != 1234567 {
			t.Fatalf("number %d of %s", n, body)
		}
	}
}

func TestJudgingIsRoundByRound(t *testing.T) {
	r := &report{}
	p := r.pair("ingress", "a case")
	// The machine was half as fast in the second round, for both.
	p.add("rate", "/s", atLeast(0.8), 1000, 900)
	p.add("rate", "/s", atLeast(0.8), 500, 450)
	p.add("rate", "/s", atLeast(0.8), 1000, 700)
	p.add("p99", "ms", atMost(1.5), 10, 16)
	p.add("first delivery", "s", noMore(2), 0, 1.5)
	for i, want := range []struct {
		value float64
		met   bool
	}{{0.9, true}, {1.6, false}, {1.5, true}} {
		if f := r.Figures[i]; f.Value != want.value || *f.Met != want.met {
			t.Errorf("%s: %v, met %v; want %v", f.What, f.Value, *f.Met, want)
		}
	}
}

func TestMedianAndQuantile(t *testing.T) {
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three is %v", got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median of four is %v", got)
	}
	if got := quantile([]time.Duration{1, 2, 3, 4, 5}, 0.5); got != 3 {
		t.Errorf("half of five is at %v", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("half of nothing is at %v", got)
	}
}
