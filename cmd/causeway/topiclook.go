package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/cursor"
	"causeway/pkg/kafka"
)

// topicLook looks at the topics that causeway uses, for the API.
type topicLook struct {
	newTopics
	current func() *catalog.Snapshot
}

// topicKinds are the kinds of topics by their names in the API.
func topicKinds() map[kafka.Kind]string {
	return map[kafka.Kind]string{
		kafka.Events: "events", kafka.Delays: "delay", kafka.DeadLetters: "dlq", kafka.Attempts: "attempts",
		kafka.Catalog: "catalog", kafka.Audit: "audit",
	}
}

// list gives the planned topics and the foreign ones as they are.
func (l topicLook) list(ctx context.Context) ([]admin.Topic, error) {
	adm := kadm.NewClient(l.client)
	var list []admin.Topic
	var names []string
	for _, t := range topicPlan(l.plan, 1) {
		list = append(list, admin.Topic{Name: t.Name, Kind: topicKinds()[t.Kind]})
	}
	add := func(name, kind string) { // unless it is there as something else, which it is first
		if !slices.ContainsFunc(list, func(t admin.Topic) bool { return t.Name == name }) {
			list = append(list, admin.Topic{Name: name, Kind: kind})
		}
	}
	snapshot := l.current()
	for _, f := range snapshot.Foreign {
		add(f.Topic, "foreign")
	}
	for _, o := range snapshot.Orphans {
		add(o.Topic, "orphan")
	}
	for _, t := range list {
		names = append(names, t.Name)
	}
	there, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	list = slices.DeleteFunc(list, func(t admin.Topic) bool { return t.Kind == "orphan" && !there.Has(t.Name) })
	var starts, ends kadm.ListedOffsets
	if err := retried(ctx, func() (err error) {
		starts, err = adm.ListStartOffsets(ctx, names...)
		return retriable(starts, err)
	}); err != nil {
		return nil, fmt.Errorf("ask where topics begin: %w", err)
	}
	if err := retried(ctx, func() (err error) {
		ends, err = adm.ListEndOffsets(ctx, names...)
		return retriable(ends, err)
	}); err != nil {
		return nil, fmt.Errorf("ask where topics end: %w", err)
	}
	settled, err := l.settled(ctx, adm)
	if err != nil {
		return nil, err
	}
	for i := range list {
		t := &list[i]
		d, ok := there[t.Name]
		if t.Missing = !ok || d.Err != nil; t.Missing {
			continue
		}
		t.Partitions, t.Copies = len(d.Partitions), d.Partitions.NumReplicas()
		var lag int64
		for id, end := range ends[t.Name] {
			first := starts[t.Name][id].Offset
			t.Records += end.Offset - first
			from := first // of what nobody has begun with
			if at, ok := settled.Lookup(t.Name, id); ok && at.At >= 0 {
				from = max(from, at.At)
			}
			lag += max(0, end.Offset-from)
		}
		if t.Kind == "events" || t.Kind == "orphan" || t.Kind == "foreign" || t.Kind == "delay" {
			t.Lag = new(lag)
		}
	}
	return list, nil
}

// committed is what egress has committed of topics by partition, -1 for nothing.
func (l topicLook) committed(ctx context.Context, topics []string) (map[string][]int64, error) {
	settled, err := l.settled(ctx, kadm.NewClient(l.client))
	if err != nil {
		return nil, err
	}
	committed := map[string][]int64{}
	for _, topic := range topics {
		for id, at := range settled[topic] {
			for int(id) >= len(committed[topic]) {
				committed[topic] = append(committed[topic], -1)
			}
			committed[topic][id] = at.At
		}
	}
	return committed, nil
}

// drained says of which topics egress has settled everything by a version of the catalog
// that is not below the one given, or that are not there.
func (l topicLook) drained(ctx context.Context, topics map[string]int64) (map[string]bool, error) {
	ends := map[string][]int64{} // asked before the commits, which go on
	var errs []error
	for topic := range topics { // each by itself: one that may not be looked at any more keeps none of the others
		listed, err := l.ends(ctx, []string{topic})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ends[topic] = listed[topic]
	}
	settled, err := l.settled(ctx, kadm.NewClient(l.client))
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	drained := map[string]bool{}
	for topic := range ends {
		drained[topic] = true
		for id, end := range ends[topic] {
			at, ok := settled.Lookup(topic, int32(id))
			meta, err := cursor.Parse(at.Metadata)
			drained[topic] = drained[topic] && (end == 0 || ok && at.At >= end && err == nil && meta.Catalog >= topics[topic])
		}
	}
	return drained, errors.Join(errs...)
}

// settled are the commits of both groups of egress, which read different topics.
func (l topicLook) settled(ctx context.Context, adm *kadm.Client) (kadm.OffsetResponses, error) {
	settled := kadm.OffsetResponses{}
	for _, name := range []string{"egress", "delay"} {
		var commits kadm.OffsetResponses
		if err := retried(ctx, func() (err error) {
			commits, err = adm.FetchOffsets(ctx, l.plan.config.Prefix+name)
			return err
		}); err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // some brokers say so of a group that has not begun
			return nil, fmt.Errorf("look up the commits of group %s%s: %w", l.plan.config.Prefix, name, err)
		}
		commits.Each(func(o kadm.OffsetResponse) { settled.Add(o) })
	}
	return settled, nil
}
