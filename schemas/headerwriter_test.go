package schemas

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimesAreWrittenAsTheLayoutSays(t *testing.T) {
	first, end := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	times := []time.Time{first, end.Add(-1), time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC), time.Date(999, 12, 31, 0, 0, 0, 5_000_000, time.UTC)}
	for range 10_000 {
		times = append(times, time.Unix(first.Unix()+rand.Int64N(end.Unix()-first.Unix()), rand.Int64N(1e9)).UTC())
	}
	for _, at := range times {
		if got, want := string(appendTime(nil, at)), at.Format(timeLayout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
