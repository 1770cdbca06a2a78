package seen

import "hash/maphash"

// index finds the place of a fingerprint in a ring: a hash table with linear probing,
// never more than half full. A map would hold each fingerprint a second time and takes
// two and a half times the memory of the whole window, where there may be a million.
type index struct {
	seed  maphash.Seed // strangers choose what is fingerprinted, and could choose a million for one slot
	slots []uint32     // place + 1; 0 is empty; the length is a power of two
}

func newIndex() index { return index{seed: maphash.MakeSeed()} }

// home is the slot where the search for f begins.
func (x *index) home(f Fingerprint) int {
	return int(maphash.Bytes(x.seed, f[:]) & uint64(len(x.slots)-1))
}

// slot returns where f is, or the empty slot where it would be put.
func (x *index) slot(f Fingerprint, r *ring) int {
	s := x.home(f)
	for x.slots[s] != 0 && r.at(int(x.slots[s]-1)).fingerprint != f {
		s = x.next(s)
	}
	return s
}

func (x *index) next(s int) int { return (s + 1) & (len(x.slots) - 1) }

// find returns the place of f in r.
func (x *index) find(f Fingerprint, r *ring) (int, bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	s := x.slots[x.slot(f, r)]
	return int(s) - 1, s != 0
}

// insert adds the entry in place, whose fingerprint is not in the index.
func (x *index) insert(place int, r *ring) {
	x.slots[x.slot(r.at(place).fingerprint, r)] = uint32(place + 1) // a ring of 2^32 entries would take 128 GiB
}

// remove takes f out and moves what was put further on because of it back towards home.
// Marking the slot instead would fill the table with marks: as many leave as come.
func (x *index) remove(f Fingerprint, r *ring) {
	hole := x.slot(f, r)
	mask := len(x.slots) - 1
	for s := x.next(hole); x.slots[s] != 0; s = x.next(s) {
		home := x.home(r.at(int(x.slots[s] - 1)).fingerprint)
		// It may fill the hole unless its home lies behind the hole, going round.
		if (s-home)&mask >= (s-hole)&mask {
			x.slots[hole] = x.slots[s]
			hole = s
		}
	}
	x.slots[hole] = 0
}

// rebuild makes the index for r anew, with room for as many as r can hold.
func (x *index) rebuild(r *ring) {
	size := 1
	for size < 2*len(r.entries) {
		size *= 2
	}
	x.slots = make([]uint32, size)
	for i := range r.count {
		x.insert((r.first+i)%len(r.entries), r)
	}
}
