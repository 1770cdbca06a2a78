package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/schemas"
)

// Registration knows the id of the schema of events for each topic that holds
// them: it registers the schema, or looks it up, until it has all, and goes on
// trying as long as that takes.
type Registration struct {
	o      RegistrationOptions
	ids    atomic.Pointer[map[string]int] // by topic; never changed in place
	why    atomic.Pointer[map[string]error]
	handle *health.Handle // nil: a topic without a schema is no fault
	tries  map[string]*try
}

// try is the state of a topic whose schema is not registered yet.
type try struct {
	next    time.Time
	backOff time.Duration
	said    string
}

// RegistrationOptions says what a Registration works on.
type RegistrationOptions struct {
	Client *Client
	Topics func() []string // the topics whose values are causeway.Event in Avro
	// Register lets schemas be registered; otherwise they are looked up only.
	Register bool
	// Own hears each id.
	Own func(id int)
	// Health shows what is missing; nil for a process that only reads.
	Health *health.Set
	Logger *zap.Logger
}

// errPending says that nobody has tried yet.
var errPending = errors.New("the schema of events is being registered")

// NewRegistration makes a Registration that does nothing before Run.
func NewRegistration(o RegistrationOptions) *Registration {
	g := &Registration{o: o, tries: map[string]*try{}}
	g.ids.Store(&map[string]int{})
	g.why.Store(&map[string]error{})
	if o.Health != nil {
		g.handle = o.Health.Declare(health.Condition{Code: "registry", Title: "the schema of events is registered for every topic"})
	}
	return g
}

// ID gives the schema's id for the topic. An error says why there is none yet.
func (g *Registration) ID(topic string) (int, error) {
	if id, ok := (*g.ids.Load())[topic]; ok {
		return id, nil
	}
	if err := (*g.why.Load())[topic]; err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("subject %s: %w", Subject(topic), errPending)
}

// Subject is the name under which a registry keeps the schema of a topic's values.
func Subject(topic string) string { return topic + "-value" }

// look is how often the topics are looked at: they may change.
const look = 200 * time.Millisecond

// Run registers until ctx ends.
func (g *Registration) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		g.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// once tries each topic that has no id and whose time has come.
func (g *Registration) once(ctx context.Context) {
	why := map[string]error{}
	for _, topic := range g.o.Topics() {
		if _, done := (*g.ids.Load())[topic]; done {
			continue
		}
		t := g.tries[topic]
		if t == nil {
			t = &try{}
			g.tries[topic] = t
		}
		if time.Now().Before(t.next) {
			why[topic] = (*g.why.Load())[topic]
			continue
		}
		if err := g.attempt(ctx, topic, t); err != nil {
			why[topic] = err
		}
	}
	if ctx.Err() != nil {
		return
	}
	g.why.Store(&why)
	g.show(why)
}

// attempt registers the schema of one topic.
func (g *Registration) attempt(ctx context.Context, topic string, t *try) error {
	id, err := g.o.Client.event(ctx, Subject(topic), g.o.Register)
	if err != nil {
		t.backOff = min(max(2*t.backOff, 500*time.Millisecond), 15*time.Second)
		t.next = time.Now().Add(t.backOff)
		if t.said != err.Error() && ctx.Err() == nil && g.handle != nil {
			t.said = err.Error()
			g.o.Logger.Error("no schema for a topic yet, trying on", zap.String("topic", topic), zap.Error(err))
		}
		return err
	}
	delete(g.tries, topic)
	g.o.Own(id)
	ids := maps.Clone(*g.ids.Load())
	ids[topic] = id
	g.ids.Store(&ids)
	g.o.Logger.Info("schema of events known to the registry", zap.String("subject", Subject(topic)), zap.Int("id", id))
	return nil
}

func (g *Registration) show(why map[string]error) {
	if g.handle == nil {
		return
	}
	var texts []string
	for _, topic := range slices.Sorted(maps.Keys(why)) {
		texts = append(texts, why[topic].Error())
	}
	if len(texts) == 0 {
		g.handle.OK()
		return
	}
	g.handle.Fail(strings.Join(texts, "; "))
}

// event gives the id of the schema of events under the subject.
func (c *Client) event(ctx context.Context, subject string, register bool) (int, error) {
	schema := sr.Schema{Schema: schemas.EventSchema()}
	if !register {
		return c.registered(ctx, subject, schema)
	}
	id, err := c.sr.RegisterSchema(ctx, subject, schema, -1, -1)
	switch {
	case isConflict(err):
		return 0, fmt.Errorf("subject %s: the schema registry refuses causeway.Event, which is incompatible with the schema that is there: give the source another topic, or remove that schema or set the subject's compatibility to NONE if nobody else writes to the topic: %w", subject, explain(err))
	case err != nil:
		return 0, fmt.Errorf("subject %s: register causeway.Event: %w", subject, explain(err))
	}
	return id, nil
}

func (c *Client) registered(ctx context.Context, subject string, schema sr.Schema) (int, error) {
	found, err := c.sr.LookupSchema(ctx, subject, schema)
	switch {
	case isUnknown(err):
		return 0, fmt.Errorf("subject %s: causeway.Event is not registered, and this process may not register it (registry.register: false): register schemas/event.avsc there", subject)
	case err != nil:
		return 0, fmt.Errorf("subject %s: look causeway.Event up: %w", subject, explain(err))
	}
	return found.ID, nil
}

// Check says for each topic what keeps its schema from being registered, without
// registering anything.
func (c *Client) Check(ctx context.Context, topics []string, register bool) []error {
	var errs []error
	schema := sr.Schema{Schema: schemas.EventSchema()}
	for _, topic := range topics {
		subject := Subject(topic)
		if !register {
			if _, err := c.registered(ctx, subject, schema); err != nil {
				errs = append(errs, err)
			}
			continue
		}
		result, err := c.sr.CheckCompatibility(ctx, subject, -1, schema)
		switch {
		case isUnknown(err), hasCode(err, sr.ErrVersionNotFound):
		case err != nil:
			errs = append(errs, fmt.Errorf("subject %s: %w", subject, explain(err)))
		case !result.Is:
			errs = append(errs, fmt.Errorf("subject %s: causeway.Event is incompatible with the schema that is there: %.300s", subject, strings.Join(result.Messages, ", ")))
		}
	}
	return errs
}
