package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"causeway/pkg/catalog"
)

// create writes a new entry, whose name must not be in use.
func (s *Server) create(ctx context.Context, v *visit, e *catalog.Entry) (*catalog.Entry, error) {
	c := &changing{s: s, v: v, place: standing(inSpec), plan: func(state *catalog.State) (catalog.Changes, error) {
		if err := unused(state, e.Kind, e.Tenant, e.Name, ""); err != nil {
			return catalog.Changes{}, err
		}
		return catalog.Changes{Put: []*catalog.Entry{e.Copy()}}, nil
	}}
	state, err := c.do(ctx)
	if err != nil {
		return nil, err
	}
	return written(state, e.Kind, e.UID)
}

// change writes an entry in another form; nil leaves it as it is.
func (s *Server) change(ctx context.Context, v *visit, how changing, make func(*catalog.State) (*catalog.Entry, error)) (*catalog.Entry, error) {
	var kind catalog.Kind
	var uid string
	c := &how
	c.s, c.v = s, v
	c.plan = func(state *catalog.State) (catalog.Changes, error) {
		next, err := make(state)
		if err != nil {
			return catalog.Changes{}, err
		}
		kind, uid = next.Kind, next.UID
		if old := state.Entry(kind, uid); old == next || len(catalog.Compare(old, next).Fields) == 0 && slices.Equal(secretsOf(old), secretsOf(next)) {
			return catalog.Changes{}, nil // it is so already
		}
		return catalog.Changes{Put: []*catalog.Entry{next}}, nil
	}
	state, err := c.do(ctx)
	if err != nil {
		return nil, err
	}
	return written(state, kind, uid)
}

// written is an entry that was written just now.
func written(state *catalog.State, kind catalog.Kind, uid string) (*catalog.Entry, error) {
	if e := state.Entry(kind, uid); e != nil {
		return e, nil
	}
	return nil, refuse(http.StatusConflict, "gone", "it was written, and somebody has removed it since")
}

// remove takes an entry out.
func (s *Server) remove(ctx context.Context, v *visit, kind catalog.Kind, in changeIn) error {
	want, err := ifMatch(in.IfMatch)
	if err != nil {
		return err
	}
	c := &changing{s: s, v: v, place: standing(inPath), plan: func(state *catalog.State) (catalog.Changes, error) {
		e, err := findSpec(state, v, kind, in.ID, want)
		if err != nil {
			return catalog.Changes{}, err
		}
		return catalog.Changes{Remove: []*catalog.Entry{e}}, nil
	}}
	_, err = c.do(ctx)
	return err
}

// pause pauses or resumes an entry, whichever set it belongs to.
func (s *Server) pause(ctx context.Context, v *visit, kind catalog.Kind, id string, paused bool) (*catalog.Entry, error) {
	verb, _ := stateVerb(paused)
	return s.change(ctx, v, changing{place: standing("path.id"), action: verb, minds: nothing}, func(state *catalog.State) (*catalog.Entry, error) {
		e, err := findOwn(state, v, kind, id)
		if err != nil {
			return nil, err
		}
		if err := readable(e); err != nil || e.Paused == paused {
			return e, err
		}
		next := touched(e, v)
		next.Paused = paused
		return next, nil
	})
}

// findOwn finds an entry that the caller may run. A tenant may see more sources than
// it owns, and is told that those are not its own.
func findOwn(state *catalog.State, v *visit, kind catalog.Kind, id string) (*catalog.Entry, error) {
	if kind != catalog.KindSource {
		return find(state, v, kind, id)
	}
	e, err := findSource(state, v, id)
	if err == nil && v.tenant != "" && e.Tenant != v.tenant {
		return nil, refuse(http.StatusForbidden, "operator_only", "the source %q is shared: only the operator runs it", e.Name)
	}
	return e, err
}

// findSource finds a source that the caller may see.
func findSource(state *catalog.State, v *visit, id string) (*catalog.Entry, error) {
	e := state.Entry(catalog.KindSource, id)
	if e == nil {
		e = state.Named(catalog.KindSource, "", id)
	}
	if e == nil || !sightOf(state, v).source(e) {
		return nil, notFound(catalog.KindSource, id)
	}
	return e, nil
}

// stays refuses another owner than the entry has.
func stays(e *catalog.Entry, tenants ...string) error {
	for _, tenant := range tenants {
		if tenant != "" && tenant != e.Tenant {
			return invalid([]catalog.Fault{{Path: []string{"body.tenant"}, Text: "an owner stays: make another one, and remove this"}})
		}
	}
	return nil
}

// respecified is the entry with another spec. Secrets that it has no more retire no
// more.
func respecified(v *visit, old *catalog.Entry, name string, secrets []string, spec any) (*catalog.Entry, error) {
	next := touched(old, v)
	next.Name = name
	maps.DeleteFunc(next.Retire, func(text string, _ time.Time) bool { return slices.Index(secrets, text) < 1 })
	return next, next.SetSpec(spec)
}

// mayChangeSecrets refuses other secrets than there are to whoever may not put any.
func mayChangeSecrets(v *visit, old *catalog.Entry, secrets []string) error {
	if slices.Equal(secretsOf(old), secrets) || v.rights[mayRotate] {
		return nil
	}
	return refuse(http.StatusForbidden, "forbidden", "other secrets need the right %s, which the key does not have", mayRotate)
}
