package schemas

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The headers that hold a delivery's state.
const (
	headerSubscription = "causeway-subscription" // uid
	headerVersion      = "causeway-version"      // of the catalog
	headerOrigin       = "causeway-origin"       // cluster/topic/partition/offset
	headerRun          = "causeway-run"          // 0, or the id of a replay or redrive
	headerAttempt      = "causeway-attempt"      // attempts so far
	headerHop          = "causeway-hop"          // delay records so far
	headerDue          = "causeway-due"          // RFC 3339, milliseconds
	headerHops         = "causeway-hops"         // planned tiers left: 5s,1s
	headerWaits        = "causeway-waits"        // parked in a row without an attempt
	headerFirst        = "causeway-first"        // first attempt, RFC 3339
	headerLast         = "causeway-last"         // latest attempt, RFC 3339
	headerStatus       = "causeway-status"       // its HTTP status
	headerError        = "causeway-error"        // its error, at most 256 bytes
	headerReason       = "causeway-reason"       // why it is dead
)

// split parts a record's headers into the event's own and a delivery's state,
// which is nil when the record is an event's.
//
// The border is the last causeway-schema: a delivery's state begins with one and
// follows the event's headers. So the event's stay verbatim over any number of
// hops, even if a stranger's record already has headers that look like state.
func split(headers []kgo.RecordHeader) (own, state []kgo.RecordHeader, err error) {
	border, delivery := len(headers)-1, false
	for ; border >= 0 && headers[border].Key != HeaderSchema; border-- {
		delivery = delivery || headers[border].Key == headerSubscription
	}
	if border < 0 {
		return nil, nil, malformed("header %s is missing: causeway did not write it", HeaderSchema)
	}
	if err := checkSchema(string(headers[border].Value)); err != nil {
		return nil, nil, err
	}
	if !delivery {
		return headers, nil, nil
	}
	own, state = headers[:border:border], headers[border:]
	return withStrays(own, state), state, nil
}

// withStrays gives an event's headers and those that others, a tracing hook for
// example, put behind a delivery's state.
func withStrays(own, state []kgo.RecordHeader) []kgo.RecordHeader {
	for _, h := range state {
		if !strings.HasPrefix(h.Key, ownPrefix) {
			own = append(own, h) // own has no room to spare: this copies it
		}
	}
	return own
}
