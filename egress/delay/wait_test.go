package delay

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func names(tiers []Tier) []string {
	var out []string
	for _, t := range tiers {
		out = append(out, t.Name)
	}
	return out
}

func TestTiersAreNamedForTheirWaits(t *testing.T) {
	last := time.Duration(0)
	for i, tier := range Tiers() {
		if d, err := time.ParseDuration(tier.Name); err != nil || d != tier.Wait {
			t.Errorf("tier %s waits %v", tier.Name, tier.Wait)
		}
		if tier.Wait <= last {
			t.Errorf("tier %s does not rise", tier.Name)
		}
		last = tier.Wait
		if found, ok := Find(tier.Name); !ok || found != tier || Names()[i] != tier.Name {
			t.Errorf("Find(%s) = %v, %t", tier.Name, found, ok)
		}
		if got := tier.Topic("causeway."); got != "causeway.delay."+tier.Name {
			t.Errorf("topic %s", got)
		}
	}
	if _, ok := Find("7s"); ok {
		t.Error("a tier was found that does not exist")
	}
}

// all lists every sum of one to three tiers.
func all() (plans [][]Tier) {
	for _, a := range Tiers() {
		plans = append(plans, []Tier{a})
		for _, b := range Tiers() {
			plans = append(plans, []Tier{a, b})
			for _, c := range Tiers() {
				plans = append(plans, []Tier{a, b, c})
			}
		}
	}
	return plans
}

func TestPlanIsTheSmallestSumThatIsLongEnough(t *testing.T) {
	plans := all()
	rnd := rand.New(rand.NewPCG(1, 2))
	var waits []time.Duration
	for _, p := range plans { // around every sum
		waits = append(waits, sum(p)-1, sum(p), sum(p)+1)
	}
	for range 2000 {
		waits = append(waits, time.Duration(rnd.Int64N(int64(72*time.Hour))))
	}
	for _, wait := range waits {
		if wait > 72*time.Hour {
			continue
		}
		best, hops := time.Duration(1<<62), 0
		for _, p := range plans {
			if s := sum(p); s >= wait && (s < best || s == best && len(p) < hops) {
				best, hops = s, len(p)
			}
		}
		got := Plan(wait)
		if sum(got) != best || len(got) != hops {
			t.Fatalf("Plan(%v) = %v, want a sum of %v in %d hops", wait, names(got), best, hops)
		}
		if !slices.IsSortedFunc(got, func(a, b Tier) int { return int(b.Wait - a.Wait) }) {
			t.Fatalf("Plan(%v) = %v is not longest first", wait, names(got))
		}
	}
}

// Whatever hops are late by, a wait never ends before it was planned to, and takes
// no hop more than its plan when they are in time.
func TestAWaitNeverEndsEarly(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		wait := time.Duration(rnd.Int64N(int64(72 * time.Hour)))
		start := time.Unix(1_800_000_000, 0)
		plan := Plan(wait)
		now, ahead := start, plan[1:]
		due, writes, onTime := start.Add(plan[0].Wait), 1, true
		for {
			now = due.Add(time.Duration(rnd.Int64N(int64(time.Second))))
			if rnd.IntN(4) == 0 {
				onTime = false
				now = now.Add(time.Duration(rnd.Int64N(int64(12 * time.Hour))))
			}
			tier, next, rest, ok := Next(due, now, ahead)
			if !ok {
				break
			}
			if next.Before(due) || next.After(now.Add(tier.Wait)) {
				t.Fatalf("tier %s is due at %v although it was found at %v", tier.Name, next, now)
			}
			writes++
			due, ahead = next, rest
		}
		if now.Sub(start) < wait {
			t.Fatalf("a wait of %v ended after %v", wait, now.Sub(start))
		}
		if onTime && writes != len(plan) {
			t.Fatalf("a wait of %v took %d writes, planned were %d", wait, writes, len(plan))
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Plan(37 * time.Second)
	}
}

func TestUpToIsTheLargestSumThatIsNotTooLong(t *testing.T) {
	for _, tc := range []struct {
		wait time.Duration
		want []string
	}{
		{0, []string{"5s"}},
		{5 * time.Second, []string{"5s"}},
		{10*time.Second - 1, []string{"5s"}},
		{17 * time.Second, []string{"5s", "5s", "5s"}},
		{30 * time.Second, []string{"30s"}},
		{12*time.Minute + 46*time.Second, []string{"5m", "5m", "30s", "30s", "30s", "30s", "30s", "5s", "5s", "5s"}},
		{30 * time.Minute, []string{"30m"}},
	} {
		if got := names(UpTo(tc.wait)); !slices.Equal(got, tc.want) {
			t.Errorf("UpTo(%v) = %q, want %q", tc.wait, got, tc.want)
		}
	}
}
