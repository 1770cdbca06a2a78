// Package target sends one delivery to one place and says what came of it.
package target

import "time"

// Class sorts results into what retry and gate act on.
type Class uint8

// The classes of results.
const (
	OK        Class = iota // a 2xx
	Failed                 // worth another attempt
	Throttled              // 429, 502, 503, 504: worth another attempt, and fewer at once
	Gone                   // 410: the subscriber wants no more
	Refused                // could not be sent at all: our fault, not the subscriber's
)

func (c Class) String() string {
	return [...]string{"ok", "failed", "throttled", "gone", "refused"}[c]
}

// Classes lists all classes, for metrics whose children are made up front.
func Classes() []Class { return []Class{OK, Failed, Throttled, Gone, Refused} }

// Result is what came of one attempt.
type Result struct {
	Class       Class
	Status      int           // HTTP status, 0 when no response came
	Err         error         // why there was no response
	RetryAfter  time.Duration // what the response asked for, 0 when it did not
	Took        time.Duration
	Response    []byte // the beginning of the response's body, 4 KiB at most
	ContentType string // of the response
}
