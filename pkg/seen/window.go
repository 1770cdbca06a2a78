// Package seen remembers 128-bit fingerprints of recent things, bounded by age and count.
package seen

import "time"

// sweep is how many of the oldest fingerprints one call looks at. It must be above one,
// so that a full window shrinks, and small: one record with a clock that is years ahead
// then makes the window forget a handful, not everything.
const sweep = 4

// Window knows which fingerprints a log held lately and at which offset. What it answers
// depends on the log alone, not on when or how often the log is read, as long as the
// reading began one age before the record asked about: so each new owner of a partition
// decides as the last one did.
//
// It takes about 40 bytes for each fingerprint. A Window is not safe for concurrent use.
type Window struct {
	age     int64 // milliseconds, the resolution of record times
	limit   int
	ring    ring
	index   index
	evicted int64
}

// entry is what is known of one fingerprint. It has no pointers, so that the collector
// never walks a window.
type entry struct {
	fingerprint Fingerprint
	offset      int64 // the smallest seen
	packed      int64 // the newest sighting in Unix milliseconds, times two; the last bit: renewed
}

func (e *entry) at() int64     { return e.packed >> 1 }
func (e *entry) renewed() bool { return e.packed&1 != 0 }

// see notes that the fingerprint was sighted again and that the entry is therefore not as
// old as its place in the ring says.
func (e *entry) see(offset, at int64) { e.offset, e.packed = offset, at<<1|1 }

// NewWindow returns a window that remembers for age, but never more than limit
// fingerprints (at least one).
func NewWindow(age time.Duration, limit int) *Window {
	return &Window{age: age.Milliseconds(), limit: max(limit, 1), index: newIndex()}
}

// Earlier reports whether the log holds f at a smaller offset, not more than the
// window's age before at. It remembers f either way: a copy renews what it copies, for
// otherwise the answer for the third of three would depend on whether the first had
// already left the window.
//
// Times are record times. A smaller offset with a later time, as two writers' clocks
// make them, counts as earlier.
func (w *Window) Earlier(f Fingerprint, offset int64, at time.Time) bool {
	now := at.UnixMilli()
	place, known := w.index.find(f, &w.ring)
	if !known {
		w.makeRoom(now)
		w.add(entry{f, offset, now << 1})
		return false
	}
	e := w.ring.at(place)
	switch {
	case now-e.at() > w.age, offset < e.offset && e.at()-now > w.age:
		// Out of each other's reach, so two things. The one being read now counts:
		// what follows it in the log is compared with it.
		e.see(offset, now)
		return false
	case offset < e.offset:
		// Reading went back: what was the first becomes a copy.
		e.see(offset, max(now, e.at()))
		return false
	case offset == e.offset:
		return false // the same record once more is no copy of itself
	default:
		e.see(e.offset, max(now, e.at()))
		return true
	}
}

// Evicted counts the fingerprints that had to go before their time because the window
// was full. While it grows, copies may pass.
func (w *Window) Evicted() int64 { return w.evicted }

// makeRoom forgets what is too old to matter, and one more if the window is still full.
func (w *Window) makeRoom(now int64) {
	for range min(sweep, w.ring.count) {
		e := *w.ring.at(w.ring.first)
		switch {
		case now-e.at() > w.age, e.at()-now > w.age: // or from a clock far ahead: else it would hold up all behind it
			w.dropOldest()
		case e.renewed():
			// Alive, but at the head only because it came early: to the back with it,
			// or an identity repeated for ever keeps everything behind it for ever.
			w.dropOldest()
			w.add(entry{e.fingerprint, e.offset, e.at() << 1})
		default:
			w.evict()
			return
		}
	}
	w.evict()
}

// evict drops the oldest if the window is full.
func (w *Window) evict() {
	if w.ring.count >= w.limit {
		w.dropOldest()
		w.evicted++
	}
}

func (w *Window) dropOldest() {
	w.index.remove(w.ring.at(w.ring.first).fingerprint, &w.ring)
	w.ring.drop()
}

func (w *Window) add(e entry) {
	if w.ring.full() {
		w.ring.grow(w.limit)
		w.index.rebuild(&w.ring)
	}
	w.index.insert(w.ring.push(e), &w.ring)
}
