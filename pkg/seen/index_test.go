package seen

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The index against a map, with few fingerprints in a small ring, so that they come, go
// and collide all the time.
func TestIndexFindsWhatAMapFinds(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		limit := 1 + r.IntN(40)
		w := NewWindow(time.Hour, limit)
		want := map[Fingerprint]bool{}
		var order []Fingerprint
		for step := range 3000 {
			f := record{id: r.Uint64N(60)}.fingerprint()
			if r.IntN(4) == 0 && w.ring.count > 0 {
				w.dropOldest()
				delete(want, order[0])
				order = order[1:]
			} else if !want[f] && len(want) < limit {
				w.add(entry{fingerprint: f})
				want[f] = true
				order = append(order, f)
			}
			for id := range uint64(60) {
				f := record{id: id}.fingerprint()
				place, found := w.index.find(f, &w.ring)
				if found != want[f] {
					t.Fatalf("seed %d, step %d: found %v, want %v", seed, step, found, want[f])
				}
				if found && w.ring.at(place).fingerprint != f {
					t.Fatalf("seed %d, step %d: found another's place", seed, step)
				}
			}
		}
	}
}

func TestWindowIsSmall(t *testing.T) {
	w := NewWindow(time.Hour, 100_000)
	for i := range 200_000 {
		w.ask(record{uint64(i), int64(i), 0})
	}
	const entrySize = 32
	if got := cap(w.ring.entries)*entrySize + cap(w.index.slots)*4; got > 45*100_000 {
		t.Errorf("%d bytes for 100,000 fingerprints, want at most 45 each", got)
	}
}
