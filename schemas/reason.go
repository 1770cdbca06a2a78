package schemas

import (
	"fmt"
	"slices"
)

// Reason tells why a delivery ended in the dead letter topic. The list is
// closed: see [Reasons].
type Reason string

const (
	// ReasonExhausted means that every attempt of the schedule failed.
	ReasonExhausted Reason = "exhausted"
	// ReasonGone means that the subscriber answered 410.
	ReasonGone Reason = "gone"
	// ReasonExpired means that the delivery grew older than the subscription's max_age.
	ReasonExpired Reason = "expired"
	// ReasonPoison means that the record could not be read.
	ReasonPoison Reason = "poison"
	// ReasonTooLarge means that the record is too large to be parked.
	ReasonTooLarge Reason = "too_large"
	// ReasonFilterFailed means that the subscription's filter could not be evaluated.
	ReasonFilterFailed Reason = "filter_failed"
	// ReasonRefused means that causeway itself would not send it, for example to a private address.
	ReasonRefused Reason = "refused"
	// ReasonSubscriptionDeleted means that the subscription was deleted while the delivery waited.
	ReasonSubscriptionDeleted Reason = "subscription_deleted"
)

// Reasons lists every reason there is.
func Reasons() []Reason {
	return []Reason{
		ReasonExhausted, ReasonGone, ReasonExpired, ReasonPoison,
		ReasonTooLarge, ReasonFilterFailed, ReasonRefused, ReasonSubscriptionDeleted,
	}
}

func parseReason(text string) (Reason, error) {
	if r := Reason(text); slices.Contains(Reasons(), r) {
		return r, nil
	}
	return "", fmt.Errorf("%.64q is not one of the reasons %q", text, Reasons())
}
