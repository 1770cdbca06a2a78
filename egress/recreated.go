package egress

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
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

// suspect looks whether a topic whose id the brokers do not know was made again. Whoever
// watches the plan's topics may be slower, and does not watch foreign ones.
func (m *member) suspect(topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.halted || m.suspects[topic] {
		return
	}
	m.suspects[topic] = true
	m.runs.Go(func() { // not in the poll loop, whose lock the client may want
		m.recreated(topic)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.suspects, topic)
	})
}

// recreated leaves the topic and joins for it again, if the one that is there is
// another one than that which was read. What is under way for the old one ends
// first, as with any revoke.
func (m *member) recreated(topic string) {
	m.mu.Lock()
	read := slices.Contains(m.topics, topic)
	m.mu.Unlock()
	if !read {
		return
	}
	now, err := m.lookUp(topic)
	m.mu.Lock()
	if known := m.topicIDs[topic]; err != nil || known == now && known != [16]byte{} {
		m.mu.Unlock()
		return // gone, or taken up already
	}
	for key, p := range m.partitions {
		if key.topic == topic {
			p.forsake()
		}
	}
	m.topicIDs[topic] = now
	m.anew[topic] = m.version()
	m.mu.Unlock()
	m.log.Error("a topic was deleted and made again: reading the new one from its beginning", zap.String("group", m.group), zap.String("topic", topic))
	m.client.PurgeTopicsFromClient(topic) // also what it remembers of the topic's id
	m.client.AddConsumeTopics(topic)
}

// lookUpWait is short, for a stop waits for it.
const lookUpWait = 3 * time.Second

// lookUp asks a broker for the topic's id; kadm would answer from what it knows.
func (m *member) lookUp(topic string) (id [16]byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookUpWait)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = []kmsg.MetadataRequestTopic{rt}
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return id, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	for _, found := range resp.Topics {
		id, err = found.TopicID, kerr.ErrorForCode(found.ErrorCode)
	}
	if err != nil {
		return id, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	return id, nil
}
