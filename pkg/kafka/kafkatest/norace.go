//go:build !race

package kafkatest

import "testing"

// oneProcessor is for the race detector.
func oneProcessor(testing.TB) {}
