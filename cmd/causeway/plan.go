package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/catalog"
)

func newPlan(c *common) *cobra.Command {
	l := load{Subscriptions: 1, Replication: 3, PartitionRate: partitionRate, Latency: 200 * time.Millisecond, Timeout: 15 * time.Second}
	var rate, partition, size, failing, retention, output string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Say what a load needs: partitions, disk, delay writes, attempts at once",
		Long: `Say what a load needs: partitions, disk, delay writes, attempts at once. Nothing is
asked and nothing is changed: it is arithmetic, and every line says how it comes
about. causeway plan --rate 500/s --size 4KiB --failing 10%`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			err := errors.Join(
				parse("rate", rate, (*catalog.Rate)(&l.Rate)),
				parse("partition-rate", partition, (*catalog.Rate)(&l.PartitionRate)),
				parse("size", size, (*catalog.Size)(&l.Size)),
				parse("failing", failing, (*share)(&l.Failing)),
				parse("retention", retention, (*days)(&l.Retention)),
				l.validate(),
			)
			if rate == "" {
				err = errors.Join(errors.New("--rate is missing: how many events come in, like --rate 500/s"), err)
			}
			if output != "table" && output != "json" {
				err = errors.Join(err, fmt.Errorf("-o %s: write -o table or -o json", printable(output, 64)))
			}
			if err != nil {
				return usageError{"plan", err}
			}
			result := planOf(l)
			if output == "json" {
				return result.json(c.stdout)
			}
			return result.print(c.stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&rate, "rate", "", "events that come in, of all sources together, like 500/s or 30/m")
	f.StringVar(&size, "size", "4KiB", "size of a body")
	f.StringVar(&failing, "failing", "1%", "share of the deliveries whose every attempt fails, like 10%")
	f.IntVar(&l.Subscriptions, "subscriptions", l.Subscriptions, "subscriptions that get each event")
	f.StringVar(&retention, "retention", "7d", "how long the event topics keep their records")
	f.IntVar(&l.Replication, "replication", l.Replication, "copies of each record")
	f.StringVar(&partition, "partition-rate", fmt.Sprintf("%d/s", partitionRate), "records that one partition is given")
	f.DurationVar(&l.Latency, "latency", l.Latency, "how long a subscriber takes to answer")
	f.DurationVar(&l.Timeout, "timeout", l.Timeout, "after how long an attempt on one that hangs is given up")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// parse reads a flag's text where one was given.
func parse(flag, text string, into interface{ UnmarshalText([]byte) error }) error {
	if text == "" {
		return nil
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}

func (l load) validate() error {
	var errs []error
	for _, n := range []struct {
		flag     string
		value    int64
		from, to int64
	}{
		{"subscriptions", int64(l.Subscriptions), 1, 1_000_000},
		{"replication", int64(l.Replication), 1, 15},
		{"size", l.Size, 0, 1 << 30},
	} {
		if n.value < n.from || n.value > n.to {
			errs = append(errs, fmt.Errorf("--%s: %d is not between %d and %d", n.flag, n.value, n.from, n.to))
		}
	}
	for flag, d := range map[string]time.Duration{"latency": l.Latency, "timeout": l.Timeout} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("--%s: %s must be positive", flag, d))
		}
	}
	return errors.Join(errs...)
}

// share is a part of a whole, written like 10% or 0.1.
type share float64

// UnmarshalText reads a number from 0 to 1, or of percent.
func (s *share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseFloat(number, 64)
	if percent {
		n /= 100
	}
	if err != nil || !(n >= 0 && n <= 1) {
		return fmt.Errorf("%q is not a share: write it like 10%% or 0.1", text)
	}
	*s = share(n)
	return nil
}

// days is a duration that may be written in days, as retention is.
type days time.Duration

// UnmarshalText reads 7d, or what Go calls a duration.
func (d *days) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if number, ok := strings.CutSuffix(string(text), "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(number, 64)
		v = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || v <= 0 || v > 100*365*24*time.Hour {
		return fmt.Errorf("%q is not a time to keep records: write it like 7d or 36h", text)
	}
	*d = days(v)
	return nil
}

// planned is what plan answers.
type planned struct {
	Load struct {
		Rate          float64 `json:"rate_per_second"`
		Size          int64   `json:"size_bytes"`
		Failing       float64 `json:"failing"`
		Subscriptions int     `json:"subscriptions"`
		Replication   int     `json:"replication"`
		PartitionRate float64 `json:"partition_rate_per_second"`
		Latency       float64 `json:"latency_seconds"`
		Timeout       float64 `json:"timeout_seconds"`
	} `json:"load"`
	capacity
	Assumptions []string `json:"assumptions"`
}

