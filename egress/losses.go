package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/cursor"
	"causeway/pkg/health"
)

// losses shows that offsets were not where they had to be. What happened stays
// shown for as long as the process lives: nothing that it could see would mend it.
type losses struct {
	handle *health.Handle

	mu    sync.Mutex
	count int
}

func (l *losses) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if l.count++; l.count > 1 {
		text = fmt.Sprintf("%s (and %d more since this process started: see its log)", text, l.count-1)
	}
	l.handle.Fail(text)
}

// missed says that the records from one offset to another were deleted before they
// were delivered.
func (m *member) missed(p *partition, from, to int64) {
	m.met.lostRecords.Add(float64(to - from))
	m.losses.add("%s/%d: %d records were deleted before they were delivered", p.topic, p.id, to-from)
	m.log.Error("records were deleted before they were delivered: look at the topic's retention and at who deletes records; going on behind them",
		zap.String("group", m.group), zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int64("from", from), zap.Int64("to", to), zap.Int64("lost", to-from))
}

// countMissed finds a log that begins behind what was to be fetched next: its
// retention was faster than we.
func (m *member) countMissed(f kgo.FetchTopicPartition) {
	var p *partition
	if len(f.Records) > 0 {
		p, _ = ownerOf(f.Records[0])
	}
	if p == nil {
		return
	}
	if n := p.missed(f.LogStartOffset, f.Records); n > 0 {
		m.missed(p, f.LogStartOffset-n, f.LogStartOffset)
	}
}

// known is what both groups had committed before this process joined either of
// them. A partition that has no commit although it must have had one is told by it.
type known struct {
	highest map[string]int32 // of the partitions of a topic with a commit, in this group
	other   bool             // by the other group's commits there was one here
	catalog int64            // version of the catalog that the other group had come to
}

// known asks what the group of events and that of delay topics had committed. Without
// an answer nothing but the alarm about a lost commit is missing.
func (e *Egress) known(ctx context.Context) [2]known {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	admin := kadm.NewClient(e.settle.client)
	var both [2]known
	settled := false // events
	for i, name := range []string{"egress", "delay"} {
		both[i].highest = map[string]int32{}
		commits, err := admin.FetchOffsets(ctx, e.o.Kafka.Prefix+name)
		if errors.Is(err, kerr.GroupIDNotFound) {
			continue // a first start
		}
		if err != nil {
			e.log.Warn("look up what a group has committed, going on without", zap.String("group", e.o.Kafka.Prefix+name), zap.Error(err))
			return [2]known{}
		}
		commits.Each(func(o kadm.OffsetResponse) {
			if o.Err != nil {
				return
			}
			both[i].highest[o.Topic] = max(both[i].highest[o.Topic], o.Partition)
			meta, err := cursor.Parse(o.Metadata)
			both[1-i].catalog = max(both[1-i].catalog, meta.Catalog)
			settled = settled || i == 0 && err == nil && !meta.Record.IsZero()
		})
	}
	// A process that ended in its first seconds may have read event topics and no
	// delay topic yet: only what it settled shows that it came further.
	both[0].other, both[1].other = len(both[1].highest) > 0, settled
	return both
}

// had says whether a partition without a commit had one. Each partition gets a commit
// when it is read for the first time, and partitions are added at the end: so
// one below another that has a commit had one too. A group without any had some if
// the other has: a process is in both. That says nothing of a topic that was declared
// since, in a later version of the catalog.
func (k known) had(key topicPartition, declared int64) bool {
	if highest, ok := k.highest[key.topic]; ok {
		return key.id < highest
	}
	return len(k.highest) == 0 && k.other && declared <= k.catalog
}

// Leaders of topics that were just made may not know of it for a moment.
const (
	foundTries = 10
	foundPause = 200 * time.Millisecond
)

// foundAll begins partitions that have no commit. One whose leader does not answer is
// begun as well, only its commit has to wait until something is settled.
// All tries together take no longer than one look-up may: the partitions of the same
// assignment wait for them.
func (m *member) foundAll(ctx context.Context, starts map[topicPartition]int64) {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	for range foundTries {
		for key, start := range m.listOffsets(ctx, starts) {
			m.found(key, start)
			delete(starts, key)
		}
		if len(starts) == 0 || ctx.Err() != nil {
			return
		}
		waited(ctx, foundPause)
	}
}

// found begins a partition that has no commit at its oldest record.
func (m *member) found(key topicPartition, start int64) {
	p := m.partition(key)
	if p == nil {
		return
	}
	p.found(start)
	if !m.known.had(key, m.declared(key.topic)) {
		return
	}
	m.met.commitsLost.Inc()
	m.losses.add("the commit of %s/%d was lost: read again from its oldest record", key.topic, key.id)
	m.log.Error("the commit of a partition was lost, by hand or because it expired: reading from the oldest record, so what is there is delivered again",
		zap.String("group", m.group), zap.String("topic", key.topic), zap.Int32("partition", key.id), zap.Int64("start", start))
}

// found begins a partition that the group has no commit of. Its start is committed
// like a mark, even if nothing ever comes: a partition without a commit is then a
// new one, or one whose commit was lost.
func (p *partition) found(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.founding = max(at, 0)
	p.floor = p.founding
}

// forsake keeps offsets of a topic that was deleted from being committed.
func (p *partition) forsake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

// missed is how many records were deleted before they could be fetched, where the
// log is known to begin now.
func (p *partition) missed(logStart int64, records []*kgo.Record) (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.expected >= 0 && logStart > p.expected {
		n = logStart - p.expected
		p.expected = logStart
	}
	if len(records) > 0 {
		p.expected = max(p.expected, records[len(records)-1].Offset+1)
	}
	return n
}
