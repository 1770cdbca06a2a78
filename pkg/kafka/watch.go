package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"causeway/pkg/health"
)

// WatchOptions say which topics are held against which plan.
type WatchOptions struct {
	Check  CheckOptions
	Client *kgo.Client
	Plan   func(brokers int) []Topic // all topics; those that Use does not need are left out
	Create bool                      // make what is missing

	Retry time.Duration // at the start, how often topics that were refused are looked at again; 5 s
	Look  time.Duration // how often topics are looked for; 10 s
	Every time.Duration // how often their settings are compared; 1 h

	Health     *health.Set
	Logger     *zap.Logger
	Registerer prometheus.Registerer
}

func (o WatchOptions) withDefaults() WatchOptions {
	o.Retry = cmp.Or(o.Retry, 5*time.Second)
	o.Look = cmp.Or(o.Look, 10*time.Second)
	o.Every = cmp.Or(o.Every, time.Hour)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	if o.Health == nil {
		o.Health = health.NewSet(nil)
	}
	return o
}

// Watch holds the topics of a process against the plan: before it serves, and for
// as long as it does.
type Watch struct {
	o     WatchOptions
	log   *zap.Logger
	met   *watchMetrics
	ready *health.Handle // once it is met it stays: a process that serves goes on
	found watchConditions

	brokers int    // the most that were seen: one that is away does not make the plan smaller
	said    string // the findings that the log knows
	refused error  // why a missing topic could not be made

	mu     sync.Mutex
	topics map[string]knownTopic
}

// knownTopic is a topic as it was seen last.
type knownTopic struct {
	id         [16]byte
	partitions int
	away       int   // how many looks in a row did not see it
	unusable   error // why nothing can be stored in it; nil: it can
}

// NewWatch makes a Watch that does nothing before Await.
func NewWatch(o WatchOptions) *Watch {
	o = o.withDefaults()
	return &Watch{
		o: o, log: o.Logger, met: newWatchMetrics(o.Registerer),
		ready:  o.Health.Declare(health.Condition{Code: "kafka_topics", Title: "the topics are there and cannot lose records", Readiness: true}),
		found:  declareWatch(o.Health),
		topics: map[string]knownTopic{},
	}
}

// Await makes what is missing and returns when no topic is refused any more, which
// needs no restart: whoever mends a topic is noticed. A process that ended instead
// would be started again and again, each time with the same lines; one that waits
// says on /readyz why, and in a rolling update the ones before it go on serving.
// It returns early, with the context's error, when ctx ends.
func (w *Watch) Await(ctx context.Context) error {
	for {
		findings, err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			w.ready.Fail(err.Error())
			w.sayOnce(err.Error(), func() { w.log.Warn("topics cannot be compared yet, trying on", zap.Error(err)) })
		case Refused(findings):
			w.ready.Fail("not serving: " + refusal(findings))
			w.report(findings, "not serving until this topic is mended or its risk accepted in kafka.allow_unsafe")
		default:
			w.report(findings, "")
			w.ready.OK()
			return nil
		}
		pause := time.NewTimer(w.o.Retry)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// Run looks on until ctx ends. It stops nothing: a door that is shut for hours loses
// more than a topic with one copy may, and an egress that stands still lets a
// shorter retention catch up with what is not delivered. Recreated is called with
// each topic that was deleted and made again, for the clients that still hold the
// old one.
func (w *Watch) Run(ctx context.Context, recreated func(topic string)) error {
	checked := time.Now()
	timer := time.NewTimer(w.o.Look)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		pause := w.o.Look
		changed, gone := w.look(ctx)
		for _, name := range changed {
			recreated(name)
		}
		if gone {
			pause = min(pause, w.o.Retry) // to know soon whether it was one broker's word only
		}
		if len(changed) > 0 || time.Since(checked) >= w.o.Every {
			if findings, err := w.compare(ctx); err == nil {
				checked = time.Now()
				w.report(findings, "going on all the same: a restart would not serve")
			}
		}
		timer.Reset(pause)
	}
}

// Usable says why nothing can be stored in the topic now.
func (w *Watch) Usable(topic string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.topics[topic].unusable
}

// round makes what is missing and compares the rest.
func (w *Watch) round(ctx context.Context) ([]Finding, error) {
	there, err := w.describe(ctx)
	if err != nil {
		return nil, err
	}
	if w.refused = nil; w.o.Create {
		w.refused = w.create(ctx, w.plan(), there, "topics created")
	}
	if there, err = w.describe(ctx); err != nil {
		return nil, err
	}
	w.learn(there)
	findings, err := w.compareWith(ctx, there)
	if err != nil || !w.o.Check.Embedded || len(findings) == 0 {
		return findings, err
	}
	if err := w.widen(ctx, findings); err != nil {
		return nil, err
	}
	return w.compareWith(ctx, there)
}

