package delay

import (
	"slices"
	"time"
)

// maxHops is how many tiers a wait is made of at most.
const maxHops = 3

// Plan makes a wait of whole tiers: the smallest sum of at most three that is
// not below it, with as few tiers as possible, longest first. A wait that is
// longer than three of the longest tier is cut to that.
func Plan(wait time.Duration) []Tier {
	tiers := Tiers()
	longest := tiers[len(tiers)-1]
	best := []Tier{longest, longest, longest}
	total := sum(best)
	var try func(chosen []Tier, from int)
	try = func(chosen []Tier, from int) {
		if s := sum(chosen); s >= wait && len(chosen) > 0 {
			if s < total || s == total && len(chosen) < len(best) {
				best, total = slices.Clone(chosen), s
			}
			return
		}
		if len(chosen) == maxHops {
			return
		}
		for i := from; i >= 0; i-- {
			try(append(chosen, tiers[i]), i)
		}
	}
	try(make([]Tier, 0, maxHops), len(tiers)-1)
	return best
}

func sum(tiers []Tier) (total time.Duration) {
	for _, t := range tiers {
		total += t.Wait
	}
	return total
}
