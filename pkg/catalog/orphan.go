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
// of some topics are that, or are no more. It refuses to let the operator have a topic
// in which a tenant's events wait: those of the new source could not be told from them.
func (c *Checker) Orphans(ch Changes, by string, now time.Time, drained func(topics []string) map[string]bool) (Changes, []Refusal, error) {
	left := c.left(ch)
	if len(left) == 0 && !slices.ContainsFunc(ch.Put, func(e *Entry) bool { return e.Kind == KindSource }) {
		return ch, nil, nil
	}
	ch.Put, ch.Remove = slices.Clip(ch.Put), slices.Clip(ch.Remove)
	for _, topic := range slices.Sorted(maps.Keys(left)) {
		e, err := c.orphan(topic, left[topic], now)
		if err != nil {
			return ch, nil, err
		}
		e.Changed, e.By = now, by
		ch.Put = append(ch.Put, e)
	}
	var old []string
	for e := range c.before.All(KindOrphan) {
		if left[e.UID] == nil && now.Sub(e.Changed) >= orphanFor {
			old = append(old, e.UID)
		}
	}
	if len(old) > 0 {
		slices.Sort(old)
		done := drained(old)
		old = slices.DeleteFunc(old, func(topic string) bool { return !done[topic] })
	}
	for _, topic := range old {
		ch.Remove = append(ch.Remove, c.before.Entry(KindOrphan, topic))
	}
	return ch, c.taken(ch, old), nil
}

// taken refuses the operator's new sources in topics where a tenant's events wait.
func (c *Checker) taken(ch Changes, done []string) (refusals []Refusal) {
	after := c.before.after(ch)
	for _, e := range ch.Put {
		if e.Kind != KindSource || e.Tenant != "" || c.before.Entry(e.Kind, e.UID) != nil {
			continue
		}
		spec, err := e.Source()
		if err != nil {
			continue
		}
		spec.Name = e.Name
		topic := spec.topic()
		o := after.Entry(KindOrphan, topic)
		if o == nil || slices.Contains(done, topic) {
			continue
		}
		orphan, err := o.Orphan()
		if err != nil {
			continue
		}
		for _, w := range orphan.Writers {
			if w.Owner != "" && after.Entry(KindTenant, w.Owner) != nil {
				refusals = append(refusals, Refusal{e, []Fault{{Path: []string{"topic"}, Text: fmt.Sprintf(
					"%q has events of the tenant %q, whose source %q is gone: name another topic, or wait until they are delivered, and a day at least", topic, w.Owner, w.Source)}}})
				break
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

// orphans are those of the state, with their writers in order.
func (s *State) orphans() (topics []Orphan, by []orphaned) {
	for _, e := range s.Sorted(KindOrphan) {
		spec, err := e.Orphan()
		if err != nil {
			continue // a later release wrote it
		}
		topics = append(topics, Orphan{e.UID, e.Starts})
		for _, w := range spec.Writers {
			by = append(by, orphaned{e.UID, w})
		}
	}
	return topics, by
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
	} else if first, begun, _ := c.declared(topic, ""); begun {
		e.Starts = map[string]Start{topic: first}
	}
	slices.SortFunc(writers, compareWriters)
	return e, e.SetSpec(OrphanSpec{Writers: writers})
}
