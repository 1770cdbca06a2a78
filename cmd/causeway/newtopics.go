package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/admin"
	"causeway/pkg/kafka"
)

// newTopics makes the topics of sources before the catalog has them: an entry must
// never name a topic into which nothing can be stored.
type newTopics struct {
	client *kgo.Client
	plan   prepareOptions
}

// prepare makes what is missing, where kafka.topics.create lets it, and otherwise says
// what has to be made.
func (n newTopics) prepare(ctx context.Context, topics []admin.NewTopic) error {
	if len(topics) == 0 {
		return nil
	}
	found, err := describe(ctx, n.client)
	if err != nil {
		return err
	}
	var wanted []kafka.SourceTopic
	for _, t := range topics {
		wanted = append(wanted, kafka.SourceTopic{Name: t.Name, MaxBody: t.MaxBody, Partitions: t.Partitions, Replication: t.Copies})
	}
	o := n.plan.planOptions(max(len(found.brokers), 1))
	o.Sources = wanted
	events := slices.DeleteFunc(kafka.Plan(o), func(t kafka.Topic) bool { return t.Kind != kafka.Events })
	if *n.plan.config.Topics.Create {
		_, err := kafka.Ensure(ctx, n.client, events)
		return err
	}
	findings, err := kafka.Check(ctx, n.client, events, kafka.CheckOptions{Use: kafka.Use{Ingress: true}, Allow: n.plan.config.AllowUnsafe, Embedded: n.plan.embedded})
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range findings {
		if f.Found == kafka.Missing {
			errs = append(errs, fmt.Errorf("topic %s is missing and kafka.topics.create is false: make it first: %s", f.Topic, f.Mend))
		}
	}
	return errors.Join(errs...)
}

// ends are the end offsets of topics by partition. One that is not there has none: all
// of it is to come. The end is where those who read committed records stand: what is in
// an open transaction of a foreign topic comes after it.
func (n newTopics) ends(ctx context.Context, topics []string) (map[string][]int64, error) {
	ends := make(map[string][]int64, len(topics))
	if len(topics) == 0 {
		return ends, nil
	}
	var listed kadm.ListedOffsets
	if err := retried(ctx, func() (err error) {
		listed, err = kadm.NewClient(n.client).ListCommittedOffsets(ctx, topics...)
		return retriable(listed, err)
	}); err != nil {
		return nil, fmt.Errorf("ask where topics end: %w", err)
	}
	for _, topic := range topics {
		var err error
		if ends[topic], err = endsOf(listed[topic]); err != nil {
			return nil, fmt.Errorf("ask where %s ends: %w", topic, err)
		}
	}
	return ends, nil
}

// endsOf puts the ends of a topic in the order of its partitions. One that is left out
// would give its place to the next one's end, and any other error than that the topic is
// missing, were it taken for that, would send all that the topic holds.
func endsOf(partitions map[int32]kadm.ListedOffset) ([]int64, error) {
	const whole = -1 // where kadm says what is wrong with the topic itself
	if at, ok := partitions[whole]; ok {
		if errors.Is(at.Err, kerr.UnknownTopicOrPartition) {
			return []int64{}, nil
		}
		return nil, at.Err
	}
	ends := make([]int64, len(partitions))
	for id := range ends {
		at, ok := partitions[int32(id)]
		switch {
		case !ok:
			return nil, fmt.Errorf("partition %d: no answer about it", id)
		case at.Err != nil:
			return nil, fmt.Errorf("partition %d: %w", id, at.Err)
		}
		ends[id] = at.Offset
	}
	return ends, nil
}

// retryEvery is the pause before Kafka is asked again what it cannot say yet.
const retryEvery = 100 * time.Millisecond

// retried asks again, until ctx ends, as long as the error is one that passes: a topic
// that was just made has leaders that do not know of it, and a group's coordinator may
// be about to be found.
func retried(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w; the last answer: %w", ctx.Err(), err)
		}
	}
}

// retriable is an error of a listing that passes; a topic that is not there is none, but
// a partition of one that is.
func retriable(listed kadm.ListedOffsets, err error) error {
	if err != nil {
		return err
	}
	listed.Each(func(o kadm.ListedOffset) {
		if kerr.IsRetriable(o.Err) && (o.Partition >= 0 || !errors.Is(o.Err, kerr.UnknownTopicOrPartition)) {
			err = o.Err
		}
	})
	return err
}
