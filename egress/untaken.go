package egress

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// How long a partition that was not taken up waits until its topic is taken up again:
// longer each time.
const (
	takeAgainFirst = time.Second
	takeAgainMost  = time.Minute
)

var errUntaken = errors.New("no answer from Kafka where the group stands")

// takeAgain takes up partitions that are ours and that the client left out because the
// answer about their commits was an error: it goes on with the rest, and asks about
// them no more for as long as they are ours. Nobody would ever read them.
func (m *member) takeAgain(run context.Context, untaken []*partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	topics := map[string][]*partition{}
	for _, p := range untaken {
		topics[p.topic] = append(topics[p.topic], p)
	}
	for topic, state := range m.again {
		if topics[topic] == nil && !state.waits {
			delete(m.again, topic) // all of it is read
		}
	}
	for topic, of := range topics {
		if m.halted || m.again[topic].waits {
			continue
		}
		wait := min(max(2*m.again[topic].last, takeAgainFirst), takeAgainMost)
		m.again[topic] = takenAgain{last: wait, waits: true}
		for _, p := range of {
			m.untaken.note(p, errUntaken)
		}
		m.log.Error("partitions are ours and cannot be read, because Kafka does not say where the group stands: their topic is taken up again",
			zap.String("group", m.group), zap.String("topic", topic), zap.Int("partitions", len(of)), zap.Duration("in", wait))
		m.runs.Go(func() { m.takeTopicAgain(run, topic, wait) })
	}
}

// takenAgain is how a topic fares that had to be taken up again.
type takenAgain struct {
	last  time.Duration // the latest wait
	waits bool          // there is one now
}

func (m *member) takeTopicAgain(run context.Context, topic string, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-run.Done():
		return
	case <-timer.C:
	}
	m.mu.Lock()
	state := m.again[topic]
	state.waits = false
	m.again[topic] = state
	needed := false
	for key, p := range m.partitions {
		needed = needed || key.topic == topic && !p.taken
	}
	halted := m.halted
	m.mu.Unlock()
	if needed && !halted {
		m.client.PurgeTopicsFromClient(topic)
		m.client.AddConsumeTopics(topic)
	}
}