func planOf(l load) planned {
	p := planned{capacity: capacityOf(l)}
	p.Load.Rate, p.Load.Size, p.Load.Failing, p.Load.Subscriptions = l.Rate, l.Size, l.Failing, l.Subscriptions
	p.Load.Replication, p.Load.PartitionRate, p.Load.Latency, p.Load.Timeout = l.Replication, l.PartitionRate, l.Latency.Seconds(), l.Timeout.Seconds()
	p.Assumptions = []string{
		"The rate never changes: give the peak to know partitions and processes, the average to know the disk.",
		"All events share one topic; of several sources each has a topic, with partitions of its own.",
		fmt.Sprintf("A delivery that fails does so at every attempt, over the default schedule of %d waits (%s), and is then a dead letter; the others succeed at once. Waits of other reasons are not counted.", p.Waits, seconds(p.WaitSeconds)),
		fmt.Sprintf("Steady state: %s after the first delivery fails. Parked deliveries use disk, no memory.", seconds(p.WaitSeconds)),
		fmt.Sprintf("Nothing is compressed. Beside its body an event has %d bytes and a parked delivery %d more; an attempt record has %d, a short answer included.", eventOverhead, deliveryOverhead, attemptBytes),
		"Topics keep what causeway plans for them (deploy/topics.yaml) and the last open segment beyond it; the catalog and the audit are small beside this.",
		fmt.Sprintf("One partition takes %s/s. In docs/benchmarks.md egress delivered %s/s of 1 KiB over %d partitions: %s/s from each.", readable(l.PartitionRate), readable(benchEgress), benchPartitions, readable(math.Round(float64(benchEgress)/benchPartitions))),
		fmt.Sprintf("One ingress process stores %s/s and one egress process makes %s attempts/s, as in docs/benchmarks.md (bodies of 1 KiB, two CPUs shared with load and broker), and no more than %s at once (egress.in_flight). Two of each at least.", readable(benchIngress), readable(benchEgress), readable(processInFlight)),
	}
	return p
}

func (p planned) json(w io.Writer) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func (p planned) print(out io.Writer) error {
	l := p.Load
	percent := readable(l.Failing*100) + " %"
	fmt.Fprintf(out, "%s events/s with bodies of %s, to %s each; %s of the deliveries fail\n\n", readable(l.Rate), byteSize(l.Size), counted(l.Subscriptions, "subscription"), percent)
	w := newTable(out, "WHAT", "", "HOW")
	for _, row := range [][3]string{
		{"deliveries", readable(p.Deliveries) + "/s", fmt.Sprintf("%s events/s x %d", readable(l.Rate), l.Subscriptions)},
		{"delay writes", readable(p.DelayWrites) + "/s", fmt.Sprintf("%s deliveries/s x %s x %d waits", readable(p.Deliveries), percent, p.Waits)},
		{"dead letters", readable(p.DeadLetters) + "/s", fmt.Sprintf("%s deliveries/s x %s", readable(p.Deliveries), percent)},
		{"parked at once", readable(p.Parked), fmt.Sprintf("%s deliveries/s x %s x %s s of waits", readable(p.Deliveries), percent, readable(p.WaitSeconds))},
		{"attempts", readable(p.Attempts) + "/s", fmt.Sprintf("%s deliveries/s + %s delay writes/s, each tried again", readable(p.Deliveries), readable(p.DelayWrites))},
		{"in flight", readable(p.InFlight), fmt.Sprintf("%s attempts/s x %s s, when all answer", readable(p.Attempts), readable(l.Latency))},
		{"", readable(p.Hanging), fmt.Sprintf("%s/s x %s s + %s/s x %s s, when those that fail hang", readable(p.Deliveries-p.DeadLetters), readable(l.Latency), readable(p.DelayWrites+p.DeadLetters), readable(l.Timeout))},
		{"ingress processes", readable(float64(p.IngressProcesses)), fmt.Sprintf("%s events/s / %s/s, at least 2", readable(l.Rate), readable(benchIngress))},
		{"egress processes", readable(float64(p.EgressProcesses)), fmt.Sprintf("%s attempts/s / %s/s and %s / %s in flight, at least 2", readable(p.Attempts), readable(benchEgress), readable(p.Hanging), readable(processInFlight))},
		{"event partitions", readable(float64(p.EventPartitions)), fmt.Sprintf("%s events/s / %s/s, at least %d, and one for each egress process", readable(l.Rate), readable(l.PartitionRate), benchPartitions)},
		{"delay partitions", readable(float64(p.DelayPartitions)), fmt.Sprintf("of each tier, the same for the busiest: %s/s", readable(p.BusiestDelay))},
	} {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	w = newTable(out, "TOPICS", "DISK A DAY", "KEPT", "DISK IN ALL", "HOW")
	for _, u := range p.Disk {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s/s x %s B x 86,400 s x %d copies\n", u.Topics, diskSize(u.Day), seconds(u.KeptSeconds), diskSize(u.Kept), readable(u.Records), readable(float64(u.RecordBytes)), l.Replication)
	}
	fmt.Fprintf(w, "together\t%s\t\t%s\tall brokers together\n", diskSize(p.DiskDay), diskSize(p.DiskKept))
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThis assumes:")
	for _, line := range p.Assumptions {
		fmt.Fprintf(out, "- %s\n", line)
	}
	return nil
}

// diskSize writes a size in the unit that disks are bought in.
func diskSize(n float64) string {
	units := []string{"MiB", "GiB", "TiB", "PiB"}
	n /= 1 << 20
	for len(units) > 1 && n >= 1024 {
		n, units = n/1024, units[1:]
	}
	return fmt.Sprintf("%.1f %s", n, units[0])
}

// seconds writes a time as people say it: 7 d, 68h35m35s.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	}
	return d.String()
}

// readable writes a number with three significant digits where it is small, and with
// commas where it is large: 0.125, 12.5, 12,346,750.
func readable(n float64) string {
	if math.Round(n) < 1000 {
		return strconv.FormatFloat(n, 'g', max(3, len(strconv.Itoa(int(n)))), 64)
	}
	digits := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
