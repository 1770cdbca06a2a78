package admin

import (
	"maps"
	"slices"

	"causeway/pkg/catalog"
)

// sight is what a caller may see beside what is its own: the operator everything, a
// tenant what its entry allows now.
type sight struct {
	operator bool
	tenant   string
	spec     catalog.TenantSpec
	reach    map[string]bool // topics of the sources that it may see
	others   map[string]bool // topics that other tenants alone write
}

func sightOf(state *catalog.State, v *visit) sight {
	if v.tenant == "" {
		return sight{operator: true}
	}
	g := sight{tenant: v.tenant}
	e := state.Entry(catalog.KindTenant, v.tenant)
	if e == nil {
		return g
	}
	spec, err := e.TenantSpec()
	if err == nil {
		g.spec = spec
	}
	return g
}

// source says whether the caller may know of a source. What is another tenant's own is
// nobody else's, whatever pattern holds for it.
func (g sight) source(e *catalog.Entry) bool {
	return g.operator || !e.Newer() && (e.Tenant == g.tenant || e.Tenant == "" && matches(g.spec.Sources, e.Name))
}

// topics adds the topics that sources let the caller know of.
func (g sight) topics(state *catalog.State) sight {
	g.reach, g.others = map[string]bool{}, map[string]bool{}
	shared := map[string]bool{}
	for e := range state.All(catalog.KindSource) {
		spec, err := e.Source()
		switch {
		case err != nil:
		case e.Tenant == "" || e.Tenant == g.tenant:
			shared[topicOf(spec)] = true
		default:
			g.others[topicOf(spec)] = true
		}
		if err == nil && (e.Tenant == g.tenant || len(g.spec.Topics) == 0 && g.source(e)) {
			g.reach[topicOf(spec)] = true
		}
	}
	for e := range state.All(catalog.KindOrphan) {
		spec, err := e.Orphan()
		for _, w := range spec.Writers {
			if w.Owner == "" || w.Owner == g.tenant {
				shared[e.UID] = true
			}
			if w.Owner == g.tenant {
				g.reach[e.UID] = true
			}
		}
		g.others[e.UID] = err != nil || len(spec.Writers) > 0
	}
	maps.DeleteFunc(g.others, func(topic string, _ bool) bool { return shared[topic] })
	return g
}

// topic says whether the caller may know of a topic.
func (g sight) topic(name string) bool {
	return g.operator || g.reach[name] || !g.others[name] && matches(g.spec.Topics, name)
}

func matches(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return catalog.Matches(pattern, text) })
}
