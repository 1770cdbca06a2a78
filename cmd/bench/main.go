// Command bench measures causeway side by side with the machine's own limit: the
// smallest programs that do the same I/O, on the same Kafka, under the same load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"causeway/pkg/kafka/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ^C ends the process at once
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "CAUSEWAY_") {
			_ = os.Unsetenv(name) // or the causeways that are measured would follow it
		}
	}
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run is the program, or one of the two limits, which it runs as processes of their own.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		if limit := limits()[args[0]]; limit != nil {
			return limit(ctx, args[1:])
		}
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, "starting Kafka")
	cluster, err := kafkatest.Start(ctx, 1)
	if err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	rep, err := measure(ctx, o, cluster.Seeds, stderr)
	if err := errors.Join(err, cluster.Close()); err != nil {
		return err
	}
	rep.write(stdout)
	return rep.save(o.json)
}

// options are what the command line says.
type options struct {
	rows        []string
	rounds      int
	seconds     int   // measured in a round, after the warm-up
	connections []int // of the row ingress, one case each
	events      int   // of the row egress
	causeway    string
	profile     string // a folder; "": no profiles
	json        string
}

// warmUp comes before each measured window: connections, topics' leaders, the heap.
func (o options) warmUp() time.Duration {
	return min(2*time.Second, time.Duration(o.seconds)*time.Second/2)
}

func (o options) window() time.Duration { return time.Duration(o.seconds) * time.Second }

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var list, connections string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&list, "rows", strings.Join(rowNames(), ","), "rows to measure")
	f.IntVar(&o.rounds, "rounds", 3, "rounds of each row; medians are taken over them")
	f.IntVar(&o.seconds, "seconds", 10, "seconds measured in a round")
	f.StringVar(&connections, "connections", "64,256", "connections of the row ingress, a case each")
	f.IntVar(&o.events, "events", 300_000, "events of the row egress")
	f.StringVar(&o.causeway, "causeway", "bin/causeway", "the binary to measure")
	f.StringVar(&o.profile, "profile", "", "folder for CPU profiles of causeway, one for each process and round; taking them costs it some speed")
	f.StringVar(&o.json, "json", "bench.json", "file for all figures")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(rowNames(), name) {
			return options{}, fmt.Errorf("-rows: %q is not one of %s", name, strings.Join(rowNames(), ", "))
		}
		o.rows = append(o.rows, name)
	}
	for text := range strings.SplitSeq(connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 { // an address may hold 1024 by default
			return options{}, fmt.Errorf("-connections: %q is not a number from 1 to 1000", text)
		}
		o.connections = append(o.connections, n)
	}
	for name, n := range map[string]int{"rounds": o.rounds, "seconds": o.seconds, "events": o.events} {
		if n < 1 || n > 1_000_000 {
			return options{}, fmt.Errorf("-%s: %d is not from 1 to 1000000", name, n)
		}
	}
	if _, err := os.Stat(o.causeway); err != nil {
		return options{}, fmt.Errorf("-causeway: %w; make build makes it", err)
	}
	return o, nil
}
