package retry

import (
	"testing"
	"time"

	"causeway/egress/target"
	"causeway/schemas"
)

func TestDecide(t *testing.T) {
	policy := Policy{Schedule: []time.Duration{5 * time.Second, 30 * time.Second}, MaxAge: time.Hour, NeverOn: []int{422}}
	failed := target.Result{Class: target.Failed, Status: 500}
	for name, tc := range map[string]struct {
		policy  Policy
		attempt int
		age     time.Duration
		result  target.Result
		want    Outcome
	}{
		"a 2xx is the end":                       {policy, 1, 0, target.Result{Class: target.OK, Status: 204}, Outcome{Verdict: Done}},
		"a 2xx after the last attempt too":       {policy, 3, 2 * time.Hour, target.Result{Class: target.OK, Status: 200}, Outcome{Verdict: Done}},
		"the first failure takes the first step": {policy, 1, 0, failed, Outcome{Verdict: Delay, Wait: 5 * time.Second}},
		"the second failure the second":          {policy, 2, time.Minute, failed, Outcome{Verdict: Delay, Wait: 30 * time.Second}},
		"after the last step it is exhausted":    {policy, 3, time.Minute, failed, Outcome{Verdict: Dead, Reason: schemas.ReasonExhausted}},
		"410 is final on the first attempt":      {policy, 1, 0, target.Result{Class: target.Gone, Status: 410}, Outcome{Verdict: Dead, Reason: schemas.ReasonGone}},
		"never_on is final":                      {policy, 1, 0, target.Result{Class: target.Failed, Status: 422}, Outcome{Verdict: Dead, Reason: schemas.ReasonExhausted}},
		"too old":                                {policy, 1, time.Hour + 1, failed, Outcome{Verdict: Dead, Reason: schemas.ReasonExpired}},
		"just not too old":                       {policy, 1, time.Hour, failed, Outcome{Verdict: Delay, Wait: 5 * time.Second}},
		"what cannot be sent is tried again":     {policy, 1, 0, target.Result{Class: target.Refused}, Outcome{Verdict: Delay, Wait: 5 * time.Second}},
		"and ends as our fault":                  {policy, 3, 0, target.Result{Class: target.Refused}, Outcome{Verdict: Dead, Reason: schemas.ReasonRefused}},
		"Retry-After makes a wait longer":        {policy, 1, 0, target.Result{Class: target.Throttled, Status: 429, RetryAfter: time.Minute}, Outcome{Verdict: Delay, Wait: time.Minute}},
		"Retry-After makes no wait shorter":      {policy, 2, 0, target.Result{Class: target.Throttled, Status: 503, RetryAfter: time.Second}, Outcome{Verdict: Delay, Wait: 30 * time.Second}},
		"Retry-After is capped at a day":         {policy, 1, 0, target.Result{Class: target.Failed, Status: 500, RetryAfter: 1 << 62}, Outcome{Verdict: Delay, Wait: 24 * time.Hour}},
		"an empty schedule tries once":           {Policy{}, 1, 0, failed, Outcome{Verdict: Dead, Reason: schemas.ReasonExhausted}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.policy.Decide(tc.attempt, tc.age, tc.result); got != tc.want {
				t.Errorf("Decide = %+v, want %+v", got, tc.want)
			}
		})
	}
}
