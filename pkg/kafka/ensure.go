package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ensure creates the topics of the plan that are missing and returns when all
// of the plan can be written to. It changes nothing about topics that exist.
// The names that it created are returned also beside an error.
func Ensure(ctx context.Context, cl *kgo.Client, plan []Topic) (created []string, err error) {
	if len(plan) == 0 {
		return nil, nil
	}
	names := topicNames(plan)
	found, err := describe(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	var errs []error
	var missing []Topic
	for _, t := range plan {
		switch err := visible(found[t.Name]); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, t)
		case err != nil:
			errs = append(errs, fmt.Errorf("describe topic %s: %w", t.Name, err))
		}
	}
	created, err = create(ctx, cl, missing)
	if err = errors.Join(append(errs, err)...); err != nil {
		return created, err
	}
	return created, await(ctx, cl, names)
}

// create makes the topics in one request, which takes a cluster about as long as
// one topic does, and names those that are new. Somebody else creating one at the
// same moment is no fault: all processes of a cluster start alike.
func create(ctx context.Context, cl *kgo.Client, missing []Topic) (created []string, err error) {
	if len(missing) == 0 {
		return nil, nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, t := range missing {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Name, t.Partitions, t.Replication
		for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = key, new(t.Configs[key])
			rt.Configs = append(rt.Configs, c)
		}
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("create %d topics: %w", len(missing), err)
	}
	said := map[string]error{}
	for _, rt := range resp.Topics {
		err := kerr.ErrorForCode(rt.ErrorCode)
		if err != nil && rt.ErrorMessage != nil && *rt.ErrorMessage != "" {
			err = fmt.Errorf("%w (%s)", err, *rt.ErrorMessage)
		}
		said[rt.Topic] = err
	}
	var errs []error
	for _, t := range missing {
		switch err, answered := said[t.Name]; {
		case !answered || errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			errs = append(errs, fmt.Errorf("create topic %s with %d partitions and replication factor %d: %w", t.Name, t.Partitions, t.Replication, err))
		default:
			created = append(created, t.Name)
		}
	}
	return created, errors.Join(errs...)
}

// await returns when every partition of the topics has a leader. A broker
// acknowledges a creation before all others know of it.
func await(ctx context.Context, cl *kgo.Client, names []string) error {
	for {
		found, err := describe(ctx, cl, names)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(names, func(name string) bool { return !led(found[name]) })
		if i < 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for topic %s to have leaders: %w", names[i], ctx.Err())
		}
	}
}

// led reports whether every partition has a leader.
func led(t kmsg.MetadataResponseTopic) bool {
	leaderless := func(p kmsg.MetadataResponseTopicPartition) bool { return p.ErrorCode != 0 || p.Leader < 0 }
	return t.ErrorCode == 0 && len(t.Partitions) > 0 && !slices.ContainsFunc(t.Partitions, leaderless)
}

// describe asks a broker about the topics. It asks each time: kadm answers from
// what the client knows already, and just created topics are what this is about.
func describe(ctx context.Context, cl *kgo.Client, names []string) (map[string]kmsg.MetadataResponseTopic, error) {
	resp, err := metadata(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	return byName(resp), nil
}

func metadata(ctx context.Context, cl *kgo.Client, names []string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // nil would be all topics
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	return resp, nil
}

func byName(resp *kmsg.MetadataResponse) map[string]kmsg.MetadataResponseTopic {
	found := make(map[string]kmsg.MetadataResponseTopic, len(resp.Topics))
	for _, t := range resp.Topics {
		if t.Topic != nil {
			found[*t.Topic] = t
		}
	}
	return found
}
