package egress

import (
	"context"
	"time"
)

// waited waits for d. It is false when ctx ended first.
func waited(ctx context.Context, d time.Duration) bool {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}
