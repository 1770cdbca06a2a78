package catalog

import (
	"iter"
	"maps"
	"slices"
)

// State is the whole catalog at one version. It is immutable.
type State struct {
	// Version is the offset behind the last record that was read, markers of
	// transactions included; 0 before anything was written. It only rises.
	Version int64

	written bool // a change was ever committed
	entries map[string]*Entry
	names   map[nameKey]string // key of the entry
}

// nameKey is what a name must be unique in. Sources share one room, because the name
// is a part of the URL; each tenant has a room of its own for subscriptions, so that
// nobody learns from a refusal what others have.
type nameKey struct {
	kind         Kind
	tenant, name string
}

func roomOf(e *Entry) nameKey {
	if e.Kind == KindSubscription {
		return nameKey{e.Kind, e.Tenant, e.Name}
	}
	return nameKey{e.Kind, "", e.Name}
}

// emptyState is a catalog in which nothing was ever written.
func emptyState() *State {
	return &State{entries: map[string]*Entry{}, names: map[nameKey]string{}}
}

// Unwritten says that no change was ever written. A version above 0 does not say the
// opposite: a try that was aborted, the very first one even, leaves its marker. One case
// is not told from it: an emptied catalog in which tries were only aborted until
// compaction had taken the marker of the last change as well, a week later.
func (s *State) Unwritten() bool { return !s.written }

// Entry gives the entry of that kind and uid, or nil.
func (s *State) Entry(kind Kind, uid string) *Entry { return s.entries[EntryKey(kind, uid)] }

// Named gives the entry of that kind, owner and name, or nil. Sources, tenants and
// keys have one name each, whoever owns them.
func (s *State) Named(kind Kind, tenant, name string) *Entry {
	return s.entries[s.names[roomOf(&Entry{Kind: kind, Tenant: tenant, Name: name})]]
}

// Len is how many entries there are.
func (s *State) Len() int { return len(s.entries) }

// All gives the entries of one kind in no order.
func (s *State) All(kind Kind) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, e := range s.entries {
			if e.Kind == kind && !yield(e) {
				return
			}
		}
	}
}

// Sorted gives the entries of one kind in the order of their uids.
func (s *State) Sorted(kind Kind) []*Entry {
	return slices.SortedFunc(s.All(kind), func(a, b *Entry) int {
		if a.UID < b.UID {
			return -1
		}
		return 1
	})
}

// record is one record of the catalog, read; a nil entry takes its key out.
type record struct {
	key   string
	entry *Entry
}

// with gives the state after the records of one change.
func (s *State) with(version int64, records []record) *State {
	if len(records) == 0 {
		next := *s
		next.Version = version
		return &next
	}
	next := &State{Version: version, written: true, entries: maps.Clone(s.entries), names: maps.Clone(s.names)}
	next.apply(records)
	return next
}

// apply changes a state that nobody else has seen yet.
func (s *State) apply(records []record) {
	for _, r := range records {
		if old := s.entries[r.key]; old != nil && s.names[roomOf(old)] == r.key {
			delete(s.names, roomOf(old))
		}
		if r.entry == nil {
			delete(s.entries, r.key)
			continue
		}
		s.entries[r.key] = r.entry
		if !r.entry.newer || r.entry.Name != "" {
			s.names[roomOf(r.entry)] = r.key
		}
	}
}
