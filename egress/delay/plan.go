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

// Grain is how exact UpTo is.
const Grain = 5 * time.Second

// UpTo makes a wait of whole tiers, longest first: the largest sum that is not above it
// and is one of the grain, which is also the least. It may take many tiers, unlike Plan:
// it is for those who come one by one, and would come all at once otherwise.
func UpTo(wait time.Duration) []Tier {
	var plan []Tier
	for _, t := range slices.Backward(Tiers()) {
		for ; t.Wait >= Grain && t.Wait <= wait; wait -= t.Wait {
			plan = append(plan, t)
		}
	}
	if len(plan) == 0 {
		least, _ := Find("5s")
		plan = append(plan, least)
	}
	return plan
}

func sum(tiers []Tier) (total time.Duration) {
	for _, t := range tiers {
		total += t.Wait
	}
	return total
}
