package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// OrphanSpec says who wrote a topic and does not any more. A source that goes leaves
// what was accepted for it and is not delivered yet: egress goes on reading its topic,
// and whoever might have its events still may. A source that comes to the topic later
// begins nothing there, but joins it.
type OrphanSpec struct {
	Writers []OrphanWriter `json:"writers"`
}

// OrphanWriter is one source that is gone.
type OrphanWriter struct {
	Source string `json:"source"`
	Owner  string `json:"owner,omitempty"` // tenant that it belonged to; "": the operator
}

// orphaned is a topic with one of those that wrote it.
type orphaned struct {
	topic  string
	writer OrphanWriter
}

// Orphan is a topic whose sources are gone, ready for use.
type Orphan struct {
	Topic  string
	Starts map[string]Start // as its sources had them
}

// orphanFor is how long an orphan stays at least. What processes accepted that had not
// heard of its source's end is in the topic long before.
const orphanFor = 24 * time.Hour

// Orphans adds to changes what becomes of the topics of sources that they take away,
// and takes out older orphans of which nothing is left to deliver: drained says which
// that are, given the versions of their entries. It refuses to let the operator have a
// source in the place of a tenant's: events of the one could not be told from what the
// other has left.
func (c *Checker) Orphans(ch Changes, by string, now time.Time, drained func(orphans map[string]int64) map[string]bool) (Changes, []Refusal) {
	left, made := c.left(ch), c.made(ch)
	if len(left) == 0 && len(made) == 0 {
		return ch, nil
	}
	var refusals []Refusal
	ch.Put, ch.Remove = slices.Clip(ch.Put), slices.Clip(ch.Remove)
	for _, topic := range slices.Sorted(maps.Keys(left)) {
		e, err := c.orphan(topic, left[topic], now)
		if err != nil {
			first := slices.IndexFunc(ch.Remove, func(e *Entry) bool { return e.Kind == KindSource })
			refusals = append(refusals, Refusal{ch.Remove[first], []Fault{{Text: err.Error()}}})
			continue
		}
		e.Changed, e.By = now, by
		ch.Put = append(ch.Put, e)
	}
	old := map[string]int64{}
	for e := range c.before.All(KindOrphan) {
		if left[e.UID] == nil && !e.newer && now.Sub(e.Changed) >= orphanFor {
			old[e.UID] = e.Version
		}
	}
	if len(old) > 0 {
		done := drained(old)
		for _, topic := range slices.Sorted(maps.Keys(old)) {
			if done[topic] {
				ch.Remove = append(ch.Remove, c.before.Entry(KindOrphan, topic))
			}
		}
	}
	return ch, append(refusals, c.taken(ch, made)...)
}

// made are the sources that the changes make, by their topics.
func (c *Checker) made(ch Changes) map[string][]*Entry {
	made := map[string][]*Entry{}
	for _, e := range ch.Put {
		if e.Kind != KindSource || c.before.Entry(e.Kind, e.UID) != nil {
			continue
		}
		if spec, err := e.Source(); err == nil {
			spec.Name = e.Name
			made[spec.topic()] = append(made[spec.topic()], e)
		}
	}
	return made
}

// taken refuses the operator's new sources that have the name and the topic of one that
// a tenant had.
func (c *Checker) taken(ch Changes, made map[string][]*Entry) (refusals []Refusal) {
	after := c.before.after(ch)
	for _, topic := range slices.Sorted(maps.Keys(made)) {
		o := after.Entry(KindOrphan, topic)
		if o == nil {
			continue
		}
		orphan, err := o.Orphan()
		if err != nil {
			continue // a later release wrote it: it is not used here
		}
		for _, e := range made[topic] {
			for _, w := range orphan.Writers {
				if e.Tenant == "" && w.Source == e.Name && w.Owner != "" {
					refusals = append(refusals, Refusal{e, []Fault{{Path: []string{"topic"}, Text: fmt.Sprintf(
						"%q has events of the tenant %q, whose source of the same name is gone: choose another name or another topic, or wait until they are delivered, and a day at least", topic, w.Owner)}}})
					break
				}
			}
		}
	}
	return refusals
}

// left are those whose topics lose them by the changes. A source keeps its topic for as
// long as it is there.
func (c *Checker) left(ch Changes) map[string][]OrphanWriter {
	left := map[string][]OrphanWriter{}
	for _, e := range ch.Remove {
		if e.Kind != KindSource {
			continue
		}
		spec, err := e.Source()
		if err != nil {
			continue // a later release wrote it, and has to know
		}
		spec.Name = e.Name
		left[spec.topic()] = append(left[spec.topic()], OrphanWriter{e.Name, e.Tenant})
	}
	return left
}

func compareWriters(a, b OrphanWriter) int {
	return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Owner, b.Owner))
}

// orphans are those of the state, with their writers in order, and one that a later
// release wrote, if there is any.
func (s *State) orphans() (topics []Orphan, by []orphaned, unread error) {
	for _, e := range s.Sorted(KindOrphan) {
		spec, err := e.Orphan()
		if err != nil {
			unread = cannotRead(KindOrphan, e.UID, err)
			continue
		}
		topics = append(topics, Orphan{e.UID, e.Starts})
		for _, w := range spec.Writers {
			by = append(by, orphaned{e.UID, w})
		}
	}
	return topics, by, unread
}

// orphan is the entry of a topic that these leave, with those that left it before.
func (c *Checker) orphan(topic string, writers []OrphanWriter, now time.Time) (*Entry, error) {
	e := &Entry{Kind: KindOrphan, UID: topic, Name: topic, Created: now}
	if old := c.before.Entry(KindOrphan, topic); old != nil {
		spec, err := old.Orphan()
		if err != nil {
			return nil, err
		}
		e = old.Copy()
		for _, w := range spec.Writers {
			if !slices.Contains(writers, w) {
				writers = append(writers, w)
			}
		}
	}
	e.Starts = nil // what was kept before may be of another log
	if first, begun, _ := c.declared(topic, "", Changes{}); begun {
		e.Starts = map[string]Start{topic: first}
	}
	slices.SortFunc(writers, compareWriters)
	return e, e.SetSpec(OrphanSpec{Writers: writers})
}
