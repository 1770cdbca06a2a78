package admin

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"causeway/pkg/catalog"
)

// mostPage is how many bytes of specs a page has before it ends: then it has fewer
// entries than asked for, and a cursor.
const mostPage = 1 << 20

// listIn is what every list of entries can be asked for.
type listIn struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most; fewer, and a cursor, where entries are large."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next of the page before."`
	Tenant string `query:"tenant" maxLength:"100" doc:"Only what that tenant owns."`
	Set    string `query:"set" maxLength:"100" doc:"Only what belongs to that set of causeway apply."`
	Prefix string `query:"prefix" maxLength:"300" doc:"Only names that begin so."`
}

// listing is a list that somebody asks for.
type listing struct {
	listIn
	kind  string
	owner string // of the caller's key
}

type listOut[T any] struct{ Body Page[T] }

// ordered keeps the entries of the last state that was listed in their order, name
// first, so that a page of a large catalog does not sort it.
type ordered struct {
	mu    sync.Mutex
	state *catalog.State
	lists map[catalog.Kind][]*catalog.Entry
}

func (o *ordered) list(state *catalog.State, kind catalog.Kind) []*catalog.Entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != state {
		o.state, o.lists = state, map[catalog.Kind][]*catalog.Entry{}
	}
	list, ok := o.lists[kind]
	if !ok {
		list = slices.SortedFunc(state.All(kind), func(a, b *catalog.Entry) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
		})
		o.lists[kind] = list
	}
	return list
}

// page gives one page of the entries that the caller may see.
func page[T any](s *Server, v *visit, state *catalog.State, kind catalog.Kind, in listIn, sees func(*catalog.Entry) bool, show func(*catalog.Entry) T) (*listOut[T], error) {
	l := listing{in, string(kind), v.tenant}
	list, filter := s.ordered.list(state, kind), l.filter()
	if in.Cursor != "" {
		from, err := parseCursor(in.Cursor, filter)
		if err != nil {
			return nil, err
		}
		i, _ := slices.BinarySearchFunc(list, from, func(e *catalog.Entry, p position) int {
			if (position{e.Name, e.UID}).before(p) || e.Name == p.name && e.UID == p.uid {
				return -1
			}
			return 1
		})
		list = list[i:]
	}
	out := &listOut[T]{}
	out.Body.Items = []T{}
	var last *catalog.Entry
	size := 0
	for _, e := range list {
		owner, set := e.Tenant, e.Set
		if kind == catalog.KindTenant {
			owner = e.Name
		}
		if v.tenant != "" && owner != v.tenant {
			owner, set = "", "" // whose a shared one is, is not shown, and not to be guessed
		}
		if in.Tenant != "" && owner != in.Tenant || in.Set != "" && set != in.Set || !strings.HasPrefix(e.Name, in.Prefix) || !sees(e) {
			continue
		}
		if len(out.Body.Items) == in.Limit || size > mostPage {
			out.Body.Next = position{last.Name, last.UID}.cursor(filter)
			break
		}
		out.Body.Items = append(out.Body.Items, show(e))
		last, size = e, size+len(e.Spec)
	}
	return out, nil
}
