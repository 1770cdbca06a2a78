package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// naming are the subscriptions that would miss a source.
type naming []*Entry

// CheckRemove says why an entry must not be removed. A tenant is told of what is his
// own; what others want of his source is not his to keep.
func (c *Checker) CheckRemove(e *Entry, by Author) []Fault {
	x := checking{Checker: c, place: (&builder{}).at(), e: e, by: by}
	if by.Tenant != "" && (e.Tenant != by.Tenant || e.Kind == KindTenant) {
		x.fault("owner", "it belongs to somebody else")
		return x.faults
	}
	switch e.Kind {
	case KindTenant:
		x.stillOwns()
	case KindSource:
		if _, err := e.Source(); err != nil {
			x.fault("", "its settings cannot be read here, so nobody knows what it leaves in which topic: apply it anew first")
		}
		x.stillNamed()
	case KindSubscription, KindKey, KindOrphan:
	}
	return x.faults
}

func (x checking) stillOwns() {
	var names []string
	for _, kind := range []Kind{KindSource, KindSubscription, KindKey} {
		for e := range x.after.All(kind) {
			if e.Tenant == x.e.UID {
				names = append(names, fmt.Sprintf("%s %q", kind, e.Name))
			}
		}
	}
	if len(names) > 0 {
		x.fault("", "the tenant %q still has %s: remove them first, or with it", x.e.UID, list(names))
	}
}

func (x checking) stillNamed() {
	var names []string
	for _, sub := range x.namedBy()[x.e.Name] {
		if x.by.Tenant == "" || sub.Tenant == x.by.Tenant {
			names = append(names, fmt.Sprintf("%q", sub.Name))
		}
	}
	if len(names) > 0 {
		x.fault("", "subscriptions still name it or its topic: %s: change or remove them first, or with it", list(names))
	}
}

// list names a few and counts the others.
func list(names []string) string {
	const few = 10
	slices.Sort(names)
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// namedBy gives the subscriptions that name a source, or its topic when nobody else
// writes that, by the sources' names. A pattern may match nothing.
func (c *Checker) namedBy() map[string]naming {
	if c.named != nil {
		return c.named
	}
	c.named = map[string]naming{}
	gone := map[string][]string{} // topics that nobody writes after the changes: the sources that did
	for e := range c.before.All(KindSource) {
		spec, err := e.Source()
		if err == nil && !slices.ContainsFunc(c.known.writers[spec.topic()], func(name string) bool { return name != e.Name }) {
			gone[spec.topic()] = append(gone[spec.topic()], e.Name)
		}
	}
	for sub := range c.after.All(KindSubscription) {
		spec, err := sub.Subscription()
		if err != nil {
			continue // a later release's: it cannot be asked
		}
		sources := slices.Clone(spec.Sources)
		for _, topic := range spec.Topics {
			sources = append(sources, gone[topic]...)
		}
		slices.Sort(sources)
		for _, name := range slices.Compact(sources) {
			c.named[name] = append(c.named[name], sub)
		}
	}
	return c.named
}
