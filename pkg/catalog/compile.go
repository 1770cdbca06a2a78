package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// Compiler makes the snapshot of each state of the catalog. It keeps what it has
// compiled: a change of one entry compiles that one. It is not safe for concurrent use.
type Compiler struct {
	o             Options
	sources       map[string]*Source       // by uid
	subscriptions map[string]*Subscription // by uid
	tenants       map[string]*Tenant       // by name
	scheme        *signature.Compiled      // of all deliveries
	known         *known                   // what subscriptions were compiled with
}

// NewCompiler makes a Compiler with nothing compiled yet.
func NewCompiler(o Options) *Compiler {
	return &Compiler{o: o}
}

// Compile makes the snapshot of a state. An entry that cannot be used here, because a
// secret cannot be resolved or a later release wrote it, never keeps another from
// being used: it is in the snapshot with its Fault.
func (c *Compiler) Compile(s *State) *Snapshot {
	var live []*Source
	sources := make(map[string]*Source, len(c.sources))
	names := map[string]knownSource{}
	for _, e := range s.Sorted(KindSource) {
		src := c.sources[e.UID]
		if src == nil || src.Version != e.Version || src.Fault != nil {
			src = c.source(e)
		}
		if e.Tenant != "" && s.Entry(KindTenant, e.Tenant) == nil {
			src = src.unowned(e.Tenant)
		}
		sources[e.UID] = src
		live = append(live, src)
		names[src.Name] = knownSource{e.Tenant, src.Topic}
	}
	c.sources = sources
	orphans, writers, unread := s.orphans()
	// Whatever topics sources may have by now: what was accepted is still to be delivered.
	orphans = slices.DeleteFunc(orphans, func(o Orphan) bool { return !isTopic(o.Topic) || c.o.reserved(o.Topic) })
	if c.known == nil || !maps.Equal(names, c.known.sources) || !slices.Equal(writers, c.known.orphans) {
		c.known = newKnown(names, writers, c.o.Foreign)
		c.tenants, c.subscriptions = nil, nil
	}
	c.compileTenants(s)
	var wanted []*Subscription
	subscriptions := make(map[string]*Subscription, len(c.subscriptions))
	for _, e := range s.Sorted(KindSubscription) {
		sub := c.subscriptions[e.UID]
		if sub == nil || sub.Version != e.Version || sub.Fault != nil || sub.Owner != c.tenants[e.Tenant] {
			sub = c.subscription(e)
		}
		subscriptions[e.UID] = sub
		wanted = append(wanted, sub)
	}
	c.subscriptions = subscriptions
	b := &builder{Options: c.o}
	snapshot := NewSnapshot(s.Version, live, wanted).WithForeign(b.foreignTopics(live))
	snapshot.Tenants, snapshot.Orphans = c.tenants, orphans
	snapshot.Newer = cmp.Or(s.newer(), unread, c.unread(snapshot))
	return snapshot
}

// unread is about an entry of this schema whose spec does not say here what it says. A
// later release may have widened what a text may be: that alone does not raise the
// schema. The entry may be about any event, whatever is wrong with it.
func (c *Compiler) unread(s *Snapshot) error {
	for _, src := range s.Sources {
		if src.unread != nil {
			return cannotRead(KindSource, src.Name, src.unread)
		}
	}
	for _, sub := range s.Subscriptions {
		if sub.unread != nil {
			return cannotRead(KindSubscription, sub.Name, sub.unread)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.tenants)) {
		if t := c.tenants[name]; t.Fault != nil {
			return cannotRead(KindTenant, name, t.Fault)
		}
	}
	return nil
}

func cannotRead(kind Kind, name string, why error) error {
	return fmt.Errorf("%s %q cannot be read here: update this process if a newer release wrote it, else apply it anew: %w", kind, name, why)
}

// newer is about an entry of a later schema, which may be about who gets what. One of an
// unknown kind alone is not: a release that adds a kind which is raises its schema.
func (s *State) newer() error {
	for _, e := range s.entries {
		if e.later {
			return fmt.Errorf("a newer release wrote %s %q: update this process", e.Kind, cmp.Or(e.Name, e.UID))
		}
	}
	return nil
}

// compileTenants keeps the same Tenant as long as nothing about it changes, so that
// its subscriptions need not be compiled anew.
func (c *Compiler) compileTenants(s *State) {
	tenants := make(map[string]*Tenant, len(c.tenants))
	for e := range s.All(KindTenant) {
		tenant := c.tenants[e.UID]
		if tenant == nil || tenant.Version != e.Version {
			tenant = c.known.tenant(e)
		}
		tenants[e.UID] = tenant
	}
	c.tenants = tenants
}

func (c *Compiler) source(e *Entry) *Source {
	uid, err := uuid.Parse(e.UID)
	spec, unread := e.Source()
	b := &builder{Options: c.o, sealed: e.binding(), retire: e.Retire}
	src := b.at("source", e.Name).source(spec)
	src.UID, src.Name, src.Version, src.Starts, src.Paused = uid, e.Name, e.Version, e.Starts, e.Paused
	if e.Tenant != "" {
		src.Tenant = constant(e.Tenant) // whatever its spec says: nobody makes another tenant's events
	}
	if src.Fault, src.unread = errors.Join(err, unread, b.err()), unread; unread != nil {
		src.Topic, src.Fault = "", errors.Join(err, unread) // what else is wrong is wrong with nothing
	}
	return src
}

// unowned is a source whose tenant is not there.
func (s *Source) unowned(tenant string) *Source {
	without := *s
	without.Fault = errors.Join(s.Fault, noTenant(tenant))
	return &without
}

func noTenant(name string) error {
	return fmt.Errorf("tenant: there is no tenant %q: make it, or remove what belongs to it", name)
}

func (c *Compiler) subscription(e *Entry) *Subscription {
	uid, err := uuid.Parse(e.UID)
	spec, unread := e.Subscription()
	b := &builder{Options: c.o, loose: true, sealed: e.binding(), retire: e.Retire, scheme: c.scheme}
	sub := b.at("subscription", e.Name).subscription(spec, c.known)
	c.scheme = b.scheme
	sub.UID, sub.Name, sub.Version, sub.Starts, sub.Paused = uid, e.Name, e.Version, e.Starts, e.Paused
	if sub.Fault, sub.unread = errors.Join(err, unread, b.err()), unread; unread != nil {
		sub.Fault = errors.Join(err, unread)
	}
	if e.Tenant == "" {
		return sub
	}
	sub.Tenant = e.Tenant // whatever its spec says: nobody gets another tenant's events
	switch sub.Owner = c.tenants[e.Tenant]; {
	case sub.Owner == nil:
		sub.Fault = errors.Join(sub.Fault, noTenant(e.Tenant))
	case sub.Owner.Fault != nil:
		sub.Fault = errors.Join(sub.Fault, sub.Owner.Fault)
	}
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
