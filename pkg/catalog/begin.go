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
	case KindTenant, KindKey:
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
// it, and forgets those that it does not read any more: one that is taken out and put
// back is new. The offsets are those that ends gives, asked once for all topics, the
// end of each partition's log at a moment after the state was read; of a topic that is
// not there yet it gives none.
//
// What an entry read before it goes on reading where it stands, whether its Starts
// name the topic or not: a subscription by prefix* got it with the source. A source
// that joins others in their topic declares nothing: the topic begins where the first
// of them did, also when that one goes and this one stays. And in a catalog that was
// never written nothing begins: what the process file had until now goes on where the
// group's commits are, and anything else at the oldest.
func (c *Checker) Begin(ch Changes, ends func(topics []string) (map[string][]int64, error)) error {
	if c.before.Unwritten() {
		return nil
	}
	with := c.With(ch)
	fresh := map[*Entry][]string{}
	asked := map[string]bool{}
	for _, e := range ch.Put {
		reads := with.Topics(e)
		var before []string
		if old := c.before.Entry(e.Kind, e.UID); old != nil && !old.newer {
			before = c.Topics(old)
		}
		maps.DeleteFunc(e.Starts, func(topic string, _ Start) bool {
			_, reading := slices.BinarySearch(reads, topic)
			return !reading
		})
		for _, topic := range reads {
			if _, reading := slices.BinarySearch(before, topic); !reading {
				delete(e.Starts, topic) // of an earlier time: it is a birth again
				if e.Kind == KindSource && c.joins(e, topic) {
					continue
				}
				fresh[e] = append(fresh[e], topic)
				asked[topic] = true
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	offsets, err := ends(slices.Sorted(maps.Keys(asked)))
	if err != nil {
		return err
	}
	for e, topics := range fresh {
		for _, topic := range topics {
			e.Begin(topic, offsets[topic])
		}
	}
	return nil
}

// joins says whether other sources write the topic already, and lets the source carry on
// what the first of them says of its beginning. One that says nothing was there before
// anything began, as those of a process file were.
func (c *Checker) joins(e *Entry, topic string) bool {
	var first *Start
	there := false
	for _, name := range c.known.writers[topic] {
		old := c.before.Named(KindSource, "", name)
		if old == nil || old.UID == e.UID {
			continue
		}
		start, begun := old.Starts[topic]
		if !begun {
			return true
		}
		if there = true; first == nil || start.Added < first.Added {
			first = &start
		}
	}
	if there {
		if e.Starts == nil {
			e.Starts = map[string]Start{}
		}
		e.Starts[topic] = *first
	}
	return there
}
