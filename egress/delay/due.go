package delay

import "time"

const (
	// slack is how far behind its writer's clock a reader may be before the due
	// time is not believed.
	slack = 2 * time.Second
	// late is how late a hop may be found before the rest of its wait is planned anew.
	late = time.Second
)

// Deadline is when a record of a tier that is first seen now may go on. It keeps
// now's monotonic clock, so that a wall clock that is set while the record waits
// moves nothing. A due time further away than the tier plus 2 s was written by a
// clock that is wrong: the tier counts from first sight then, and skewed is true.
func Deadline(due, now time.Time, tier Tier) (deadline time.Time, skewed bool) {
	wait := due.Sub(now)
	if wait > tier.Wait+slack {
		return now.Add(tier.Wait), true
	}
	return now.Add(max(0, wait)), false
}

// Next plans the rest of a wait when a record has come to its due time with
// tiers still ahead: the tier to write it to, when it is due there, and the
// tiers after that. Due times add up from the previous one, so that hops do not
// add their own lateness; one that is found more than a second late is planned
// anew towards the same end. No tier means that the wait is over.
func Next(due, now time.Time, ahead []Tier) (tier Tier, nextDue time.Time, rest []Tier, ok bool) {
	if len(ahead) == 0 {
		return Tier{}, time.Time{}, nil, false
	}
	if now.Sub(due) <= late {
		return ahead[0], due.Add(ahead[0].Wait), ahead[1:], true
	}
	left := due.Add(sum(ahead)).Sub(now)
	if left <= 0 {
		return Tier{}, time.Time{}, nil, false
	}
	plan := Plan(left)
	return plan[0], now.Add(plan[0].Wait), plan[1:], true
}
