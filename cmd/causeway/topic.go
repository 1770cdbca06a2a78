package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

func newTopic(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "Look at the topics that are there",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List topics with their partitions, records and size",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return listTopics(cmd.Context(), c) },
	}, &cobra.Command{
		Use:   "describe TOPIC",
		Short: "Say where each partition begins and ends, and which settings were made",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return describeTopic(cmd.Context(), c, args[0]) },
	}, newTopicLag(c))
	return cmd
}

// openKafka connects to the brokers of the process file or, without any, to the
// embedded broker of a causeway dev on this machine.
func openKafka(ctx context.Context, c *common, more ...kgo.Opt) (*kgo.Client, config, error) {
	p, err := c.load()
	if err != nil {
		return nil, config{}, err
	}
	security := p.connection(secret.NewResolver())
	if err := p.err(); err != nil {
		return nil, config{}, err
	}
	conf := p.config.withDefaults()
	hint := ""
	if len(conf.Kafka.Brokers) == 0 {
		conf.Kafka.Brokers = []string{defaultBroker}
		hint = ": start causeway dev here, or name your brokers with -c or CAUSEWAY_KAFKA_BROKERS"
	}
	o := kafka.Options{Brokers: conf.Kafka.Brokers, Prefix: conf.Kafka.Prefix, ClientID: conf.Kafka.ClientID, Logger: zap.NewNop(), Extra: more, TLS: security.tls, SASL: security.sasl}
	if reached, errs := o.Probe(ctx); len(reached.Brokers) == 0 {
		return nil, config{}, fmt.Errorf("%w%s", errors.Join(errs...), hint)
	}
	client, err := kgo.NewClient(o.Base("cli")...)
	if err != nil {
		return nil, config{}, fmt.Errorf("make the Kafka client: %w", err)
	}
	return client, conf, nil
}

// topicSizes are the numbers of a topic.
type topicSizes struct {
	start, end kadm.ListedOffsets
	bytes      map[string]map[int32]int64 // of the leader's or the largest copy; absent when the brokers don't say
}

func readSizes(ctx context.Context, adm *kadm.Client, topics []string) (topicSizes, error) {
	var s topicSizes
	var err error
	if s.start, err = adm.ListStartOffsets(ctx, topics...); err != nil {
		return s, fmt.Errorf("ask where topics begin: %w", err)
	}
	if s.end, err = adm.ListEndOffsets(ctx, topics...); err != nil {
		return s, fmt.Errorf("ask where topics end: %w", err)
	}
	s.bytes = map[string]map[int32]int64{}
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return s, nil //nolint:nilerr // not everybody may ask this, and not every broker knows: the size stays out
	}
	for _, broker := range dirs {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if s.bytes[p.Topic] == nil {
				s.bytes[p.Topic] = map[int32]int64{}
			}
			s.bytes[p.Topic][p.Partition] = max(s.bytes[p.Topic][p.Partition], p.Size)
		})
	}
	return s, nil
}

// records counts what is between the beginning and the end of a topic's partitions.
func (s topicSizes) records(topic string) int64 {
	var n int64
	for p, end := range s.end[topic] {
		n += end.Offset - s.start[topic][p].Offset
	}
	return n
}

func (s topicSizes) size(topic string) string {
	var sum int64
	for _, n := range s.bytes[topic] {
		sum += n
	}
	if s.bytes[topic] == nil {
		return "-"
	}
	return byteSize(sum)
}

func listTopics(ctx context.Context, c *common) error {
	client, _, err := openKafka(ctx, c)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	sizes, err := readSizes(ctx, adm, topics.Names())
	if err != nil {
		return err
	}
	w := newTable(c.stdout, "TOPIC", "PARTITIONS", "COPIES", "RECORDS", "SIZE")
	for _, t := range topics.Sorted() {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", t.Topic, len(t.Partitions), t.Partitions.NumReplicas(), sizes.records(t.Topic), sizes.size(t.Topic))
	}
	return w.Flush()
}

func describeTopic(ctx context.Context, c *common, name string) error {
	client, _, err := openKafka(ctx, c)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	t, err := findTopic(ctx, adm, name)
	if err != nil {
		return err
	}
	sizes, err := readSizes(ctx, adm, []string{name})
	if err != nil {
		return err
	}
	w := newTable(c.stdout, "PARTITION", "LEADER", "COPIES", "IN SYNC", "BEGINS", "ENDS", "SIZE")
	for _, p := range t.Partitions.Sorted() {
		size := "-"
		if n, ok := sizes.bytes[name][p.Partition]; ok {
			size = byteSize(n)
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%s\n", p.Partition, p.Leader, len(p.Replicas), len(p.ISR),
			sizes.start[name][p.Partition].Offset, sizes.end[name][p.Partition].Offset, size)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return describeConfigs(ctx, adm, c.stdout, name)
}

// describeConfigs prints the settings that somebody made for this topic.
func describeConfigs(ctx context.Context, adm *kadm.Client, out io.Writer, name string) error {
	all, err := adm.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", name, err)
	}
	configs, err := all.On(name, nil)
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", name, err)
	}
	made := map[string]string{}
	for _, c := range configs.Configs {
		if c.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
			made[c.Key] = c.MaybeValue()
		}
	}
	fmt.Fprintln(out)
	w := newTable(out, "SETTING", "VALUE")
	for _, key := range slices.Sorted(maps.Keys(made)) {
		fmt.Fprintf(w, "%s\t%s\n", key, printable(made[key], 200))
	}
	return w.Flush()
}

// findTopic finds a topic or says which there are.
func findTopic(ctx context.Context, adm *kadm.Client, name string) (kadm.TopicDetail, error) {
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return kadm.TopicDetail{}, fmt.Errorf("list topics: %w", err)
	}
	if t, ok := topics[name]; ok && t.Err == nil {
		return t, nil
	}
	hint := didYouMean(name, topics.Names())
	if hint == "" {
		hint = "; there are " + strings.Join(topics.Names(), ", ")
	}
	return kadm.TopicDetail{}, fmt.Errorf("there is no topic %s%s", printable(name, 249), hint)
}

func newTable(w io.Writer, titles ...string) *tabwriter.Writer {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, strings.Join(titles, "\t"))
	return t
}
