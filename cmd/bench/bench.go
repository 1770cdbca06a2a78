package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
)

// bench is one run.
type bench struct {
	options options
	brokers []string
	dir     string // of this run: configuration, logs, the embedded broker's data
	client  *kgo.Client
	out     io.Writer // tells how it goes
	report  *report

	started, topics int
}

// row measures one line of the design's table of speed.
type row struct {
	name    string
	measure func(*bench, context.Context) error
}

func rows() []row {
	return []row{
		{"ingress", (*bench).ingress},
		{"egress", (*bench).egress},
		{"latency", (*bench).latency},
		{"start-up", (*bench).startUp},
		{"live", (*bench).live},
	}
}

func rowNames() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// measure measures the rows that were asked for on a Kafka that is there.
func measure(ctx context.Context, o options, brokers []string, out io.Writer) (rep *report, err error) {
	for _, path := range []*string{&o.causeway, &o.profile} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return nil, err
			}
		}
	}
	b := &bench{options: o, brokers: brokers, out: out, report: newReport(ctx, o)}
	if b.dir, err = os.MkdirTemp("", "causeway-bench-*"); err != nil {
		return nil, fmt.Errorf("make a folder for the run: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.client, err = kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	)
	if err != nil {
		return nil, fmt.Errorf("make a Kafka client: %w", err)
	}
	defer b.client.Close()
	for _, r := range rows() {
		for _, name := range o.rows {
			if name != r.name {
				continue
			}
			if err := r.measure(b, ctx); err != nil {
				return nil, fmt.Errorf("row %s: %w", name, err)
			}
		}
	}
	return b.report, nil
}

// say reports progress.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// topic makes an event topic exactly as causeway does, for whichever of the two is next.
func (b *bench) topic(ctx context.Context) (string, error) {
	b.topics++
	name := fmt.Sprintf("webhooks.bench-%d", b.topics)
	plan := kafka.Plan(kafka.PlanOptions{Brokers: len(b.brokers), Sources: []kafka.SourceTopic{{Name: name}}})
	plan = plan[:1]
	plan[0].Configs["file.delete.delay.ms"] = "1000" // so that the disk holds one round's data, not all of them
	_, err := kafka.Ensure(ctx, b.client, plan)
	return name, err
}

// stored counts a topic's records.
func (b *bench) stored(ctx context.Context, topic string) (int, error) {
	ends, err := kadm.NewClient(b.client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return 0, fmt.Errorf("count the records of %s: %w", topic, err)
	}
	n := 0
	ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
	return n, nil
}

// drop deletes a round's topics: all that begin with one of the names.
func (b *bench) drop(ctx context.Context, prefixes ...string) error {
	admin := kadm.NewClient(b.client)
	found, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, name := range found.Names() {
		for _, prefix := range prefixes {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	deleted, err := admin.DeleteTopics(ctx, names...)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return fmt.Errorf("delete a round's topics: %w", err)
	}
	return nil
}

// sleepUntil waits for a moment.
func sleepUntil(ctx context.Context, at time.Time) error {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
