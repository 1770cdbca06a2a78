package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
)

// keep is how long records stay after which nobody needs them any more.
const keep = 24 * time.Hour

// trim is the janitor's round, in place of kfake's retention: it deletes what is
// old, but only what every group has committed and no floor needs, and never the
// last batch.
func (b *Broker) trim(ctx context.Context) {
	trims, err := b.planTrims(ctx)
	if err != nil {
		if ctx.Err() == nil {
			b.opts.Logger.Warn("the embedded broker could not find out what may be trimmed, and trims nothing", zap.Error(err))
		}
		return
	}
	for _, t := range trims {
		if err := b.cluster.DeleteRecords(t.topic, t.partition, t.to); err != nil {
			b.opts.Logger.Warn("the embedded broker could not trim a partition",
				zap.String("topic", t.topic), zap.Int32("partition", t.partition), zap.Error(err))
			continue
		}
		b.met.trimmed.Add(float64(t.to - t.from))
	}
}

// trimming is what may go from the front of a partition.
type trimming struct {
	topic     string
	partition int32
	from, to  int64
}

func (b *Broker) planTrims(ctx context.Context) ([]trimming, error) {
	// Floors are read before commits: a range that begins in between starts where
	// the commit still is.
	var floors map[string]map[int32]int64
	if b.opts.Floors != nil {
		var err error
		if floors, err = b.opts.Floors(ctx); err != nil {
			return nil, fmt.Errorf("ask which records are still needed: %w", err)
		}
	}
	commits, err := b.lowestCommits(ctx)
	if err != nil {
		return nil, err
	}
	topics, err := b.topics(ctx)
	if err != nil {
		return nil, err
	}
	var trims []trimming
	for _, t := range topics {
		age, unread := b.opts.Keep[t.name]
		if !unread {
			age = keep
		}
		young, err := kadm.NewClient(b.client).ListOffsetsAfterMilli(ctx, time.Now().Add(-age).UnixMilli(), t.name)
		if err != nil {
			return nil, fmt.Errorf("look for old records of topic %s: %w", t.name, err)
		}
		for _, p := range t.partitions {
			first, ok := young.Lookup(t.name, p.Partition)
			if !ok || first.Err != nil || first.Offset < 0 {
				continue
			}
			to := first.Offset
			commit, ok := commits[t.name][p.Partition]
			switch {
			case ok && !b.opts.off.CommitFloor:
				to = min(to, commit)
			case !ok && !unread && !b.opts.off.CommitFloor:
				continue // nobody has read anything: it waits
			}
			if floor, ok := floors[t.name][p.Partition]; ok {
				to = min(to, floor)
			}
			// An empty partition's offsets start again at 0 after a restart: only
			// batches remember where they were. The record before the end keeps its
			// whole batch.
			if !b.opts.off.LastBatch {
				to = min(to, p.HighWatermark-1)
			}
			if to > p.LogStartOffset {
				trims = append(trims, trimming{topic: t.name, partition: p.Partition, from: p.LogStartOffset, to: to})
			}
		}
	}
	return trims, nil
}

// lowestCommits is, by topic and partition, how far the slowest group has come.
func (b *Broker) lowestCommits(ctx context.Context) (map[string]map[int32]int64, error) {
	groups, err := b.groups(ctx)
	if err != nil {
		return nil, err
	}
	lowest := make(map[string]map[int32]int64)
	for _, g := range groups {
		for topic, partitions := range g.Commits {
			for partition, commit := range partitions {
				if lowest[topic] == nil {
					lowest[topic] = make(map[int32]int64)
				}
				if low, ok := lowest[topic][partition]; !ok || commit.Offset < low {
					lowest[topic][partition] = commit.Offset
				}
			}
		}
	}
	return lowest, nil
}
