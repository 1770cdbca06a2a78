package egress

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// Kafka's names for the ends of a log where a time is asked for.
const (
	logEnd   = -1
	logStart = -2
)

// listWait is how long offsets are looked up. A partition that is away may not hold
// the others up for longer.
const listWait = 10 * time.Second

// checkBounds compares commits with what the logs hold, and returns the partitions
// that have to begin at their oldest record.
//
// A commit below the start of the log means that records were deleted before they
// were delivered: a lost range, said loudly, and reading goes on at the start. One
// beyond the end means that the broker lost records that were delivered, and gives
// their offsets to new ones: reading at the commit would pass those over.
func (m *member) checkBounds(ctx context.Context, commits map[topicPartition]int64) map[topicPartition]bool {
	at := func(end int64) map[topicPartition]int64 {
		asked := make(map[topicPartition]int64, len(commits))
		for key := range commits {
			asked[key] = end
		}
		return m.listOffsets(ctx, asked)
	}
	var starts, ends map[topicPartition]int64
	var looking sync.WaitGroup
	looking.Go(func() { starts = at(logStart) })
	looking.Go(func() { ends = at(logEnd) })
	looking.Wait()
	again := map[topicPartition]bool{}
	for key, commit := range commits {
		p := m.partition(key)
		if p == nil {
			continue
		}
		log := m.log.With(zap.String("group", m.group), zap.String("topic", key.topic), zap.Int32("partition", key.id), zap.Int64("commit", commit))
		if end, ok := ends[key]; ok && commit > end {
			log.Error("commit beyond the end of the log: the broker lost records; going on at the oldest one, so what is left is delivered again", zap.Int64("end", end))
			m.met.rewinds.Inc()
			m.losses.add("%s/%d was committed up to %d and ends at %d: read again from its oldest record", key.topic, key.id, commit, end)
			p.madeAnew(m.version(), end)
			p.rewind(0)
			p.found(starts[key])
			again[key] = true
			continue
		}
		if start, ok := starts[key]; ok && commit < start {
			m.missed(p, commit, start)
			p.adopt(start)
			p.found(start)
		}
	}
	return again
}

// dataLoss takes a partition back to where the client reads on after its broker lost
// the end of the log: what stands there now is new.
func (m *member) dataLoss(lost *kgo.ErrDataLoss) {
	if p := m.partition(topicPartition{lost.Topic, lost.Partition}); p != nil && p.rewind(lost.ResetTo) {
		p.madeAnew(m.version(), lost.ResetTo)
		m.met.rewinds.Inc()
	}
}

// listOffsets asks for one offset of each partition: the first whose record is not
// older than the time in Unix milliseconds, -1 when there is none, or an end of the
// log. Partitions whose leader does not answer are missing in the result.
func (m *member) listOffsets(ctx context.Context, times map[topicPartition]int64) map[topicPartition]int64 {
	if len(times) == 0 {
		return nil
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	topics := map[string][]kmsg.ListOffsetsRequestTopicPartition{}
	for key, at := range times {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = key.id, at
		topics[key.topic] = append(topics[key.topic], rp)
	}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic, rt.Partitions = topic, topics[topic]
		req.Topics = append(req.Topics, rt)
	}
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	found := map[topicPartition]int64{}
	for _, shard := range m.client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			m.log.Warn("look up offsets, going on without", zap.String("group", m.group), zap.Error(shard.Err))
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					m.log.Warn("look up offset, going on without", zap.String("topic", t.Topic), zap.Int32("partition", p.Partition), zap.Error(err))
					continue
				}
				found[topicPartition{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	return found
}
