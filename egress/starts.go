package egress

import (
	"context"
	"slices"
	"sync"

	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/cursor"
)

// topicView is what one version of the catalog says of one topic.
type topicView struct {
	once       sync.Once
	subscribed []*catalog.Subscription
	declared   catalog.Start // by its source; for subscriptions without a start of their own
	additions  []addition    // newest first
}

// addition is a subscription to the topic, and the version of the catalog that added
// the topic to it.
type addition struct {
	version      int64
	subscription *catalog.Subscription
}

func (v *topicView) fill(x *indexed, topic string) {
	v.subscribed = x.index.Subscribed(topic)
	v.declared = declaration(x.snapshot, topic)
	for _, sub := range v.subscribed {
		if added := v.start(sub, topic).Added; added > 0 {
			v.additions = append(v.additions, addition{added, sub})
		}
	}
	slices.SortStableFunc(v.additions, func(a, b addition) int { return int(b.version - a.version) })
}

// declaration is what the sources of a topic say of its beginning. Of several the first
// one declared it, and one that says nothing was there before all that do: what waits in
// the topic must not be passed over because another source joins it. When all are gone,
// what they said stays.
func declaration(s *catalog.Snapshot, topic string) (first catalog.Start) {
	there := false
	for _, src := range s.Sources {
		if src.Topic != topic {
			continue
		}
		there = true
		start, ok := src.Starts[topic]
		if !ok {
			return catalog.Start{}
		}
		if first.Added == 0 || start.Added < first.Added {
			first = start
		}
	}
	for _, o := range s.Orphans {
		if o.Topic == topic && !there {
			return o.Starts[topic]
		}
	}
	return first
}

// start is where the subscription begins in the topic. One by prefix* has no start of
// its own in a topic that was declared later than itself: the declaration has it. So it
// does where the topic was declared anew, after all that it had was delivered or the topic
// itself had gone: offsets of before say nothing then. The zero value, as everybody from
// a process file has it, lets everything through.
func (v *topicView) start(sub *catalog.Subscription, topic string) catalog.Start {
	if start, ok := sub.Starts[topic]; ok && start.Added >= v.declared.Added {
		return start
	}
	return v.declared
}

// firstOffset is the first offset of a partition that the start lets through. Nothing is
// known of partitions that came later: they begin at 0. In a log that was made anew,
// offsets of the one before say nothing.
func firstOffset(start catalog.Start, id int32, anew cursor.Anew) int64 {
	if int(id) >= len(start.Offsets) {
		return 0
	}
	offset := start.Offsets[id]
	if anew.Catalog > 0 && start.Added <= anew.Catalog {
		offset = min(offset, anew.Offset)
	}
	return offset
}

// checkStarts looks, before the first record of a partition and when subscriptions come to
// it, whether its log is the one that the starts were noted for: one that ends below a
// start is not. A topic may be made again between the look at its end and the taking up
// of the entry that says it, also after this process has seen it made again. False: the
// partition has ended.
func (e *Egress) checkStarts(ctx context.Context, p *partition, x *indexed) bool {
	took, floor, next, anew := p.position()
	view, last := x.topic(p.topic), int64(0)
	if p.sees != nil && (len(view.additions) == 0 || view.additions[0].version <= took) {
		return true
	}
	for _, a := range view.additions {
		last = max(last, firstOffset(view.start(a.subscription, p.topic), p.id, anew))
	}
	if last <= max(floor, next) {
		return true
	}
	key := topicPartition{p.topic, p.id}
	for ctx.Err() == nil {
		if end, ok := p.member.listOffsets(ctx, map[topicPartition]int64{key: logEnd})[key]; ok {
			if last > end {
				if p.fromZero() {
					end = 0 // whatever was read of it was read here, and is the other log's
				}
				e.log.Error("subscriptions begin beyond the end of the log: it is another one than they were made for, so they begin where it goes on",
					zap.String("topic", p.topic), zap.Int32("partition", p.id), zap.Int64("start", last), zap.Int64("at", end))
				p.madeAnew(x.snapshot.Version, end)
			}
			return true
		}
		waited(ctx, lookEvery)
	}
	return false
}

// wanting are those of the subscriptions whose start the record of the partition does
// not lie below.
func (p *partition) wanting(subs []*catalog.Subscription, offset int64) []*catalog.Subscription {
	view := p.sees.topic(p.topic)
	if len(view.additions) == 0 || len(subs) == 0 {
		return subs
	}
	anew := p.bound()
	early := func(sub *catalog.Subscription) bool {
		return offset < firstOffset(view.start(sub, p.topic), p.id, anew)
	}
	if !slices.ContainsFunc(subs, early) {
		return subs
	}
	return slices.DeleteFunc(slices.Clone(subs), early)
}
