package egress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"causeway/egress/watermark"
	"causeway/pkg/cursor"
)

// touch says that there is something to commit.
func (m *member) touch() {
	select {
	case m.dirty <- struct{}{}:
	default:
	}
}

// commits commits what has moved, as often as the pace allows, until ctx ends. A
// commit that fails is made again with what has moved since.
func (m *member) commits(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.dirty:
		}
		if err := m.commit(ctx, m.all()); err != nil && ctx.Err() == nil {
			m.met.commitErrors.Inc()
			m.log.Warn("commit: trying again", zap.String("group", m.group), zap.Error(err))
			m.touch()
		}
		pace := time.NewTimer(m.pace)
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
		pace.Stop()
	}
}

// commit saves the marks of those partitions that moved, in one request of our
// own. kgo's commits load the generation when they are sent: a process that was
// frozen in between would commit with its next generation, for partitions that
// somebody else owns by then. Here member and generation are captured in the same
// locked section that finds the partitions alive, and kgo calls lost, which kills
// them under that lock, before it joins again: so what is captured is never newer
// than the ownership.
func (m *member) commit(ctx context.Context, partitions []*partition) error {
	m.committing.Lock()
	defer m.committing.Unlock()
	req, marks := m.commitRequest(partitions)
	if len(marks) == 0 {
		return nil
	}
	start := time.Now()
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return fmt.Errorf("commit %d partitions of group %s: %w", len(marks), m.group, err)
	}
	m.met.commitSeconds.Observe(time.Since(start).Seconds())
	var errs []error
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = m.topicOf(t.TopicID)
		}
		for _, rp := range t.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				errs = append(errs, fmt.Errorf("commit %s/%d of group %s: %w", name, rp.Partition, m.group, err))
				continue
			}
			if c, ok := marks[topicPartition{name, rp.Partition}]; ok {
				c.partition.committed(c.mark)
			}
		}
	}
	return errors.Join(errs...)
}

type markedPartition struct {
	partition *partition
	mark      watermark.Mark
}

func (m *member) commitRequest(partitions []*partition) (*kmsg.OffsetCommitRequest, map[topicPartition]markedPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = m.group
	req.MemberID, req.Generation = m.client.GroupMetadata()
	marks := map[topicPartition]markedPartition{}
	topics := map[string]*kmsg.OffsetCommitRequestTopic{}
	for _, p := range partitions {
		mark, ok := p.mark()
		if !ok {
			continue
		}
		marks[topicPartition{p.topic, p.id}] = markedPartition{p, mark}
		t := topics[p.topic]
		if t == nil {
			fresh := kmsg.NewOffsetCommitRequestTopic()
			t, topics[p.topic] = &fresh, &fresh
			t.Topic, t.TopicID = p.topic, m.topicIDs[p.topic]
		}
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch = p.id, mark.Offset, mark.Epoch
		meta := cursor.Metadata{Cluster: m.cluster, Record: mark.Record}.String()
		rp.Metadata = &meta
		t.Partitions = append(t.Partitions, rp)
	}
	for _, t := range topics {
		req.Topics = append(req.Topics, *t)
	}
	return req, marks
}

func (m *member) topicOf(id [16]byte) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, known := range m.topicIDs {
		if known == id {
			return name
		}
	}
	return ""
}
