package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

func newCheck(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, the secrets, Kafka and its topics; say all that is wrong at once",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), c) },
	}
}

// runCheck goes on past whatever it finds wrong, as far as that makes sense.
func runCheck(ctx context.Context, c *common) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	p.config = p.config.withDefaults()
	snapshot := p.build(catalog.Options{
		Resolver: secret.NewResolver(), ResolveSources: true, ResolveSubscriptions: true,
	})
	for _, name := range p.unknown {
		fmt.Fprintf(c.stdout, "warning: %s\n", unknownVariable(name))
	}
	wrong := 0
	if err := p.err(); err != nil {
		fmt.Fprintln(c.stdout, err)
		wrong += len(p.document.faults)
	} else {
		fmt.Fprintf(c.stdout, "configuration: %d sources, %d subscriptions, every secret resolved\n", len(snapshot.Sources), len(snapshot.Subscriptions))
	}
	if len(p.config.Kafka.Brokers) == 0 {
		fmt.Fprintln(c.stdout, "kafka: kafka.brokers names none, so only causeway dev can run, on its embedded broker")
	} else {
		wrong += checkKafka(ctx, c, p.config, snapshot)
	}
	if wrong > 0 {
		fmt.Fprintf(c.stdout, "%d wrong\n", wrong)
		return errReported
	}
	fmt.Fprintln(c.stdout, "nothing wrong")
	return nil
}

// checkKafka compares what is in Kafka with the plan and returns how much is wrong.
func checkKafka(ctx context.Context, c *common, conf config, snapshot *catalog.Snapshot) int {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	say := func(format string, args ...any) int {
		fmt.Fprintf(c.stdout, "kafka: "+format+"\n", args...)
		return 1
	}
	client, err := kgo.NewClient(kafka.Options{Brokers: conf.Kafka.Brokers, ClientID: conf.Kafka.ClientID, Logger: zap.NewNop()}.Base("check")...)
	if err != nil {
		return say("%v", err)
	}
	defer client.Close()
	if err := ping(ctx, client); err != nil {
		return say("%s: no broker answers: %v", strings.Join(conf.Kafka.Brokers, ", "), err)
	}
	found, err := describe(ctx, client)
	if err != nil {
		return say("%v", err)
	}
	fmt.Fprintf(c.stdout, "kafka: cluster %s, %d brokers\n", found.id, len(found.brokers))
	if snapshot == nil {
		fmt.Fprintln(c.stdout, "kafka: topics not compared: the configuration has to be mended first")
		return 0
	}
	plan := topicPlan(prepareOptions{config: conf.Kafka, sources: conf.Ingress.Sources, snapshot: snapshot}, len(found.brokers))
	missing, faults, err := missingTopics(ctx, client, plan)
	if err != nil {
		return say("%v", err)
	}
	for _, fault := range faults {
		say("%s", fault)
	}
	switch {
	case len(missing) == 0:
		fmt.Fprintf(c.stdout, "kafka: %d topics, none missing\n", len(plan))
	case *conf.Kafka.Topics.Create:
		fmt.Fprintf(c.stdout, "kafka: %d topics, to be created at start: %s\n", len(plan), strings.Join(missing, ", "))
	default:
		for _, name := range missing {
			say("topic %s is missing and kafka.topics.create is false: create it, see deploy/topics.yaml", name)
		}
		return len(faults) + len(missing)
	}
	return len(faults)
}

// missingTopics says which topics of the plan are not there, and which cannot be seen.
func missingTopics(ctx context.Context, client *kgo.Client, plan []kafka.Topic) (missing, faults []string, err error) {
	names := make([]string, 0, len(plan))
	for _, t := range plan {
		names = append(names, t.Name)
	}
	found, err := kadm.NewClient(client).ListTopics(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("list topics: %w", err)
	}
	for _, name := range names {
		switch t, ok := found[name]; {
		case !ok, errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case t.Err != nil:
			faults = append(faults, fmt.Sprintf("topic %s: %v", name, t.Err))
		}
	}
	return missing, faults, nil
}
