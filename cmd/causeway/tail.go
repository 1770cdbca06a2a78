package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/secret"
	"causeway/schemas"
)

// maxShown is how many characters of a body tail prints.
const maxShown = 2000

func newTail(c *common) *cobra.Command {
	fromStart, count := false, 0
	cmd := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Print the records of a topic as they come: events, deliveries, attempts",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usageError{"tail", fmt.Errorf("-n %d: must not be negative", count)}
			}
			return runTail(cmd.Context(), c, args[0], fromStart, count)
		},
	}
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "begin with the oldest record; else only new ones are printed")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "stop after so many records; 0 goes on")
	return cmd
}

func runTail(ctx context.Context, c *common, topic string, fromStart bool, count int) error {
	start := kgo.NewOffset().AtEnd()
	if fromStart {
		start = kgo.NewOffset().AtStart()
	}
	client, conf, err := openKafka(ctx, c,
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := findTopic(ctx, kadm.NewClient(client), topic); err != nil {
		return err
	}
	client.AddConsumeTopics(topic)
	registered, err := openRegistry(conf.Registry, secret.NewResolver(), "tail", nil)
	if err != nil {
		return err
	}
	decoder := newDecoder(registered)
	for printed := 0; ; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for _, r := range fetches.Records() {
			printRecord(ctx, c.stdout, decoder, r, conf.Kafka.Prefix)
			if printed++; printed == count {
				return nil
			}
		}
	}
}

// printRecord prints a record as what it is. One that cannot be read is shown
// with the reason, for that is when somebody looks.
func printRecord(ctx context.Context, w io.Writer, decoder *schemas.Decoder, r *kgo.Record, prefix string) {
	fmt.Fprintf(w, "%s/%d/%d  %s", r.Topic, r.Partition, r.Offset, r.Timestamp.Format("2006-01-02 15:04:05.000"))
	switch r.Topic {
	case prefix + "catalog", prefix + "audit": // JSON of their own
		fmt.Fprintf(w, "  %s\n", column(string(r.Key)))
		printBody(w, r.Value)
		return
	case prefix + "attempts":
		a, err := schemas.AttemptFromRecord(r)
		if err != nil {
			printRaw(w, r, err)
			return
		}
		printAttempt(w, a)
		return
	}
	d, err := schemas.DeliveryFromRecord(r)
	if err == nil {
		printDelivery(w, d)
	} else if errors.Is(err, schemas.ErrNewerSchema) {
		printRaw(w, r, err)
		return
	}
	ev, err := decoder.FromRecord(ctx, r)
	if err != nil {
		printRaw(w, r, err)
		return
	}
	if d == nil {
		fmt.Fprintf(w, "  event %s  %s  %s\n", column(ev.ID), column(ev.Source), column(ev.Type))
	}
	for _, h := range r.Headers {
		fmt.Fprintf(w, "    %s: %s\n", printable(h.Key, 200), printable(string(h.Value), 300))
	}
	printBody(w, ev.Body)
}

func printDelivery(w io.Writer, d *schemas.Delivery) {
	fmt.Fprintf(w, "  delivery to %s, %d attempts", d.Subscription, d.Attempt)
	if d.Status != 0 {
		fmt.Fprintf(w, ", last answer %d", d.Status)
	}
	if d.Error != "" {
		fmt.Fprintf(w, ", last error %s", printable(d.Error, 256))
	}
	if d.Reason != "" {
		fmt.Fprintf(w, ", dead: %s\n", printable(string(d.Reason), 64))
		return
	}
	fmt.Fprintf(w, ", due %s\n", d.Due.Local().Format("2006-01-02 15:04:05.000"))
}

func printAttempt(w io.Writer, a *schemas.Attempt) {
	fmt.Fprintf(w, "  attempt %d of %s to %s: %s", a.Attempt, column(a.EventID), column(a.SubscriptionName), printable(a.Class, 32))
	if a.Status != 0 {
		fmt.Fprintf(w, " %d", a.Status)
	}
	fmt.Fprintf(w, " in %s", a.Took.Round(time.Millisecond/10))
	if a.Error != "" {
		fmt.Fprintf(w, " (%s)", printable(a.Error, 256))
	}
	fmt.Fprintf(w, ", %s", printable(a.Verdict, 32))
	if a.Reason != "" {
		fmt.Fprintf(w, " %s", printable(string(a.Reason), 64))
	}
	if !a.NextDue.IsZero() {
		fmt.Fprintf(w, ", next %s", a.NextDue.Local().Format("2006-01-02 15:04:05.000"))
	}
	fmt.Fprintln(w)
	printBody(w, a.Response)
}

// printRaw prints a record that is none of causeway's, or one it cannot read.
func printRaw(w io.Writer, r *kgo.Record, err error) {
	fmt.Fprintf(w, "  %s\n    key: %s\n", printable(err.Error(), 300), printable(string(r.Key), 200))
	for _, h := range r.Headers {
		fmt.Fprintf(w, "    %s: %s\n", printable(h.Key, 200), printable(string(h.Value), 300))
	}
	printBody(w, r.Value)
}

func printBody(w io.Writer, body []byte) {
	for line := range strings.Lines(string(body[:min(len(body), 4*maxShown)])) {
		fmt.Fprintf(w, "    %s\n", printable(strings.TrimRight(line, "\r\n"), maxShown))
	}
}