func (w *Watch) compare(ctx context.Context) ([]Finding, error) {
	there, err := w.describe(ctx)
	if err != nil {
		return nil, err
	}
	return w.compareWith(ctx, there)
}

func (w *Watch) compareWith(ctx context.Context, there map[string]kmsg.MetadataResponseTopic) ([]Finding, error) {
	findings, err := compareAll(ctx, w.o.Client, w.plan(), there, w.o.Check)
	for i, f := range findings {
		if w.refused != nil && f.Found == Missing {
			findings[i].Why = fmt.Sprintf("%s, and it cannot be made: %v", f.Why, w.refused)
		}
	}
	return findings, err
}

func (w *Watch) plan() []Topic { return Needed(w.o.Plan(max(w.brokers, 1)), w.o.Check.Use) }

func (w *Watch) describe(ctx context.Context) (map[string]kmsg.MetadataResponseTopic, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := metadata(ctx, w.o.Client, topicNames(w.plan()))
	if err != nil {
		return nil, err
	}
	w.brokers = max(w.brokers, len(resp.Brokers))
	return byName(resp), nil
}

// learn notes topics as they are, and says which were another one before.
func (w *Watch) learn(there map[string]kmsg.MetadataResponseTopic) (recreated []string, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	plan := w.plan()
	maps.DeleteFunc(w.topics, func(name string, _ knownTopic) bool { // of a source that is no more
		return !slices.ContainsFunc(plan, func(t Topic) bool { return t.Name == name })
	})
	for _, t := range plan {
		now, known := there[t.Name], w.topics[t.Name]
		switch err := visible(now); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			// A broker that has just started may not know its topics yet: only the
			// second look in a row counts.
			if known.away++; known.away == 2 {
				known.unusable = fmt.Errorf("topic %s is missing", t.Name)
				w.log.Error("a topic is missing: nothing can be stored in it, and what was not delivered of it is gone", zap.String("topic", t.Name))
			}
			gone = true
		case err != nil: // not ours to see: whoever uses it will hear what Kafka says
		case known.partitions > 0 && known.id != now.TopicID:
			recreated = append(recreated, t.Name)
			w.met.recreated.Inc()
			w.log.Error("a topic was deleted and made again: what was not delivered of the old one is gone; going on with the new one", zap.String("topic", t.Name))
			known = knownTopic{id: now.TopicID, partitions: len(now.Partitions)}
		default:
			if more := len(now.Partitions) - known.partitions; known.partitions > 0 && more > 0 {
				w.met.partitionsAdded.Add(float64(more))
				w.log.Warn("a topic has more partitions than before: equal keys from before and after this are in different ones",
					zap.String("topic", t.Name), zap.Int("before", known.partitions), zap.Int("now", len(now.Partitions)))
			}
			known = knownTopic{id: now.TopicID, partitions: max(known.partitions, len(now.Partitions))}
		}
		w.topics[t.Name] = known
	}
	w.reportMissing()
	return recreated, gone
}

// look is one round while serving. Kafka being away is for others to say.
func (w *Watch) look(ctx context.Context) (recreated []string, gone bool) {
	there, err := w.describe(ctx)
	if err != nil {
		return nil, false
	}
	recreated, gone = w.learn(there)
	if !gone || !w.o.Create || !w.awayTwice() {
		return recreated, gone
	}
	// Not the catalog: an empty one in its place would tell every process that starts
	// that nobody wants anything. Whoever has what it held can make it and fill it.
	again := slices.DeleteFunc(w.plan(), func(t Topic) bool { return t.Kind == Catalog })
	if err := w.create(ctx, again, there, "a topic that was deleted is made again, as the plan has it"); err != nil {
		w.sayOnce(err.Error(), func() { w.log.Error("a missing topic cannot be made", zap.Error(err)) })
		return recreated, gone
	}
	if there, err = w.describe(ctx); err != nil {
		return recreated, gone
	}
	more, gone := w.learn(there)
	return append(recreated, more...), gone
}

func (w *Watch) awayTwice() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.topics {
		if t.away >= 2 {
			return true
		}
	}
	return false
}

// reportMissing keeps the condition and the gauge; mu is held.
func (w *Watch) reportMissing() {
	var names []string
	for name, t := range w.topics {
		if t.unusable != nil {
			names = append(names, name)
		}
	}
	w.met.missing.Set(float64(len(names)))
	if len(names) == 0 {
		w.found.present.OK()
		return
	}
	slices.Sort(names)
	w.found.present.Fail("missing: " + strings.Join(names, ", "))
}
