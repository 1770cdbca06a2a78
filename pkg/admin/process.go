package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
)

type (
	topicsIn struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most."`
		Cursor string `query:"cursor" maxLength:"2048" doc:"next of the page before."`
		Prefix string `query:"prefix" maxLength:"300" doc:"Only names that begin so."`
	}
	healthOut struct{ Body Health }
	testOut   struct{ Body TestResult }
)

// process are the operations on what this process sees of Kafka and of itself.
func (s *Server) process() {
	register(s, operation{id: "list-topics", method: http.MethodGet, path: "/topics", summary: "List the topics that causeway uses", needs: []right{mayRead}},
		s.listTopics)
	register(s, operation{id: "get-health", method: http.MethodGet, path: "/health", summary: "Show the state of the process that answers", needs: []right{mayRead}},
		func(_ context.Context, v *visit, _ *struct{}) (*healthOut, error) {
			return &healthOut{s.health(v)}, nil
		})
}

func (s *Server) health(v *visit) Health {
	h := Health{Ready: true, Failing: []health.Failing{}}
	var failing []health.Failing
	if s.o.Health != nil {
		h.Ready, failing = s.o.Health.Ready()
	}
	if v.tenant != "" {
		return h // how the operator's machines are is the operator's
	}
	h.Failing = append(h.Failing, failing...)
	h.Version, h.Catalog = s.o.Version, s.o.Catalog.State().Version
	return h
}

func (s *Server) listTopics(ctx context.Context, v *visit, in *topicsIn) (*listOut[Topic], error) {
	topics, err := s.looks.topics(ctx, s.o.Topics)
	if err != nil {
		s.log.Warn("Kafka did not say how its topics are", zap.String("request", v.request), zap.Error(err))
		return nil, refuse(http.StatusServiceUnavailable, "kafka_unavailable", "Kafka did not say how its topics are: try again when it is well").with("Retry-After", "5")
	}
	l := listing{listIn{Prefix: in.Prefix}, "topic", v.tenant}
	var from position
	if in.Cursor != "" {
		var err error
		if from, err = parseCursor(in.Cursor, l.filter()); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(topics, func(a, b Topic) int { return cmp.Compare(a.Name, b.Name) })
	state := s.o.Catalog.State()
	sight := sightOf(state, v)
	if !sight.operator {
		sight = sight.topics(state)
	}
	out := &listOut[Topic]{}
	out.Body.Items = []Topic{}
	for _, topic := range topics {
		if in.Cursor != "" && topic.Name <= from.name || !strings.HasPrefix(topic.Name, in.Prefix) || !sight.topic(topic.Name) {
			continue
		}
		if len(out.Body.Items) == in.Limit {
			out.Body.Next = position{name: out.Body.Items[in.Limit-1].Name}.cursor(l.filter())
			break
		}
		if v.tenant != "" {
			topic = Topic{Name: topic.Name, Kind: topic.Kind, Partitions: topic.Partitions} // the rest tells of others
		}
		out.Body.Items = append(out.Body.Items, topic)
	}
	return out, nil
}

// testSubscription sends a test event, with what this process has compiled: so it is
// also told when the change it was to try has not come through.
func (s *Server) testSubscription(ctx context.Context, v *visit, in *stateIn) (*testOut, error) {
	e, err := find(s.o.Catalog.State(), v, catalog.KindSubscription, in.ID)
	if err != nil {
		return nil, err
	}
	sub := s.live(e)
	switch {
	case s.o.Test == nil || sub == nil:
		return &testOut{TestResult{Checks: []TestCheck{{What: "settings", Text: "this process has not taken up the subscription yet: try again"}}}}, nil
	case sub.Fault != nil:
		text := sub.Fault.Error()
		if v.tenant != "" {
			text = "it cannot be used now: ask the operator"
		}
		return &testOut{TestResult{Checks: []TestCheck{{What: "settings", Text: text}}}}, nil
	}
	if _, err := sub.Keys(); err != nil && v.tenant != "" {
		return &testOut{TestResult{Checks: []TestCheck{{What: "secrets", Text: "no secret of it can be used: ask the operator, or send another"}}}}, nil
	}
	// Before it is sent: what nobody could write down does not go out.
	if err := s.record(ctx, v, "subscription.test", e); err != nil {
		return nil, err
	}
	result := s.o.Test(ctx, sub)
	if result.Checks == nil {
		result.Checks = []TestCheck{}
	}
	return &testOut{result}, nil
}

// record audits what changes nothing in the catalog.
func (s *Server) record(ctx context.Context, v *visit, action string, e *catalog.Entry) error {
	record := v.audit(action)
	record.Kind, record.UID, record.Name, record.Set = e.Kind, e.UID, e.Name, e.Set
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), updateTimeout)
	defer cancel()
	return wrote(s.o.Catalog.Audit(ctx, record))
}
