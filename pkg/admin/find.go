package admin

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"causeway/pkg/catalog"
)

// itemIn names one entry by its name or uid.
type itemIn struct {
	ID          string `path:"id" maxLength:"300" doc:"Name or uid."`
	IfNoneMatch string `header:"If-None-Match" doc:"ETag that is known already: 304 when it still holds."`
}

// changeIn names one entry that is to be changed. Operations with a body write the
// same fields out: huma does not look into what is embedded without being exported.
type changeIn struct {
	ID      string `path:"id" maxLength:"300" doc:"Name or uid."`
	IfMatch string `header:"If-Match" doc:"ETag of the version that is meant: 412 when there is a newer one. Any when left out."`
}

// stateIn names one entry whose state is to be changed.
type stateIn struct {
	ID string `path:"id" maxLength:"300" doc:"Name or uid."`
}

// itemOut is one entry.
type itemOut[T any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   T
}

// createdOut is one entry that was made.
type createdOut[T any] struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     T
}

// find gives the entry of the name or uid that the caller owns, or, the operator,
// anybody's. Of several tenants' entries with one name only the uid says which.
func find(state *catalog.State, v *visit, kind catalog.Kind, id string) (*catalog.Entry, error) {
	if e := state.Entry(kind, id); e != nil && (v.tenant == "" || e.Tenant == v.tenant) {
		return e, nil
	}
	if e := state.Named(kind, v.tenant, id); e != nil && (v.tenant == "" || e.Tenant == v.tenant) {
		return e, nil
	}
	if v.tenant != "" || kind != catalog.KindSubscription {
		return nil, notFound(kind, id)
	}
	var found []*catalog.Entry
	for t := range state.All(catalog.KindTenant) {
		if e := state.Named(kind, t.Name, id); e != nil {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return nil, notFound(kind, id)
	case 1:
		return found[0], nil
	}
	p := refuse(http.StatusConflict, "ambiguous_name", "%d tenants have a %s %q: say which by its uid", len(found), kind, clip(id))
	slices.SortFunc(found, func(a, b *catalog.Entry) int {
		if a.Tenant < b.Tenant {
			return -1
		}
		return 1
	})
	for _, e := range found[:min(len(found), 20)] {
		p.Errors = append(p.Errors, ProblemItem{Location: "path.id", Message: e.UID + " is that of " + e.Tenant})
	}
	return nil, p
}

// findSpec finds an entry whose spec somebody wants to change.
func findSpec(state *catalog.State, v *visit, kind catalog.Kind, id string, want condition) (*catalog.Entry, error) {
	e, err := find(state, v, kind, id)
	if err != nil {
		return nil, err
	}
	if err := readable(e); err != nil {
		return nil, err
	}
	if e.Set != "" {
		return nil, refuse(http.StatusConflict, "belongs_to_set", "%s %q belongs to the set %q: change it in that set's file and run `causeway apply --set %s`; only its state (pause, resume) is changed here", kind, e.Name, e.Set, e.Set)
	}
	return e, want.holds(e)
}

// readable refuses what only a later release understands.
func readable(e *catalog.Entry) error {
	if e.Newer() {
		return refuse(http.StatusConflict, "newer_release", "%s was written by a newer release of causeway: update this one to change it", e.Key())
	}
	return nil
}

// touched is the entry as it shall be, changed by the visitor now.
func touched(e *catalog.Entry, v *visit) *catalog.Entry {
	next := e.Copy()
	next.Changed, next.By = time.Now().UTC(), v.who
	return next
}

// born is a new entry of the visitor's.
func born(kind catalog.Kind, v *visit, tenant, name string) *catalog.Entry {
	now := time.Now().UTC()
	return &catalog.Entry{Kind: kind, UID: catalog.NewUID(), Name: name, Tenant: tenant, Created: now, Changed: now, By: v.who}
}

// unused refuses a name that another entry of the same room has.
func unused(state *catalog.State, kind catalog.Kind, tenant, name, uid string) error {
	if other := state.Named(kind, tenant, name); other != nil && other.UID != uid {
		return refuse(http.StatusConflict, "name_taken", "there is a %s %q already: change it, or choose another name", kind, clip(name))
	}
	return nil
}

// owner is who shall own what the visitor makes.
func owner(v *visit, asked, written string) (string, error) {
	tenant := asked
	if tenant == "" {
		tenant = written
	}
	switch {
	case written != "" && written != tenant:
		return "", invalid([]catalog.Fault{{Path: []string{"body.spec.owner"}, Text: "it says another tenant than tenant: leave one of them out"}})
	case v.tenant == "" || tenant == "":
		return cmp.Or(tenant, v.tenant), nil
	case tenant != v.tenant:
		// Said of every other name, whether there is such a tenant or not.
		return "", invalid([]catalog.Fault{{Path: []string{"body.tenant"}, Text: "the key is of another tenant: leave it out"}})
	}
	return tenant, nil
}

// meta is what causeway knows of the entry. A tenant is not told who the operator's people
// are.
func (s *Server) meta(v *visit, e *catalog.Entry) Meta {
	by := e.By
	if v.tenant != "" {
		if key := s.o.Catalog.State().Entry(catalog.KindKey, by); key == nil || key.Tenant != v.tenant {
			by = ""
		}
	}
	return Meta{UID: e.UID, Version: e.Version, Tenant: e.Tenant, Set: e.Set, Created: e.Created, Changed: e.Changed, By: by}
}

// retiring are the secrets that end, those that have not.
func retiring(e *catalog.Entry, tenant bool) []Retiring {
	var list []Retiring
	now := time.Now()
	for i, text := range secretsOf(e) {
		if until, ok := e.Retire[text]; ok && now.Before(until) {
			list = append(list, Retiring{handle(text, i, tenant), until})
		}
	}
	return list
}
