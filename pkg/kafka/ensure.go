package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ensure creates the topics of the plan that are missing and returns when all
// of the plan can be written to. It changes nothing about topics that exist.
// The names that it created are returned also beside an error.
func Ensure(ctx context.Context, cl *kgo.Client, plan []Topic) (created []string, err error) {
	adm := kadm.NewClient(cl)
	if len(plan) == 0 {
		return nil, nil
	}
	names := topicNames(plan)
	found, err := describe(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, t := range plan {
		err := kerr.ErrorForCode(found[t.Name].ErrorCode)
		switch {
		case err == nil, errors.Is(err, kerr.LeaderNotAvailable): // there, or being made by somebody else
			continue
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			errs = append(errs, fmt.Errorf("describe topic %s: %w", t.Name, err))
			continue
		}
		ok, err := create(ctx, adm, t)
		if err != nil {
			errs = append(errs, err)
		}
		if ok {
			created = append(created, t.Name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return created, err
	}
	return created, await(ctx, cl, names)
}

// create reports whether the topic is new. Somebody else creating it at the
// same moment is no fault: all processes of a cluster start alike.
func create(ctx context.Context, adm *kadm.Client, t Topic) (bool, error) {
	configs := make(map[string]*string, len(t.Configs))
	for k, v := range t.Configs {
		configs[k] = new(v)
	}
	r, err := adm.CreateTopic(ctx, t.Partitions, t.Replication, configs, t.Name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case r.ErrMessage != "":
		return false, fmt.Errorf("create topic %s with %d partitions and replication factor %d: %w (%s)", t.Name, t.Partitions, t.Replication, err, r.ErrMessage)
	default:
		return false, fmt.Errorf("create topic %s with %d partitions and replication factor %d: %w", t.Name, t.Partitions, t.Replication, err)
	}
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
