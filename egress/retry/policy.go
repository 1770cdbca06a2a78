// Package retry decides what becomes of a delivery after an attempt.
package retry

import (
	"slices"
	"time"

	"causeway/egress/target"
	"causeway/schemas"
)

// MaxRetryAfter caps what a Retry-After can ask for.
const MaxRetryAfter = 24 * time.Hour

// Verdict is the kind of an outcome.
type Verdict uint8

// The verdicts.
const (
	Done  Verdict = iota // delivered
	Delay                // wait, then try again
	Dead                 // to the DLQ
)

func (v Verdict) String() string { return [...]string{"done", "delay", "dead"}[v] }

// Outcome is what becomes of a delivery: a value, not an error.
type Outcome struct {
	Verdict Verdict
	Wait    time.Duration  // with Delay
	Reason  schemas.Reason // with Dead
}

// Policy is one subscription's retry policy.
type Policy struct {
	Schedule []time.Duration // the wait after the first, second, ... failed attempt
	MaxAge   time.Duration   // since the first attempt; 0: no limit
	NeverOn  []int           // statuses that are not worth another attempt
}

// Decide says what follows from the result of an attempt: attempt counts from 1
// and includes this one, age is the time since the first one.
func (p Policy) Decide(attempt int, age time.Duration, r target.Result) Outcome {
	switch {
	case r.Class == target.OK:
		return Outcome{Verdict: Done}
	case r.Class == target.Gone:
		return Outcome{Verdict: Dead, Reason: schemas.ReasonGone}
	case attempt > len(p.Schedule) || r.Status != 0 && slices.Contains(p.NeverOn, r.Status):
		return Outcome{Verdict: Dead, Reason: exhausted(r.Class)}
	case p.MaxAge > 0 && age > p.MaxAge:
		return Outcome{Verdict: Dead, Reason: schemas.ReasonExpired}
	default:
		return Outcome{Verdict: Delay, Wait: max(p.Schedule[attempt-1], min(r.RetryAfter, MaxRetryAfter))}
	}
}

// exhausted is the reason when there are no attempts left: what never could be
// sent is told apart, for there the operator has something to mend.
func exhausted(c target.Class) schemas.Reason {
	if c == target.Refused {
		return schemas.ReasonRefused
	}
	return schemas.ReasonExhausted
}
