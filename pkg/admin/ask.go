package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
)

// questions are what a change wants to know of Kafka: where topics end, what egress has
// committed of them, and of which it has settled all.
type questions interface {
	ends(topics []string) (map[string][]int64, error)
	committed(topics []string) (map[string][]int64, error)
	drained(orphans map[string]int64) map[string]bool
}

// answers are what Kafka said before the catalog was held.
type answers struct {
	end, commit map[string][]int64
	settled     map[string]bool
}

func newAnswers() *answers {
	return &answers{map[string][]int64{}, map[string][]int64{}, map[string]bool{}}
}

func (a *answers) ends(topics []string) (map[string][]int64, error) { return known(a.end, topics) }

func (a *answers) committed(topics []string) (map[string][]int64, error) {
	return known(a.commit, topics)
}

// drained keeps what was not asked: it can go with a later change.
func (a *answers) drained(map[string]int64) map[string]bool { return a.settled }

func known(answers map[string][]int64, topics []string) (map[string][]int64, error) {
	if slices.ContainsFunc(topics, func(topic string) bool { _, asked := answers[topic]; return !asked }) {
		return nil, errAgain
	}
	return answers, nil
}

// asking asks Kafka, and keeps the answers.
type asking struct {
	*changing
	ctx context.Context //nolint:containedctx // it lives as long as one call of ask
}

func (a *asking) ends(topics []string) (map[string][]int64, error) {
	return a.positions(a.s.o.Ends, a.answers.end, topics)
}

func (a *asking) committed(topics []string) (map[string][]int64, error) {
	return a.positions(a.s.o.Committed, a.answers.commit, topics)
}

func (a *asking) positions(ask func(context.Context, []string) (map[string][]int64, error), answers map[string][]int64, topics []string) (map[string][]int64, error) {
	var found map[string][]int64
	if ask != nil {
		var err error
		if found, err = ask(a.ctx, topics); err != nil {
			a.s.log.Warn("Kafka did not say where topics stand", zap.String("request", a.v.request), zap.Error(err))
			return nil, refuse(http.StatusServiceUnavailable, "kafka_unavailable", "Kafka did not say where the topics end, so nobody can say where this begins: nothing was changed, try again when Kafka is well").with("Retry-After", "5")
		}
	}
	for _, topic := range topics {
		answers[topic] = found[topic]
	}
	return answers, nil
}

// drainedTimeout keeps a topic about which Kafka has no answer from holding up the change,
// which has nothing to do with it.
const drainedTimeout = time.Second

// drained leaves out topics of which it is not known: their entries stay.
func (a *asking) drained(orphans map[string]int64) map[string]bool {
	if a.s.o.Drained == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, drainedTimeout)
	defer cancel()
	found, err := a.s.o.Drained(ctx, orphans)
	if err != nil {
		a.s.log.Warn("Kafka did not say what is left in topics of removed sources, which stay in the catalog", zap.String("request", a.v.request), zap.Error(err))
	}
	a.answers.settled = found
	return found
}
