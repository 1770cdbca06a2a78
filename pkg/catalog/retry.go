package catalog

import (
	"fmt"
	"time"
)

// DefaultSchedule is the wait after each failed attempt. Each step is one delay
// tier, so that a wait costs one write.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute,
		2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 24 * time.Hour,
	}
}

func (p place) retry(spec RetrySpec, sub *Subscription) {
	if len(spec.Schedule) > mostWaits {
		p.fault("retry.schedule", "%d steps: at most %d", len(spec.Schedule), mostWaits)
		return
	}
	if spec.Schedule == nil {
		sub.Schedule = DefaultSchedule()
	}
	for i, step := range spec.Schedule {
		if d := time.Duration(step); d < time.Second || d > 24*time.Hour {
			p.fault(fmt.Sprintf("retry.schedule.%d", i), "%s is out of range: 1s to 24h", d)
		}
		sub.Schedule = append(sub.Schedule, time.Duration(step))
	}
	if spec.MaxAge < 0 {
		p.fault("retry.max_age", "%s must not be negative", time.Duration(spec.MaxAge))
	}
	if len(spec.NeverOn) > mostStatuses {
		p.fault("retry.never_on", "%d statuses: at most %d", len(spec.NeverOn), mostStatuses)
		return
	}
	for i, status := range spec.NeverOn {
		if status < 300 || status > 599 {
			p.fault(fmt.Sprintf("retry.never_on.%d", i), "%d is not a status that fails: 300 to 599", status)
		}
	}
}

const (
	mostWaits    = 50
	mostStatuses = 300 // that fail
)
