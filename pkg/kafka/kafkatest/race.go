//go:build race

package kafkatest

import (
	"runtime"
	"testing"
)

// oneProcessor keeps the bubble's goroutines from running at the same time, because the
// race detector breaks down when they do (golang/go#78156: SIGSEGV, or CHECK failed): all
// timers of a bubble share one context in it, and a timer's channel that is asked in one
// thread while another runs the bubble's timers uses it in both. Races are found all the
// same: it goes by what happens before what, not by what happens at once.
func oneProcessor(t testing.TB) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}
