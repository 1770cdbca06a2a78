package catalog

import "slices"

// TenantSpec is a tenant as the operator writes it down: somebody who has sources,
// subscriptions and keys of their own and sees nothing of anybody else's.
type TenantSpec struct {
	Name             string   `json:"name" doc:"Name of the tenant, as its events carry it."`
	Sources          []string `json:"sources,omitempty" doc:"Sources whose events its subscriptions may get, exact or prefix*, beside its own; only those of this tenant's events. None when left out."`
	Topics           []string `json:"topics,omitempty" doc:"Topics that its subscriptions may name, exact or prefix*, beside those of its own sources. The topics of its allowed sources when left out."`
	MaxSubscriptions int      `json:"max_subscriptions,omitempty" minimum:"0" doc:"How many subscriptions it may have; no limit when left out."`
	Rate             Rate     `json:"rate,omitempty" doc:"Deliveries of all its subscriptions together and per process, like 500/s; no limit when left out."`
}

// Tenant is a tenant ready for use. It is immutable and safe for concurrent use.
type Tenant struct {
	Name    string
	Version int64 // catalog version that made this form of it
	Fault   error // why it cannot be used in this process; nil: it can

	MaxSubscriptions int     // 0: no limit
	Rate             float64 // deliveries per second of all its subscriptions in this process; 0: no limit

	sources []string // exact or prefix*
	topics  []string // exact or prefix*; none: those of its sources
	known   *known   // the sources that there are
}

// AllowsSource says whether events of that source may go to the tenant's
// subscriptions.
func (t *Tenant) AllowsSource(name string) bool {
	return t.owns(name) || matchesAny(t.sources, name)
}

// Allows says whether events that the source wrote to the topic may go to the tenant's
// subscriptions: what a source of the tenant's own left there may, too.
func (t *Tenant) Allows(topic, source string) bool {
	return t.AllowsSource(source) || slices.Contains(t.known.left[topic], OrphanWriter{source, t.Name})
}

// AllowsTopic says whether the tenant's subscriptions may read the topic. Who is not
// allowed its source gets nothing of it all the same.
func (t *Tenant) AllowsTopic(topic string) bool {
	if matchesAny(t.topics, topic) {
		return true
	}
	return slices.ContainsFunc(t.known.writers[topic], func(source string) bool {
		return t.owns(source) || len(t.topics) == 0 && t.AllowsSource(source)
	}) || slices.ContainsFunc(t.known.left[topic], func(w OrphanWriter) bool {
		return w.Owner == t.Name || len(t.topics) == 0 && w.Owner == "" && matchesAny(t.sources, w.Source)
	})
}

func (t *Tenant) owns(source string) bool { return t.known.sources[source].owner == t.Name }

func matchesAny(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Matches(p, text) })
}

// tenant makes a tenant of its entry and of the sources that there are. One that
// cannot be read is allowed nothing but what is its own.
func (k *known) tenant(e *Entry) *Tenant {
	spec, unread := e.TenantSpec()
	return &Tenant{
		Name: e.UID, Version: e.Version, Fault: unread,
		MaxSubscriptions: spec.MaxSubscriptions, Rate: float64(spec.Rate),
		sources: spec.Sources, topics: spec.Topics, known: k,
	}
}
