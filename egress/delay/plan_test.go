package delay

import (
	"slices"
	"testing"
	"time"
)

func TestEachStepOfTheScheduleIsOneTier(t *testing.T) {
	for _, tier := range Tiers() {
		if plan := Plan(tier.Wait); len(plan) != 1 || plan[0] != tier {
			t.Errorf("Plan(%v) = %v, want the tier itself", tier.Wait, plan)
		}
	}
}

func TestPlanIsTheSmallestSumThatIsNotBelow(t *testing.T) {
	for wait, want := range map[time.Duration][]string{
		0:                          {"1s"},
		time.Millisecond:           {"1s"},
		2 * time.Second:            {"1s", "1s"},
		3500 * time.Millisecond:    {"5s"},
		7 * time.Second:            {"5s", "1s", "1s"},
		8 * time.Second:            {"5s", "5s"},
		37 * time.Second:           {"30s", "5s", "5s"},
		45 * time.Second:           {"30s", "30s"},
		24*time.Hour + 1:           {"24h", "1s"},
		100 * 24 * time.Hour:       {"24h", "24h", "24h"},
		72*time.Hour - time.Minute: {"24h", "24h", "24h"},
	} {
		var got []string
		for _, tier := range Plan(wait) {
			got = append(got, tier.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Plan(%v) = %v, want %v", wait, got, want)
		}
	}
}

// Every wait of whole seconds up to ten minutes, against all sums there are.
func TestPlanAgainstAllSums(t *testing.T) {
	var sums []time.Duration
	tiers := append([]Tier{{}}, Tiers()...)
	for _, a := range tiers {
		for _, b := range tiers {
			for _, c := range tiers {
				if s := a.Wait + b.Wait + c.Wait; s > 0 {
					sums = append(sums, s)
				}
			}
		}
	}
	slices.Sort(sums)
	for wait := time.Second; wait <= 10*time.Minute; wait += time.Second {
		i, _ := slices.BinarySearch(sums, wait)
		plan := Plan(wait)
		if got := sum(plan); got != sums[i] || len(plan) > 3 {
			t.Errorf("Plan(%v) = %v, which waits %v; want %v", wait, plan, got, sums[i])
		}
	}
}

func TestDeadline(t *testing.T) {
	now := time.Now()
	tier, _ := Find("5s")
	for name, tc := range map[string]struct {
		due    time.Duration // from now
		want   time.Duration
		skewed bool
	}{
		"due in the tier's time": {5 * time.Second, 5 * time.Second, false},
		"due already":            {-time.Second, 0, false},
		"due long ago":           {-time.Hour, 0, false},
		"a writer's clock that is a little ahead": {7 * time.Second, 7 * time.Second, false},
		"a writer's clock that is wrong":          {7*time.Second + 1, 5 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, skewed := Deadline(now.Add(tc.due), now, tier)
			if got.Sub(now) != tc.want || skewed != tc.skewed {
				t.Errorf("Deadline = %v after now, skewed %v; want %v, %v", got.Sub(now), skewed, tc.want, tc.skewed)
			}
		})
	}
}

// The due time comes from a record and has no monotonic clock; the deadline has
// now's, so that setting the wall clock moves nothing.
func TestDeadlineKeepsTheMonotonicClock(t *testing.T) {
	now := time.Now()
	tier, _ := Find("1s")
	deadline, _ := Deadline(now.Round(0).Add(time.Second), now, tier)
	if deadline == deadline.Round(0) {
		t.Error("the deadline has no monotonic clock: a wall clock that is set back would hold the record")
	}
}

func TestNext(t *testing.T) {
	due := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	five, _ := Find("5s")
	one, _ := Find("1s")
	for name, tc := range map[string]struct {
		ahead   []Tier
		late    time.Duration
		tier    string // "" means that the wait is over
		nextDue time.Duration
		rest    int
	}{
		"nothing ahead":                                  {nil, 0, "", 0, 0},
		"on time, due times add up":                      {[]Tier{five, one}, 10 * time.Millisecond, "5s", 5 * time.Second, 1},
		"a second late is still on time":                 {[]Tier{five}, time.Second, "5s", 5 * time.Second, 0},
		"later than that, the rest is planned anew":      {[]Tier{five, one}, 3 * time.Second, "1s", 4 * time.Second, 2},
		"so late that the whole wait is over":            {[]Tier{five, one}, 6 * time.Second, "", 0, 0},
		"early, as the clock of this process tells time": {[]Tier{one}, -500 * time.Millisecond, "1s", time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tier, nextDue, rest, ok := Next(due, due.Add(tc.late), tc.ahead)
			if !ok {
				if tc.tier != "" {
					t.Fatal("the wait is over, want a hop")
				}
				return
			}
			if tier.Name != tc.tier || nextDue.Sub(due) != tc.nextDue || len(rest) != tc.rest {
				t.Errorf("Next = %s due after %v, %d more; want %s, %v, %d", tier.Name, nextDue.Sub(due), len(rest), tc.tier, tc.nextDue, tc.rest)
			}
			if end := nextDue.Add(sum(rest)); end.Before(due.Add(sum(tc.ahead))) {
				t.Errorf("the plan ends %v early", due.Add(sum(tc.ahead)).Sub(end))
			}
		})
	}
}
