package egress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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
	said := ""
	step := m.dog.add("the commits of group "+m.group, watchLimit)
	defer m.dog.remove(step)
	for {
		step.rest()
		select {
		case <-ctx.Done():
			return
		case <-m.dirty:
		}
		wait := m.pace
		step.begin()
		if err := m.commitWithin(ctx, m.all()); err != nil && ctx.Err() == nil {
			// It may take as long as a topic is deleted: said once, and not tried all
			// the time.
			if text := err.Error(); said != text {
				said = text
				m.log.Warn("commit: trying again", zap.String("group", m.group), zap.Error(err))
			}
			m.met.commitErrors.Inc()
			m.touch()
			wait = max(wait, commitAgain)
		} else {
			said = ""
		}
		waited(ctx, wait)
	}
}

// commitAgain is how long after a commit that failed the next one is tried.
const commitAgain = time.Second

// commitWait is how long one commit may take. A revoke and a stop wait for it.
const commitWait = 10 * time.Second

func (m *member) commitWithin(ctx context.Context, partitions []*partition) error {
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	return m.commit(ctx, partitions)
}

// commitLast commits partitions that go. Between a rebalance's two halves the group
// takes no commits, and for a moment it is a generation ahead of its members, who have
// not read its answer yet; who gave up then would leave all that it delivered since the
// last one to come again. What is committed under the next generation is what is still
// ours in it, see commit.
func (m *member) commitLast(ctx context.Context, partitions []*partition) error {
	ctx, cancel := context.WithTimeout(ctx, commitWait)
	defer cancel()
	for {
		err := m.commit(ctx, partitions)
		if !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.IllegalGeneration) {
			return err
		}
		if !waited(ctx, commitPause) {
			return err
		}
	}
}

// commitPause is how long after a commit in the middle of a rebalance the next is tried.
const commitPause = 50 * time.Millisecond

// commit saves the marks of those partitions that moved, in one request of our
// own. kgo's commits load the generation when they are sent: a process that was
// frozen in between would commit with its next generation, for partitions that
// somebody else owns by then. Here member and generation are captured in the same
// locked section that finds the partitions alive and owned by that very member: so
// what is captured is never newer than the ownership.
func (m *member) commit(ctx context.Context, partitions []*partition) error {
	select {
	case m.committing <- struct{}{}:
		defer func() { <-m.committing }()
	case <-ctx.Done():
		return fmt.Errorf("commit of group %s: an earlier one is still under way: %w", m.group, ctx.Err())
	}
	if err := m.adopt(ctx); err != nil {
		return err
	}
	req, marks := m.commitRequest(partitions)
	if len(marks) == 0 {
		return nil
	}
	if err := m.describe(ctx, topicsOf(marks)); err != nil {
		m.log.Warn("a topic has no id yet, its commits may be refused", zap.Error(err))
	}
	m.nameTopics(req)
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
			err := kerr.ErrorForCode(rp.ErrorCode)
			if m.denied.Note("READ", name, err) {
				m.touch() // again with the next
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("commit %s/%d of group %s: %w", name, rp.Partition, m.group, err))
				continue
			}
			if c, ok := marks[topicPartition{name, rp.Partition}]; ok {
				c.partition.committed(c)
			}
		}
	}
	return errors.Join(errs...)
}

// adopt takes over the partitions that kgo kept although it joined anew. A member
// that was thrown out of its group while a rebalance was under way hears nothing of
// having lost anything: its join is answered with UNKNOWN_MEMBER_ID, and kgo joins
// as a new member that still reads the same partitions. Somebody else may have
// owned them meanwhile and be further than we are.
func (m *member) adopt(ctx context.Context) error {
	m.mu.Lock()
	id, _ := m.client.GroupMetadata()
	var kept []*partition
	for _, p := range m.partitions {
		// Before the new member has been told what it owns, what is here may be
		// somebody else's.
		if p.as != id && m.as == id {
			kept = append(kept, p)
		}
	}
	m.mu.Unlock()
	if len(kept) == 0 {
		return nil
	}
	offsets, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.group)
	if err != nil {
		return fmt.Errorf("look up what was committed for %d partitions of group %s while this process was out of it: %w", len(kept), m.group, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.as != id {
		return nil
	}
	for _, p := range kept {
		o, committed := offsets.Lookup(p.topic, p.id)
		if committed && o.Err != nil {
			continue // asked again with the next commit
		}
		if committed {
			if meta, err := cursor.Parse(o.Metadata); err == nil && !m.another(p.topic, meta) {
				p.inherit(watermark.Mark{Offset: o.At, Epoch: o.LeaderEpoch, Record: meta.Record}, ofEvents(p, meta))
			}
		}
		p.as = id
	}
	return nil
}

// markedPartition is what is committed of a partition: its mark, and what has to agree
// with it.
type markedPartition struct {
	watermark.Mark
	partition *partition
	catalog   int64
	anew      cursor.Anew
	since     time.Time
	rewinds   int
}

// ofEvents is the metadata without what only a partition of events goes by. Deliveries
// in delay topics name the version of the catalog that they need.
func ofEvents(p *partition, meta cursor.Metadata) cursor.Metadata {
	if p.tier.Wait > 0 {
		meta.Catalog, meta.Anew = 0, cursor.Anew{}
	}
	return meta
}

func (m *member) commitRequest(partitions []*partition) (*kmsg.OffsetCommitRequest, map[topicPartition]markedPartition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = m.group
	req.MemberID, req.Generation = m.client.GroupMetadata()
	if m.instance != "" {
		req.InstanceID = &m.instance
	}
	marks := map[topicPartition]markedPartition{}
	topics := map[string]*kmsg.OffsetCommitRequestTopic{}
	for _, p := range partitions {
		mark, ok := p.mark()
		if !ok || p.as != req.MemberID {
			continue
		}
		marks[topicPartition{p.topic, p.id}] = mark
		t := topics[p.topic]
		if t == nil {
			fresh := kmsg.NewOffsetCommitRequestTopic()
			t, topics[p.topic] = &fresh, &fresh
			t.Topic = p.topic
		}
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch = p.id, mark.Offset, mark.Epoch
		catalog := mark.catalog
		if p.tier.Wait > 0 {
			catalog = m.version() // says what was known when the group came so far, see known
		}
		meta := cursor.Metadata{
			Cluster: m.cluster, Catalog: catalog, Record: mark.Record, Topic: m.topicIDs[p.topic], Since: mark.since, Anew: mark.anew,
		}.String()
		rp.Metadata = &meta
		t.Partitions = append(t.Partitions, rp)
	}
	for _, t := range topics {
		req.Topics = append(req.Topics, *t)
	}
	return req, marks
}
