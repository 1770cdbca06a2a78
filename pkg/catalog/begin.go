package catalog

import (
	"maps"
	"slices"
)

// Topics are the topics that an entry reads now, each once, sorted: all those that a
// subscription's patterns and sources stand for, whatever its tenant may see of them
// today, and a source's own.
func (c *Checker) Topics(e *Entry) []string {
	switch e.Kind {
	case KindSource:
		if spec, err := e.Source(); err == nil {
			return []string{spec.topic()}
		}
	case KindSubscription:
		if spec, err := e.Subscription(); err == nil {
			return c.known.reads(spec)
		}
	case KindTenant, KindKey, KindOrphan:
	}
	return nil
}

// Begin says where the entry begins in a topic: at these offsets, by partition, the
// ends of the log now. Where that was said before, it stays.
func (e *Entry) Begin(topic string, offsets []int64) {
	if _, there := e.Starts[topic]; there {
		return
	}
	if e.Starts == nil {
		e.Starts = map[string]Start{}
	}
	e.Starts[topic] = Start{Offsets: offsets}
}

// Begin says of each entry that is put where it begins in the topics that are new to
// it, and forgets those that the change takes out: one that is put back is new. A start in
// a topic that nobody knows here stays: an admin with another process file, or a newer
// one, may know it, and one that says nothing any more does no harm. The offsets are those
// that ends gives, asked once for all topics, the end of each partition's log at a moment
// after the state was read; of a topic that is not there yet it gives none.
//
// What an entry read before it goes on reading where it stands, whether its Starts
// name the topic or not: a subscription by prefix* got it with the source. A source
// that joins others in their topic declares nothing: the topic begins where the first
// of them did, also when that one goes and this one stays. And in a catalog that was
// never written nothing begins: what the process file had until now goes on where the
// group's commits are, and anything else at the oldest. Only in topics that causeway does
// not write do subscriptions begin even then, where the group stands: egress reads those
// without anybody wanting them, and is further when it hears of the subscription.
func (c *Checker) Begin(ch Changes, logs Logs) error {
	if c.before.Unwritten() {
		return c.beginFirst(ch, logs)
	}
	with := c.With(ch)
	fresh := map[*Entry][]string{}
	asked := map[string]bool{}
	for _, e := range ch.Put {
		if e.Kind == KindOrphan {
			continue // keeps what its sources said
		}
		reads := with.Topics(e)
		var before []string
		if old := c.before.Entry(e.Kind, e.UID); old != nil && !old.newer {
			before = c.Topics(old)
		}
		for _, topic := range before {
			if _, reading := slices.BinarySearch(reads, topic); !reading {
				delete(e.Starts, topic)
			}
		}
		for _, topic := range reads {
			if _, reading := slices.BinarySearch(before, topic); !reading {
				delete(e.Starts, topic) // of an earlier time: it is a birth again
				fresh[e] = append(fresh[e], topic)
				asked[topic] = true
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	offsets, err := logs.Ends(slices.Sorted(maps.Keys(asked)))
	if err != nil {
		return err
	}
	for e, topics := range fresh {
		for _, topic := range topics {
			if e.Kind != KindSource || !c.joins(e, topic, offsets[topic], ch) {
				e.Begin(topic, offsets[topic])
			}
		}
	}
	return nil
}

// Logs is what Kafka knows of topics: offsets by partition, none of a topic that is not
// there.
type Logs struct {
	Ends      func(topics []string) (map[string][]int64, error) // the ends
	Committed func(topics []string) (map[string][]int64, error) // what egress has committed; -1: nothing
}

// beginFirst is Begin in a catalog that was never written.
func (c *Checker) beginFirst(ch Changes, logs Logs) error {
	with := c.With(ch)
	wanted := map[string][]*Entry{}
	for _, e := range ch.Put {
		for _, topic := range with.Topics(e) {
			if e.Kind == KindSubscription && c.known.foreign[topic] {
				wanted[topic] = append(wanted[topic], e)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	topics := slices.Sorted(maps.Keys(wanted))
	ends, err := logs.Ends(topics)
	if err != nil {
		return err
	}
	committed, err := logs.Committed(topics)
	if err != nil {
		return err
	}
	for _, f := range c.o.Foreign {
		offsets := make([]int64, len(ends[f.Name]))
		for id, end := range ends[f.Name] {
			switch at := committed[f.Name]; {
			case id < len(at) && at[id] >= 0:
				offsets[id] = at[id]
			case f.Start == "latest":
				offsets[id] = end
			}
		}
		for _, e := range wanted[f.Name] {
			e.Begin(f.Name, offsets)
		}
	}
	return nil
}

// joins says whether others write the topic already, or did, and lets the source carry on
// what the first of them says of its beginning. When its sources are gone the topic may be
// too, and what ends below where it began is another of its name.
func (c *Checker) joins(e *Entry, topic string, ends []int64, ch Changes) bool {
	first, begun, there := c.declared(topic, e.UID, ch)
	if !there || len(c.known.writers[topic]) == 0 && beyond(first.Offsets, ends) {
		return false
	}
	if begun {
		if e.Starts == nil {
			e.Starts = map[string]Start{}
		}
		e.Starts[topic] = first
	}
	return true
}

// beyond says whether a log has fewer partitions than offsets are known of, or ends below
// one of these.
func beyond(offsets, ends []int64) bool {
	for id, offset := range offsets {
		if offset > 0 && (id >= len(ends) || ends[id] < offset) {
			return true
		}
	}
	return false
}

// declared gives what those that write the topic, but for one, say of its beginning; when
// there are none, what those said that did, unless the changes take the orphan out. One
// that says nothing was there before anything began, as those of a process file were: then
// it is not begun.
func (c *Checker) declared(topic, but string, ch Changes) (first Start, begun, there bool) {
	var before []*Entry
	for _, name := range c.known.writers[topic] {
		if e := c.before.Named(KindSource, "", name); e != nil && e.UID != but {
			before = append(before, e)
		}
	}
	if e := c.before.Entry(KindOrphan, topic); e != nil && len(before) == 0 && !slices.Contains(ch.Remove, e) {
		before = append(before, e)
	}
	for i, e := range before {
		start, ok := e.Starts[topic]
		if !ok {
			return Start{}, false, true
		}
		if i == 0 || start.Added < first.Added {
			first = start
		}
	}
	return first, len(before) > 0, len(before) > 0
}
