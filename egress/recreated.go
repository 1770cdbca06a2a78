package egress

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clients are those of a running egress.
type clients struct {
	members   []*member
	producers []*kgo.Client
}

// Recreated lets go of a topic that was deleted and made again, and goes on with the
// new one from its beginning. kgo stays with the first topic of a name that it has
// seen, and with it every offset and sequence number; from brokers that know topics
// by their ids it takes only errors from then on.
func (e *Egress) Recreated(topic string) {
	running := e.running.Load()
	if running == nil {
		return // whoever starts later sees only the new one
	}
	for _, producer := range running.producers {
		producer.PurgeTopicsFromProducing(topic)
	}
	for _, m := range running.members {
		m.recreated(topic)
	}
}

// recreated leaves the topic and joins for it again. What is under way for the old
// one ends first, as with any revoke.
func (m *member) recreated(topic string) {
	if !slices.Contains(m.topics, topic) {
		return
	}
	m.mu.Lock()
	for key, p := range m.partitions {
		if key.topic == topic {
			p.forsake()
		}
	}
	delete(m.topicIDs, topic)
	m.mu.Unlock()
	m.client.PurgeTopicsFromClient(topic) // also what it remembers of the topic's id
	m.client.AddConsumeTopics(topic)
}
