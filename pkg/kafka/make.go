package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// create makes the topics of the plan that are missing. One that cannot be made is found again
// by whoever compares.
func (w *Watch) create(ctx context.Context, plan []Topic, there map[string]kmsg.MetadataResponseTopic, why string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var missing []Topic
	for _, t := range plan {
		if errors.Is(visible(there[t.Name]), kerr.UnknownTopicOrPartition) {
			missing = append(missing, t)
		}
	}
	created, err := Ensure(ctx, w.o.Client, missing)
	if len(created) > 0 { // in one line: at a first start there are many
		var said []string
		for _, t := range missing {
			if slices.Contains(created, t.Name) {
				said = append(said, fmt.Sprintf("%s (%d partitions, replication factor %d)", t.Name, t.Partitions, t.Replication))
			}
		}
		w.log.Info(why, zap.Strings("topics", said))
	}
	if len(created) > 0 && !w.o.Check.Embedded && w.brokers < 3 {
		w.log.Warn("the cluster shows few brokers, and topics were made with as many copies: what is stored is lost with them",
			zap.Int("brokers", w.brokers), zap.Strings("topics", created))
	}
	return err
}

// widen raises the sizes of topics on the embedded broker, whose settings are
// nobody else's: a larger max_body in the file is all that its user knows of.
func (w *Watch) widen(ctx context.Context, findings []Finding) error {
	admin := kadm.NewClient(w.o.Client)
	for _, t := range w.plan() {
		if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Topic == t.Name && f.Risk == RiskSize }) {
			continue
		}
		size := t.Configs["max.message.bytes"]
		resp, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size}}, t.Name)
		if err == nil {
			_, err = resp.On(t.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("raise max.message.bytes of %s to %s: %w", t.Name, size, err)
		}
		w.log.Info("the topic takes larger records now", zap.String("topic", t.Name), zap.String("max.message.bytes", size))
	}
	return nil
}
