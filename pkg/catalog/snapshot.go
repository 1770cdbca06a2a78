package catalog

import (
	"slices"

	"github.com/google/uuid"
)

// Snapshot is the catalog at one version. It is immutable.
type Snapshot struct {
	// Version is the catalog version; 0 while sources and subscriptions come
	// from the process file.
	Version       int64
	Sources       []*Source
	Subscriptions []*Subscription
	Tenants       map[string]*Tenant // by name
	Foreign       []*Foreign         // topics that causeway did not write
	Orphans       []Orphan           // topics whose sources are gone
	// Newer says that there is an entry that this release cannot read, mostly because a
	// later one wrote it, or that the catalog went back and is not followed any more:
	// nobody knows here who is to get which event. nil: neither.
	Newer error

	foreign       map[string]*Foreign
	sources       map[string]*Source
	subscriptions map[uuid.UUID]*Subscription
}

// NewSnapshot makes a snapshot of entries that are ready for use; their names and
// uids must be unique.
func NewSnapshot(version int64, sources []*Source, subscriptions []*Subscription) *Snapshot {
	s := &Snapshot{
		Version: version, Sources: sources, Subscriptions: subscriptions,
		sources:       make(map[string]*Source, len(sources)),
		subscriptions: make(map[uuid.UUID]*Subscription, len(subscriptions)),
	}
	for _, src := range sources {
		s.sources[src.Name] = src
	}
	for _, sub := range subscriptions {
		s.subscriptions[sub.UID] = sub
	}
	return s
}

// Source returns the source of that name, or nil.
func (s *Snapshot) Source(name string) *Source { return s.sources[name] }

// Subscription returns the subscription of that uid, or nil.
func (s *Snapshot) Subscription(uid uuid.UUID) *Subscription { return s.subscriptions[uid] }

// Topics returns the topics of all sources, each once, in the order of the sources, but
// for those that no source may have.
func (s *Snapshot) Topics() []string {
	var topics []string
	seen := map[string]bool{}
	for _, src := range s.Sources {
		if src.Topic != "" && !seen[src.Topic] {
			seen[src.Topic] = true
			topics = append(topics, src.Topic)
		}
	}
	return topics
}

// Readable returns the topics that egress reads, each once: those of the sources, those
// of sources that are gone, then the foreign ones.
func (s *Snapshot) Readable() []string {
	topics := s.Topics()
	for _, o := range s.Orphans {
		if !slices.Contains(topics, o.Topic) && s.foreign[o.Topic] == nil {
			topics = append(topics, o.Topic)
		}
	}
	for _, f := range s.Foreign {
		topics = append(topics, f.Topic)
	}
	return topics
}

// UID is the immutable id of an entry that the process file declares: a UUIDv5
// (RFC 9562) of its kind, "source" or "subscription", and its name.
func UID(kind, name string) uuid.UUID {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("causeway"))
	return uuid.NewSHA1(space, []byte(kind+"/"+name))
}
