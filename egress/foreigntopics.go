package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/health"
)

// foreignEvery is how often the foreign topics are looked at.
const foreignEvery = 15 * time.Second

// foreignWatch shows foreign topics that are not there and warns about those that
// may lose records before they are delivered. They are somebody else's: nothing of
// them is made or changed.
type foreignWatch struct {
	topics []string
	handle *health.Handle
	log    *zap.Logger
	said   map[string]string // by topic
}

// watchForeign looks at the foreign topics until ctx ends.
func (e *Egress) watchForeign(ctx context.Context, client *kgo.Client) {
	w := &foreignWatch{
		handle: e.foreignThere, log: e.log, said: map[string]string{},
	}
	for _, f := range e.snapshot().Foreign {
		w.topics = append(w.topics, f.Topic)
	}
	if len(w.topics) == 0 {
		return
	}
	admin := kadm.NewClient(client)
	tick := time.NewTicker(foreignEvery)
	defer tick.Stop()
	for {
		w.look(ctx, admin)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *foreignWatch) look(ctx context.Context, admin *kadm.Client) {
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	found, err := admin.ListTopics(ctx, w.topics...)
	if err != nil {
		return // Kafka does not answer, which others say
	}
	var missing, there []string
	for _, topic := range w.topics {
		switch d := found[topic]; {
		case d.Err == nil && d.Topic != "":
			there = append(there, topic)
		case d.Err == nil || errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, w.say(topic, "is not there: it is read as soon as somebody makes it, causeway does not", true))
		default:
			missing = append(missing, w.say(topic, fmt.Sprintf("cannot be seen: %v", d.Err), true))
		}
	}
	w.compare(ctx, admin, there)
	if len(missing) == 0 {
		w.handle.OK()
		return
	}
	slices.Sort(missing)
	w.handle.Fail(strings.Join(missing, "; "))
}

// say logs what is new about a topic, once.
func (w *foreignWatch) say(topic, text string, bad bool) string {
	if w.said[topic] != text {
		w.said[topic] = text
		switch {
		case bad:
			w.log.Warn("foreign topic "+text, zap.String("topic", topic))
		case text != "":
			w.log.Info("foreign topic "+text, zap.String("topic", topic))
		}
	}
	return "foreign topic " + topic + " " + text
}

// compare warns about settings by which records can go before they are delivered.
func (w *foreignWatch) compare(ctx context.Context, admin *kadm.Client, topics []string) {
	if len(topics) == 0 {
		return
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return // not allowed to see them: then nobody asked for an opinion
	}
	for _, c := range configs {
		risks := risksOf(c)
		if len(risks) == 0 {
			w.say(c.Name, "is there", false)
			continue
		}
		w.say(c.Name, "may lose records before they are delivered: "+strings.Join(risks, ", "), true)
	}
}

// safeRetention is how long a topic of causeway's own keeps its records at least.
const safeRetention = 7 * 24 * time.Hour

func risksOf(c kadm.ResourceConfig) (risks []string) {
	if c.Err != nil {
		return nil
	}
	for _, s := range c.Configs {
		n, err := strconv.ParseInt(s.MaybeValue(), 10, 64)
		switch {
		case s.Key == "cleanup.policy" && strings.Contains(s.MaybeValue(), "compact"):
			risks = append(risks, "cleanup.policy is "+s.MaybeValue()+", so only the last record of a key is sure to stay")
		case s.Key == "retention.ms" && err == nil && n >= 0 && n < safeRetention.Milliseconds():
			risks = append(risks, fmt.Sprintf("retention.ms is %d, under 7 days", n))
		case s.Key == "retention.bytes" && err == nil && n >= 0:
			risks = append(risks, fmt.Sprintf("retention.bytes is %d", n))
		}
	}
	return risks
}
