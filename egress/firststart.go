package egress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"causeway/pkg/cursor"
)

// A topic that begins at its end begins there once. Where that was is committed
// before anything of it is read: otherwise a process that ends before its first
// commit would begin at a later end, and what came in between would never be
// delivered (Knative eventing-kafka-broker #549).
//
// When the topic was first read rides in each of its commits. A partition without
// a commit, because its owner died before it made one or because it was added to
// the topic later, begins with what was written since then, not at its end.

// startSkew is how much a producer's clock may be behind: records are found by
// their time where the end is not known.
const startSkew = time.Minute

// first is where a partition begins.
type first struct {
	offset int64
	since  time.Time // when its topic was first read
}

// startAtEnd finds and commits the first offsets of partitions that have none. What
// cannot be settled now is tried again in the background, with the partition paused.
func (m *member) startAtEnd(ctx, run context.Context, fresh []*partition, offsets map[string]map[int32]kgo.Offset) (started []*partition) {
	if len(fresh) == 0 {
		return nil
	}
	at, err := m.commitFirst(ctx, fresh)
	paused := map[string][]int32{}
	for _, p := range fresh {
		if f, ok := at[p]; ok {
			m.startFrom(p, f)
			offsets[p.topic][p.id] = kgo.NewOffset().At(f.offset)
			started = append(started, p)
			continue
		}
		// Whatever is below the offset found in the end is passed over then.
		offsets[p.topic][p.id] = kgo.NewOffset().AtStart()
		paused[p.topic] = append(paused[p.topic], p.id)
		m.log.Error("a partition that begins at its end has no start yet: trying on", zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Error(err))
		m.runs.Go(func() { m.startLater(run, p) })
	}
	m.client.PauseFetchPartitions(paused)
	return started
}

// startLater goes on trying to find a partition's start until it is no longer ours.
func (m *member) startLater(run context.Context, p *partition) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for p.owned() && !p.isDraining() {
		select {
		case <-run.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(run, commitWait)
		at, err := m.commitFirst(ctx, []*partition{p})
		cancel()
		if f, ok := at[p]; ok && err == nil {
			m.startFrom(p, f)
			m.begin(run, p)
			m.flow(p)
			return
		}
	}
}

func (m *member) startFrom(p *partition, f first) {
	p.adopt(f.offset)
	p.mu.Lock()
	p.since = f.since
	p.mu.Unlock()
	m.log.Info("reading a topic from its end", zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int64("offset", f.offset))
}

// commitFirst gives the partitions whose first offset is known and committed.
func (m *member) commitFirst(ctx context.Context, fresh []*partition) (map[*partition]first, error) {
	since, err := m.firstRead(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ends, times := map[topicPartition]int64{}, map[topicPartition]int64{}
	for _, p := range fresh {
		key := topicPartition{p.topic, p.id}
		ends[key] = logEnd
		if began, ok := since[p.topic]; ok {
			times[key] = began.Add(-startSkew).UnixMilli()
		}
	}
	found := m.listOffsets(ctx, ends)
	for key, offset := range m.listOffsets(ctx, times) {
		if end, ok := found[key]; ok && offset >= 0 {
			found[key] = min(offset, end)
		}
	}
	at := map[*partition]first{}
	for _, p := range fresh {
		key := topicPartition{p.topic, p.id}
		offset, ok := found[key]
		if _, timed := times[key]; !ok {
			err = errors.Join(err, fmt.Errorf("the end of %s/%d is not known", p.topic, p.id))
		} else if began, known := since[p.topic]; known && timed {
			at[p] = first{offset, began}
		} else {
			at[p] = first{offset, now}
		}
	}
	return m.saveFirst(ctx, at, err)
}

// firstRead says since when each topic is read that began at its end.
func (m *member) firstRead(ctx context.Context) (map[string]time.Time, error) {
	commits, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.group)
	if err != nil {
		return nil, fmt.Errorf("look up the commits of group %s: %w", m.group, err)
	}
	since := map[string]time.Time{}
	commits.Each(func(o kadm.OffsetResponse) {
		meta, err := cursor.Parse(o.Metadata)
		if err != nil || o.Err != nil || meta.Since.IsZero() || meta.Cluster != m.cluster {
			return
		}
		if known, ok := since[o.Topic]; !ok || meta.Since.Before(known) {
			since[o.Topic] = meta.Since
		}
	})
	return since, nil
}

// saveFirst commits first offsets, and leaves out those that were refused.
func (m *member) saveFirst(ctx context.Context, at map[*partition]first, failed error) (map[*partition]first, error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = m.group
	byKey := map[topicPartition]*partition{}
	// Captured together with the ownership, as for every commit.
	m.mu.Lock()
	ids := maps.Clone(m.topicIDs)
	req.MemberID, req.Generation = m.client.GroupMetadata()
	for p := range at {
		if m.partitions[topicPartition{p.topic, p.id}] != p || p.as != req.MemberID {
			delete(at, p) // somebody else's by now, who finds its start
		}
	}
	m.mu.Unlock()
	for p, f := range at {
		byKey[topicPartition{p.topic, p.id}] = p
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = p.topic
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = p.id, f.offset
		rp.Metadata = new(cursor.Metadata{Cluster: m.cluster, Topic: ids[p.topic], Since: f.since}.String())
		t.Partitions = append(t.Partitions, rp)
		req.Topics = append(req.Topics, t)
	}
	if len(at) == 0 {
		return nil, failed
	}
	m.nameTopics(req)
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return nil, errors.Join(failed, fmt.Errorf("commit where %d partitions of group %s begin: %w", len(at), m.group, err))
	}
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = m.topicOf(t.TopicID)
		}
		for _, rp := range t.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				delete(at, byKey[topicPartition{name, rp.Partition}])
				failed = errors.Join(failed, fmt.Errorf("commit where %s/%d begins: %w", name, rp.Partition, err))
			}
		}
	}
	return at, failed
}
