package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"causeway/pkg/cursor"
)

// describe fills in the ids of topics that are not known yet: offset commits name
// topics by id since Kafka 4.1.
func (m *member) describe(ctx context.Context, topics []string) error {
	m.mu.Lock()
	var missing []string
	for _, topic := range topics {
		if _, ok := m.topicIDs[topic]; !ok {
			missing = append(missing, topic)
		}
	}
	m.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	details, err := kadm.NewClient(m.client).ListTopics(ctx, missing...)
	if err != nil {
		return fmt.Errorf("look up topics of group %s: %w", m.group, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, d := range details {
		switch {
		case d.Err == nil:
			m.topicIDs[d.Topic] = d.ID
		case m.denied.Note("DESCRIBE", d.Topic, d.Err): // the others go on
		case !errors.Is(d.Err, kerr.UnknownTopicOrPartition): // not known yet, or deleted
			errs = append(errs, fmt.Errorf("look up topic %s: %w", d.Topic, d.Err))
		}
	}
	return errors.Join(errs...)
}

func topicsOf(marks map[topicPartition]markedPartition) []string {
	var topics []string
	for key := range marks {
		topics = append(topics, key.topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// nameTopics gives a commit the ids of its topics.
func (m *member) nameTopics(req *kmsg.OffsetCommitRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range req.Topics {
		req.Topics[i].TopicID = m.topicIDs[req.Topics[i].Topic]
	}
}

// another says whether a commit's offsets are those of another topic than the one
// that has this name now; mu is held.
func (m *member) another(topic string, meta cursor.Metadata) bool {
	now := m.topicIDs[topic]
	return meta.Topic != [16]byte{} && now != kadm.TopicID{} && meta.Topic != now
}

// topicOf is the name of the topic with that id, empty when it is not known.
func (m *member) topicOf(id [16]byte) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, known := range m.topicIDs {
		if known == id {
			return name
		}
	}
	return ""
}

// addTopics lets the group read topics that were declared while it runs, and gives those
// that are new to it. It goes on with topics whose sources have gone: what is left in
// them was accepted, and whoever matches it gets it.
func (m *member) addTopics(topics []string) (fresh []string) {
	m.mu.Lock()
	for _, topic := range topics {
		if !slices.Contains(m.topics, topic) {
			fresh = append(fresh, topic)
		}
	}
	m.topics = slices.Concat(m.topics, fresh)
	halted := m.halted
	m.mu.Unlock()
	if len(fresh) == 0 || halted {
		return nil
	}
	m.log.Info("reading new topics", zap.String("group", m.group), zap.Strings("topics", fresh))
	m.client.AddConsumeTopics(fresh...) // and joins the group, if there was nothing to join for
	return fresh
}
