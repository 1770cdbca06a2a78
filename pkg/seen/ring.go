package seen

// ring is a queue of entries in a slice that is used round and round. The place of an
// entry stays the same until the ring grows.
type ring struct {
	entries []entry
	first   int // place of the oldest
	count   int
}

// at returns the entry in a place, to be changed there.
func (r *ring) at(place int) *entry { return &r.entries[place] }

func (r *ring) full() bool { return r.count == len(r.entries) }

// push puts e behind the newest and returns its place. The ring must not be full.
func (r *ring) push(e entry) int {
	place := r.first + r.count
	if place >= len(r.entries) {
		place -= len(r.entries)
	}
	r.entries[place] = e
	r.count++
	return place
}

// drop removes the oldest.
func (r *ring) drop() {
	r.first++
	if r.first == len(r.entries) {
		r.first = 0
	}
	r.count--
}

// grow doubles the ring, up to limit, and lays it straight: every place changes.
func (r *ring) grow(limit int) {
	bigger := make([]entry, min(limit, max(64, 2*len(r.entries))))
	n := copy(bigger, r.entries[r.first:])
	copy(bigger[n:], r.entries[:r.first])
	r.entries, r.first = bigger, 0
}
