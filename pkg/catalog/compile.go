package catalog

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"causeway/pkg/secret"
)

// Compiler makes the snapshot of each state of the catalog. It keeps what it has
// compiled: a change of one entry compiles that one. It is not safe for concurrent use.
type Compiler struct {
	o             Options
	sources       map[string]*Source       // by uid
	subscriptions map[string]*Subscription // by uid
	topics        string                   // those of the sources that subscriptions were compiled with
}

// NewCompiler makes a Compiler with nothing compiled yet.
func NewCompiler(o Options) *Compiler {
	return &Compiler{o: o, sources: map[string]*Source{}, subscriptions: map[string]*Subscription{}}
}

// Compile makes the snapshot of a state. An entry that cannot be used here, because a
// secret cannot be resolved or a later release wrote it, never keeps another from
// being used: it is in the snapshot with its Fault.
func (c *Compiler) Compile(s *State) *Snapshot {
	var live []*Source
	sources := make(map[string]*Source, len(c.sources))
	for _, e := range s.Sorted(KindSource) {
		src := c.sources[e.UID]
		if src == nil || src.Version != e.Version || src.Fault != nil {
			src = c.source(e)
		}
		sources[e.UID] = src
		live = append(live, src)
	}
	c.sources = sources
	topics := fmt.Sprint(topicsByName(live))
	var wanted []*Subscription
	subscriptions := make(map[string]*Subscription, len(c.subscriptions))
	for _, e := range s.Sorted(KindSubscription) {
		sub := c.subscriptions[e.UID]
		if sub == nil || sub.Version != e.Version || sub.Fault != nil || topics != c.topics {
			sub = c.subscription(e, live)
		}
		subscriptions[e.UID] = sub
		wanted = append(wanted, sub)
	}
	c.subscriptions, c.topics = subscriptions, topics
	b := &builder{Options: c.o}
	return NewSnapshot(s.Version, live, wanted).WithForeign(b.foreignTopics(live))
}

func topicsByName(sources []*Source) map[string]string {
	topics := make(map[string]string, len(sources))
	for _, src := range sources {
		topics[src.Name] = src.Topic
	}
	return topics
}

func (c *Compiler) source(e *Entry) *Source {
	uid, err := uuid.Parse(e.UID)
	spec, unread := e.Source()
	b := &builder{Options: c.o, sealed: e.binding()}
	src := b.at("source", e.Name).source(spec)
	src.UID, src.Name, src.Version, src.Starts = uid, e.Name, e.Version, e.Starts
	src.Fault = errors.Join(err, unread, b.err())
	return src
}

func (c *Compiler) subscription(e *Entry, sources []*Source) *Subscription {
	uid, err := uuid.Parse(e.UID)
	spec, unread := e.Subscription()
	b := &builder{Options: c.o, loose: true, sealed: e.binding()}
	sub := b.at("subscription", e.Name).subscription(spec, sources)
	sub.UID, sub.Name, sub.Version, sub.Starts, sub.Paused = uid, e.Name, e.Version, e.Starts, e.Paused
	if e.Tenant != "" {
		sub.Tenant = e.Tenant // whatever its spec says: nobody gets another tenant's events
	}
	sub.Fault = errors.Join(err, unread, b.err())
	return sub
}

// err is all faults as one error.
func (b *builder) err() error {
	errs := make([]error, len(b.faults))
	for i, f := range b.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// binding is the place that secrets of the entry are sealed for.
func (e *Entry) binding() *secret.Binding {
	return &secret.Binding{Tenant: e.Tenant, Kind: string(e.Kind), UID: e.UID}
}
