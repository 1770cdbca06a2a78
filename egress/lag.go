package egress

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/delay"
)

// watchLag keeps the gauges of what waits in Kafka up to date until ctx ends. They
// are those of the whole groups, whoever owns the partitions.
func (e *Egress) watchLag(ctx context.Context, client *kgo.Client) {
	admin := kadm.NewClient(client)
	tick := time.NewTicker(e.o.LagEvery)
	defer tick.Stop()
	for {
		if err := e.measureLag(ctx, admin); err != nil && ctx.Err() == nil {
			e.log.Warn("look up consumer lag", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Egress) measureLag(ctx context.Context, admin *kadm.Client) error {
	prefix := e.o.Kafka.Prefix
	lags, err := admin.Lag(ctx, prefix+"egress", prefix+"delay")
	if err != nil {
		return err
	}
	byTopic := map[string]int64{}
	lags.Each(func(l kadm.DescribedGroupLag) {
		for topic, partitions := range l.Lag {
			for _, p := range partitions {
				byTopic[topic] += max(0, p.Lag)
			}
		}
	})
	for _, tier := range delay.Tiers() {
		topic := tier.Topic(prefix)
		e.met.backlog.WithLabelValues(tier.Name).Set(float64(byTopic[topic]))
		delete(byTopic, topic)
	}
	for topic, lag := range byTopic {
		e.met.lag.WithLabelValues(topic).Set(float64(lag))
	}
	return e.measureDLQ(ctx, admin, prefix+"dlq")
}

func (e *Egress) measureDLQ(ctx context.Context, admin *kadm.Client, topic string) error {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	var depth int64
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, end.Partition); ok && end.Err == nil && start.Err == nil {
			depth += end.Offset - start.Offset
		}
	})
	e.met.dlqDepth.Set(float64(depth))
	return nil
}
