package catalog

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// known is what entries may refer to: sources by their names and topics, and topics
// that causeway does not write. Made once, it answers for 100,000 entries.
type known struct {
	sources map[string]knownSource
	topics  []string            // of the sources, those that are gone too, and foreign, each once, sorted
	writers map[string][]string // names of the sources of a topic
	foreign map[string]bool
	orphans []orphaned
	left    map[string][]OrphanWriter // who wrote a topic and is gone

	as   *Tenant // who asks: only what he may see is there; nil: the operator
	tell bool    // the operator asks for him, and is told what he may not see
}

// knownSource is what others need to know of a source.
type knownSource struct{ owner, topic string }

func newKnown(sources map[string]knownSource, orphans []orphaned, foreign []ForeignSpec) *known {
	k := &known{
		sources: sources, writers: map[string][]string{}, foreign: map[string]bool{},
		orphans: orphans, left: map[string][]OrphanWriter{},
	}
	topics := map[string]bool{}
	for name, src := range sources {
		topics[src.topic] = true
		k.writers[src.topic] = append(k.writers[src.topic], name)
	}
	for _, o := range orphans {
		topics[o.topic] = true
		k.left[o.topic] = append(k.left[o.topic], o.writer)
	}
	for _, f := range foreign {
		topics[f.Name], k.foreign[f.Name] = true, true
	}
	k.topics = slices.Sorted(maps.Keys(topics))
	return k
}

// seenBy is what a tenant may know of.
func (k *known) seenBy(t *Tenant, tell bool) *known {
	seen := *k
	seen.as, seen.tell = t, tell
	return &seen
}

// source gives what is known of a source, if anything is.
func (k *known) source(name string) (knownSource, bool) {
	src, ok := k.sources[name]
	return src, ok && (k.as == nil || !k.hidden(name) && k.as.AllowsSource(name))
}

// hidden says whether a source is another tenant's own. All its events are that one's,
// so that no pattern in what a tenant is allowed can have meant it.
func (k *known) hidden(name string) bool {
	owner := k.sources[name].owner
	return k.as != nil && owner != "" && owner != k.as.Name
}

// seen says whether he who asks may know of a topic: it is not when other tenants alone
// write it.
func (k *known) seen(topic string) bool {
	writers := k.writers[topic]
	if len(writers) == 0 && !k.foreign[topic] {
		return false // nobody writes it any more
	}
	return k.as == nil || k.as.AllowsTopic(topic) && (len(writers) == 0 || !every(writers, k.hidden))
}

func every(names []string, is func(string) bool) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !is(name) })
}

// noSource says that there is no source of that name, to a tenant in the same words
// whether it is missing or not for him.
func (k *known) noSource(name string) string {
	switch _, there := k.sources[name]; {
	case there && k.tell && k.hidden(name):
		return fmt.Sprintf("the source %q is not for the tenant %q: it belongs to %q, and so do all its events", name, k.as.Name, k.sources[name].owner)
	case there && k.tell:
		return fmt.Sprintf("the source %q is not for the tenant %q: allow it in the tenant's sources", name, k.as.Name)
	}
	return fmt.Sprintf("there is no source %q", name)
}

// noTopic says the same of a topic or of a pattern.
func (k *known) noTopic(pattern string) string {
	if k.as == nil {
		return fmt.Sprintf("%q is the topic of no source; one that causeway does not write is declared in egress.topics", pattern)
	}
	for topic := range k.matching(pattern) {
		if k.tell && (k.foreign[topic] || len(k.writers[topic]) > 0) {
			return fmt.Sprintf("%q is not for the tenant %q: allow it in the tenant's topics, or its source in the tenant's sources", pattern, k.as.Name)
		}
	}
	return fmt.Sprintf("%q is the topic of no source", pattern)
}

// matching gives the topics that a pattern holds for, whoever may see them.
func (k *known) matching(pattern string) iter.Seq[string] {
	prefix, many := strings.CutSuffix(pattern, "*")
	return func(yield func(string) bool) {
		i, found := slices.BinarySearch(k.topics, prefix)
		if !many {
			if found {
				yield(pattern)
			}
			return
		}
		for ; i < len(k.topics) && strings.HasPrefix(k.topics[i], prefix); i++ {
			if !yield(k.topics[i]) {
				return
			}
		}
	}
}

// has says whether a pattern holds for any topic.
func (k *known) has(pattern string) bool {
	for topic := range k.matching(pattern) {
		if k.seen(topic) {
			return true
		}
	}
	return false
}

// reads are the topics that a subscription reads now, each once, sorted. Those that
// its tenant may not see count as well: were they allowed later, it would begin where
// everybody stands then, not at the beginning of the topic.
func (k *known) reads(spec SubscriptionSpec) []string {
	topics := map[string]bool{}
	for _, pattern := range spec.Topics {
		for topic := range k.matching(pattern) {
			topics[topic] = true
		}
	}
	if len(spec.Topics) == 0 {
		for _, name := range spec.Sources {
			if src, ok := k.sources[name]; ok {
				topics[src.topic] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(topics))
}
