package egress

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"causeway/egress/watermark"
	"causeway/pkg/cursor"
)

// fetchedCommit is a partition's commit as the group holds it: offset and
// metadata of one answer.
type fetchedCommit struct {
	offset   int64 // -1: there is none
	epoch    int32
	metadata string
}

// offsetsFetched keeps the commits, metadata included, for adjust, which kgo
// calls next with the offsets alone.
func (m *member) offsetsFetched(ctx context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	var topics []string
	m.mu.Lock()
	for key := range m.partitions {
		topics = append(topics, key.topic)
	}
	m.mu.Unlock()
	slices.Sort(topics)
	if err := m.describe(ctx, slices.Compact(topics)); err != nil {
		return err
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			name := t.Topic
			if name == "" {
				name = m.topicOf(t.TopicID)
			}
			for _, p := range t.Partitions {
				m.keep(name, p.Partition, fetchedCommit{p.Offset, p.LeaderEpoch, text(p.Metadata)})
			}
		}
	}
	for _, t := range resp.Topics { // brokers before 3.0
		for _, p := range t.Partitions {
			m.keep(t.Topic, p.Partition, fetchedCommit{p.Offset, p.LeaderEpoch, text(p.Metadata)})
		}
	}
	return nil
}

func text(metadata *string) string {
	if metadata == nil {
		return ""
	}
	return *metadata
}

func (m *member) keep(topic string, id int32, c fetchedCommit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetched[topicPartition{topic, id}] = c
}

// adjust gives each newly assigned partition its start and lets it run. In a
// delay topic reading begins one window before the commit: those records only say
// which deliveries were carried on already.
func (m *member) adjust(ctx, run context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	commits := map[topicPartition]int64{}
	windows := map[topicPartition]int64{} // since when, in Unix milliseconds
	unknown := map[topicPartition]int64{} // partitions without a commit that counts
	var started, fresh, untaken []*partition
	m.mu.Lock()
	for topic, ids := range offsets {
		for id := range ids {
			key := topicPartition{topic, id}
			p, c := m.partitions[key], m.fetched[key]
			delete(m.fetched, key)
			if p == nil {
				continue
			}
			p.taken = true
			since, err := m.restore(p, &c)
			if p.refused = err; err != nil {
				continue
			}
			switch {
			case c.offset >= 0:
				commits[key] = c.offset
			case m.atEnd[topic]:
				fresh = append(fresh, p)
				continue
			default:
				unknown[key] = logStart
				offsets[topic][id] = kgo.NewOffset().AtStart()
			}
			if !since.IsZero() {
				windows[key] = since.UnixMilli()
			}
			started = append(started, p)
		}
	}
	for _, p := range m.partitions {
		if !p.taken {
			untaken = append(untaken, p)
		}
	}
	m.mu.Unlock()
	// Side by side: a broker that hangs may hold the others up for one look-up, not for
	// each.
	var looking sync.WaitGroup
	var again map[topicPartition]bool
	var begins map[topicPartition]int64
	looking.Go(func() { m.foundAll(ctx, unknown) })
	looking.Go(func() { again = m.checkBounds(ctx, commits) })
	looking.Go(func() { begins = m.listOffsets(ctx, windows) })
	looking.Wait()
	for key := range again {
		offsets[key.topic][key.id] = kgo.NewOffset().AtStart()
		delete(begins, key)
	}
	for key, begin := range begins {
		if c := commits[key]; begin >= 0 && begin < c {
			offsets[key.topic][key.id] = kgo.NewOffset().At(max(begin, c-twinMax))
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // half of it was not looked up; the next session asks again
	}
	m.refuse(offsets)
	started = append(started, m.startAtEnd(ctx, run, fresh, offsets)...)
	for _, p := range started {
		m.begin(run, p)
	}
	m.takeAgain(run, untaken)
	m.touch() // for those that have to be committed although nothing came yet
	return offsets, nil
}

// restore sets the start of a partition from its commit, and says since when its
// records have to be read again. A commit of another topic of this name is none.
func (m *member) restore(p *partition, c *fetchedCommit) (since time.Time, err error) {
	p.madeAnew(m.anew[p.topic], 0) // whoever deletes a topic deletes its commits, which would say so
	if c.offset < 0 {
		return time.Time{}, nil
	}
	meta, err := cursor.Parse(c.metadata)
	if err != nil {
		return time.Time{}, err
	}
	if meta.Cluster != m.cluster {
		return time.Time{}, fmt.Errorf("%w: it names cluster %q and this is %q", cursor.ErrForeign, meta.Cluster, m.cluster)
	}
	if m.another(p.topic, meta) {
		m.log.Error("the commit is of a topic of this name that was deleted: reading the one that is there from its beginning",
			zap.String("group", m.group), zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int64("commit", c.offset))
		m.met.rewinds.Inc()
		p.madeAnew(m.version(), 0)
		c.offset = -1
		return time.Time{}, nil
	}
	own := ofEvents(p, meta)
	p.inherit(watermark.Mark{Offset: c.offset, Epoch: c.epoch, Record: meta.Record}, own)
	p.tookUp(own.Catalog)
	p.since = meta.Since
	if p.tier.Wait > 0 && !meta.Record.IsZero() {
		since = meta.Record.Add(-twinAge - twinSkew)
	}
	return since, nil
}

func (m *member) partition(key topicPartition) *partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions[key]
}

// begin starts the partition's goroutine, unless the partition has gone meanwhile
// or nothing is to start any more: a rebalance may come in the middle of a stop.
func (m *member) begin(run context.Context, p *partition) {
	ctx, cancel := context.WithCancel(run)
	m.mu.Lock()
	defer m.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.halted || !p.alive || p.draining {
		cancel()
		return
	}
	p.stop = cancel
	m.runs.Go(func() {
		defer cancel()
		m.run(ctx, p)
	})
}

// refuse keeps partitions unread whose commit is not ours to go on from: serving
// them could skip or repeat any number of events.
func (m *member) refuse(offsets map[string]map[int32]kgo.Offset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	refused := map[string][]int32{}
	for topic, ids := range offsets {
		for id := range ids {
			p := m.partitions[topicPartition{topic, id}]
			if p == nil || p.refused == nil {
				continue
			}
			refused[topic] = append(refused[topic], id)
			m.tellRefused(p, p.refused)
		}
	}
	m.client.PauseFetchPartitions(refused)
}

func (m *member) tellRefused(p *partition, why error) {
	m.log.Error("partition refused: nothing of it is delivered until its commit is mended",
		zap.String("group", m.group), zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Error(why))
	m.served.Fail(fmt.Sprintf("group %s does not serve %s/%d: %v", m.group, p.topic, p.id, why))
}

// refuseOne keeps a partition unread that was taken up before it was known why not to.
func (m *member) refuseOne(p *partition, why error) {
	p.mu.Lock()
	p.refused = why
	p.mu.Unlock()
	m.tellRefused(p, why)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.partitions[topicPartition{p.topic, p.id}] == p {
		m.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.id}})
	}
}
