package admin

import (
	"context"
	"slices"
	"time"
)

// lookAge is how long it holds what Kafka said of its topics: asking is dear, and anybody
// with a key may.
const lookAge = time.Second

// looks asks Kafka for its topics, one asker at a time, and gives to those that come
// meanwhile and soon after what it said.
type looks struct {
	turn chan struct{} // holds a token
	at   time.Time     // when it was asked
	said []Topic
}

func newLooks() *looks { return &looks{turn: make(chan struct{}, 1)} }

// topics gives a copy of the topics. ask is nil where there is no Kafka.
func (l *looks) topics(ctx context.Context, ask func(context.Context) ([]Topic, error)) ([]Topic, error) {
	if ask == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if l.at.IsZero() || time.Since(l.at) > lookAge {
		at := time.Now()
		said, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		l.at, l.said = at, said
	}
	return slices.Clone(l.said), nil
}
