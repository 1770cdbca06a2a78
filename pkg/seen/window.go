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
// A Window is not safe for concurrent use.
type Window struct {
	age     int64 // milliseconds, the resolution of record times
	limit   int
	marks   map[Fingerprint]mark
	order   []Fingerprint // a ring, oldest first; one entry for each key of marks
	head    int
	evicted int64
}

// mark is what is known of one fingerprint: 16 bytes without pointers, because there are
// a million of them and the collector need not walk them.
type mark struct {
	offset int64 // the smallest seen
	packed int64 // the newest sighting in Unix milliseconds, times two; the last bit: renewed
}

func (m mark) at() int64     { return m.packed >> 1 }
func (m mark) renewed() bool { return m.packed&1 != 0 }

func newMark(offset, at int64) mark { return mark{offset, at << 1} }

// renew is m sighted again: no longer as old as its place in the ring says.
func (m mark) renew(offset, at int64) mark { return mark{offset, max(at, m.at())<<1 | 1} }

// NewWindow returns a window that remembers for age, but never more than limit
// fingerprints (at least one).
func NewWindow(age time.Duration, limit int) *Window {
	return &Window{
		age:   age.Milliseconds(),
		limit: max(limit, 1),
		marks: make(map[Fingerprint]mark),
	}
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
	m, known := w.marks[f]
	switch {
	case !known:
		w.makeRoom(now)
		w.push(f)
		w.marks[f] = newMark(offset, now)
		return false
	case now-m.at() > w.age, offset < m.offset && m.at()-now > w.age:
		// Out of each other's reach, so two things. The one being read now counts:
		// what follows it in the log is compared with it.
		w.marks[f] = newMark(offset, now).renew(offset, now)
		return false
	case offset < m.offset:
		// Reading went back: what was the first becomes a copy.
		w.marks[f] = m.renew(offset, now)
		return false
	case offset == m.offset:
		return false // the same record once more is no copy of itself
	default:
		w.marks[f] = m.renew(m.offset, now)
		return true
	}
}

// Evicted counts the fingerprints that had to go before their time because the window
// was full. While it grows, copies may pass.
func (w *Window) Evicted() int64 { return w.evicted }

// makeRoom forgets what is too old to matter, and one more if the window is still full.
func (w *Window) makeRoom(now int64) {
	for range min(sweep, len(w.marks)) {
		f := w.order[w.head]
		m := w.marks[f]
		switch {
		case now-m.at() > w.age, m.at()-now > w.age: // or from a clock far ahead: else it would hold up all behind it
			w.drop(f)
		case m.renewed():
			// Alive, but at the head only because it came early: to the back with it,
			// or an identity repeated for ever keeps everything behind it for ever.
			w.drop(f)
			w.push(f)
			w.marks[f] = newMark(m.offset, m.at())
		default:
			w.evict()
			return
		}
	}
	w.evict()
}

// evict drops the oldest if the window is full.
func (w *Window) evict() {
	if len(w.marks) >= w.limit {
		w.drop(w.order[w.head])
		w.evicted++
	}
}

// drop removes f, which is the oldest.
func (w *Window) drop(f Fingerprint) {
	delete(w.marks, f)
	w.head = (w.head + 1) % len(w.order)
}

// push puts f behind the newest.
func (w *Window) push(f Fingerprint) {
	n := len(w.marks)
	if n == len(w.order) {
		w.grow()
	}
	w.order[(w.head+n)%len(w.order)] = f
}

// grow doubles the ring and lays it straight.
func (w *Window) grow() {
	bigger := make([]Fingerprint, min(w.limit, max(64, 2*len(w.order))))
	n := copy(bigger, w.order[w.head:])
	copy(bigger[n:], w.order[:w.head])
	w.order, w.head = bigger, 0
}
