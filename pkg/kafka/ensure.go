package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Ensure creates the topics of the plan that are missing and returns when all
// of the plan can be written to. It changes nothing about topics that exist.
// The names that it created are returned also beside an error.
func Ensure(ctx context.Context, cl *kgo.Client, plan []Topic) (created []string, err error) {
	adm := kadm.NewClient(cl)
	names := make([]string, 0, len(plan))
	for _, t := range plan {
		names = append(names, t.Name)
	}
	found, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var errs []error
	for _, t := range plan {
		if d, ok := found[t.Name]; ok && d.Err == nil {
			continue
		} else if ok && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			errs = append(errs, fmt.Errorf("describe topic %s: %w", t.Name, d.Err))
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
	return created, await(ctx, adm, names)
}

// create reports whether the topic is new. Somebody else creating it at the
// same moment is no fault: all processes of a cluster start alike.
func create(ctx context.Context, adm *kadm.Client, t Topic) (bool, error) {
	configs := make(map[string]*string, len(t.Configs))
	for k, v := range t.Configs {
		configs[k] = kadm.StringPtr(v)
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
func await(ctx context.Context, adm *kadm.Client, names []string) error {
	for {
		found, err := adm.ListTopics(ctx, names...)
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		missing := ""
		for _, name := range names {
			if !ready(found[name]) {
				missing = name
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for topic %s to have leaders: %w", missing, ctx.Err())
		}
	}
}

func ready(t kadm.TopicDetail) bool {
	for _, p := range t.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return t.Err == nil && len(t.Partitions) > 0
}
