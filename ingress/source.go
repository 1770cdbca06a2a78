package ingress

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/limit"
	"causeway/pkg/provider"
)

// source is a catalog source with everything at hand that receive would otherwise work
// out for each request.
type source struct {
	*catalog.Source
	maxBody      int64
	methods      []string
	allow        string // the same as a header's value
	verifiedBy   string
	headers      []headerName
	reply        *provider.Reply // the provider's own answer; nil: ours
	contentType  []string        // of the answer to an event
	replyTimeout time.Duration
	rate         *sourceRate
	inFlight     *budget // of the topic, which sources may share
	metrics      sourceMetrics

	cluster, topicName, uid []byte // parts of an event's identity
}

type headerName struct{ lower, canonical string }

// sourceRate outlives changes of the source's other settings: changing one does not
// hand out a new second's worth.
type sourceRate struct {
	limit.Bucket
	cost, credit atomic.Int64 // nanoseconds; cost 0: no limit
}

func (r *sourceRate) set(perSecond float64, now int64) {
	if perSecond <= 0 {
		r.cost.Store(0)
		return
	}
	cost, credit := limit.Cost(perSecond)
	r.Forgive(now, credit) // one webhook at 1/h would cost another hour at 500/s
	r.credit.Store(credit)
	r.cost.Store(cost)
}

// take counts one accepted webhook; now gives nanoseconds after the server's start.
func (r *sourceRate) take(now func() int64) (wait time.Duration, ok bool) {
	cost := r.cost.Load()
	if cost == 0 {
		return 0, true
	}
	return r.Take(now(), cost, r.credit.Load())
}

// table is the sources of one snapshot by name.
type table struct {
	snapshot *catalog.Snapshot
	sources  map[string]*source
	rates    map[uuid.UUID]*sourceRate
	topics   map[string]*budget
}

// source finds the source of that name in the catalog as it is now; nil: there is none.
func (s *Server) source(name string) *source {
	snapshot := s.options.Catalog()
	t := s.table.Load()
	if t.snapshot != snapshot {
		t = s.rebuild(snapshot)
	}
	return t.sources[name]
}

// rebuild makes the table of a new snapshot. What was counted goes on being counted.
func (s *Server) rebuild(snapshot *catalog.Snapshot) *table {
	s.rebuilding.Lock()
	defer s.rebuilding.Unlock()
	old := s.table.Load()
	if old.snapshot == snapshot {
		return old // another request was first
	}
	t := &table{
		snapshot: snapshot,
		sources:  make(map[string]*source, len(snapshot.Sources)),
		rates:    make(map[uuid.UUID]*sourceRate, len(snapshot.Sources)),
		topics:   make(map[string]*budget),
	}
	for _, spec := range snapshot.Sources {
		rate := old.rates[spec.UID]
		if rate == nil {
			rate = &sourceRate{}
		}
		rate.set(spec.Rate, s.now())
		topic := t.topics[spec.Topic]
		if topic == nil {
			topic = old.topics[spec.Topic]
		}
		if topic == nil {
			topic = &budget{limit: s.topicShare}
		}
		t.rates[spec.UID], t.topics[spec.Topic] = rate, topic
		t.sources[spec.Name] = s.newSource(spec, rate, topic)
	}
	for name := range old.sources {
		if t.sources[name] == nil {
			s.metrics.forget(name)
		}
	}
	s.table.Store(t)
	return t
}

func (s *Server) newSource(spec *catalog.Source, rate *sourceRate, topic *budget) *source {
	// One body is never larger than all together.
	maxBody := min(spec.MaxBody, s.options.MaxBodyBytes-1)
	if maxBody < spec.MaxBody {
		s.log.Warn("max_body is more than the memory for all bodies together, and counts as that",
			zap.String("source", spec.Name), zap.Int64("max_body", spec.MaxBody), zap.Int64("counts_as", maxBody))
	}
	src := &source{
		Source:       spec,
		maxBody:      maxBody,
		replyTimeout: s.options.ReplyTimeout,
		rate:         rate,
		inFlight:     topic,
		metrics:      s.metrics.source(spec.Name),
		cluster:      []byte(s.options.Cluster()),
		topicName:    []byte(spec.Topic),
		uid:          spec.UID[:],
		contentType:  []string{"application/json"},
	}
	for _, name := range spec.Headers {
		src.headers = append(src.headers, headerName{name, http.CanonicalHeaderKey(name)})
	}
	if spec.Fault != nil {
		return src // nothing of it is served
	}
	src.methods, src.verifiedBy = spec.Provider.Methods(), spec.Provider.VerifiedBy()
	src.allow = strings.Join(src.methods, ", ")
	if reply, ok := spec.Provider.Reply(); ok {
		src.reply, src.contentType = &reply, contentType(reply)
	}
	if limit := spec.Provider.ReplyTimeout(); limit > 0 {
		src.replyTimeout = min(src.replyTimeout, limit)
	}
	return src
}
