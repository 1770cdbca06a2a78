package egress

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/pkg/cursor"
)

// deniedFor is how long the last refusal to read a topic counts: each fetch would
// be refused again.
const deniedFor = time.Minute

// watchLag keeps the gauges of what waits in Kafka up to date until ctx ends. They
// are those of the whole groups, whoever owns the partitions.
func (e *Egress) watchLag(ctx context.Context, client *kgo.Client) {
	e.showLag(e.snapshot().Readable())
	admin, said := kadm.NewClient(client), ""
	tick := time.NewTicker(e.o.LagEvery)
	defer tick.Stop()
	for {
		err := e.measureLag(ctx, admin)
		if err == nil {
			said = ""
		} else if text := err.Error(); ctx.Err() == nil && text != said {
			said = text
			e.log.Warn("look up consumer lag", zap.Error(err))
		}
		e.denied.Forget(deniedFor)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// showLag begins topics' gauges: they are there from the start, not from the first
// record.
func (e *Egress) showLag(topics []string) {
	for _, topic := range topics {
		e.met.lag.WithLabelValues(topic).Set(0)
		e.met.lagSeconds.WithLabelValues(topic).Set(0)
	}
}

// topicLag is what of one topic is not settled.
type topicLag struct {
	records int64
	age     time.Duration // since the last settled record of the partition that is furthest behind
}

func (e *Egress) measureLag(ctx context.Context, admin *kadm.Client) error {
	prefix := e.o.Kafka.Prefix
	lags, err := admin.Lag(ctx, prefix+"egress", prefix+"delay")
	if err != nil {
		return err
	}
	byTopic := map[string]topicLag{}
	lags.Each(func(l kadm.DescribedGroupLag) {
		for topic, partitions := range l.Lag {
			byTopic[topic] = sum(partitions)
		}
	})
	for _, tier := range delay.Tiers() {
		topic := tier.Topic(prefix)
		e.met.backlog.WithLabelValues(tier.Name).Set(float64(byTopic[topic].records))
		delete(byTopic, topic)
	}
	for topic, lag := range byTopic {
		e.met.lag.WithLabelValues(topic).Set(float64(lag.records))
		e.met.lagSeconds.WithLabelValues(topic).Set(lag.age.Seconds())
	}
	return e.measureDLQ(ctx, admin, prefix+"dlq")
}

// sum adds a topic's partitions up. Commits carry the time of the last settled
// record, so the age costs no reading.
func sum(partitions map[int32]kadm.GroupMemberLag) (total topicLag) {
	for _, p := range partitions {
		if p.Lag <= 0 {
			continue
		}
		total.records += p.Lag
		if meta, err := cursor.Parse(p.Commit.Metadata); err == nil && !meta.Record.IsZero() {
			total.age = max(total.age, time.Since(meta.Record))
		}
	}
	return total
}

func (e *Egress) measureDLQ(ctx context.Context, admin *kadm.Client, topic string) error {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	// The first record after the beginning of time, with its timestamp.
	oldest, err := admin.ListOffsetsAfterMilli(ctx, 0, topic)
	if err != nil {
		return err
	}
	var depth int64
	var age time.Duration
	ends.Each(func(end kadm.ListedOffset) {
		first, ok := oldest.Lookup(topic, end.Partition)
		if !ok || end.Err != nil || first.Err != nil || first.Offset >= end.Offset || first.Timestamp < 0 {
			return
		}
		depth += end.Offset - first.Offset
		age = max(age, time.Since(time.UnixMilli(first.Timestamp)))
	})
	e.met.dlqDepth.Set(float64(depth))
	e.met.dlqAge.Set(age.Seconds())
	return nil
}
