package dedup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/seen"
)

// TestSequences tells what can happen to copies of one event, in the order in which it
// happens. A, B, C are requests with the same identity; other is one with another.
//
//	A claims            and owns the claim: it produces
//	B shares A          is told to wait for A's outcome
//	B finds it stored   is told so at once
//	A stored, A fails   A's produce promise comes
//	B told stored       B's wait is over, with that outcome
//	B waits             it isn't
//	61s                 pass
//	crash               the process dies and comes back with an empty memory
func TestSequences(t *testing.T) {
	for name, steps := range map[string]string{
		"a copy after the acknowledgement is known":           "A claims, A stored, B finds it stored",
		"a copy in flight is told what the first is told":     "A claims, B shares A, B waits, A stored, B told stored, C finds it stored",
		"a copy in flight fails with the first":               "A claims, B shares A, A fails, B told failed",
		"a failed claim is free for the retry":                "A claims, A fails, B claims, B stored, C finds it stored",
		"the retry's failure frees it again":                  "A claims, A fails, B claims, B fails, C claims",
		"the claim outlives the request that made it":         "A claims, 6s, B shares A, A stored, B told stored",
		"the promise after the answer 503 still counts":       "A claims, 9s, A stored, B finds it stored",
		"another identity is another event":                   "A claims, other claims, A stored, other fails, other2 claims, B finds it stored",
		"after the window it is an event again":               "A claims, A stored, 24h, B finds it stored, 2s, C claims",
		"a claim without outcome is taken over after a lease": "A claims, 59s, B shares A, 1s, C claims",
		"the late failure of one taken over frees nothing":    "A claims, 60s, B claims, A fails, C shares B, B stored, D finds it stored",
		"the late success of one taken over counts":           "A claims, 60s, B claims, A stored, C finds it stored, B fails, D finds it stored",
		"both succeed, which egress tells apart":              "A claims, 60s, B claims, A stored, B stored, C finds it stored",
		"who waits for one taken over gets that one's fate":   "A claims, B shares A, 60s, C claims, A fails, B told failed, D shares C",
		"killed before the produce: the retry is the first":   "A claims, crash, B claims, B stored",
		"killed after the acknowledgement: stored twice":      "A claims, A stored, crash, B claims",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				play(t, strings.Split(steps, ", "))
			})
		})
	}
}

func play(t *testing.T, steps []string) {
	store := NewMemory(24*time.Hour, 100)
	claims := map[string]*Claim{}
	for i, step := range steps {
		bad := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("step %d, %s: %s", i+1, step, fmt.Sprintf(format, args...))
		}
		if d, err := time.ParseDuration(step); err == nil {
			time.Sleep(d)
			continue
		}
		if step == "crash" {
			store = NewMemory(24*time.Hour, 100)
			continue
		}
		who, what, _ := strings.Cut(step, " ")
		identity := seen.Of([]byte(strings.TrimRight(who, "ABCD12")))
		switch what {
		case "stored":
			claims[who].Settle(nil)
		case "fails":
			claims[who].Settle(errProduce)
		case "waits":
			select {
			case <-claims[who].Done():
				bad("it is settled: %v", claims[who].Err())
			default:
			}
		case "told stored", "told failed":
			select {
			case <-claims[who].Done():
			default:
				bad("it still waits")
			}
			if got := claims[who].Err() == nil; got != (what == "told stored") {
				bad("got %v", claims[who].Err())
			}
		default:
			claim, first := store.Claim(identity)
			claims[who] = claim
			if got := outcome(claims, who, first); got != what {
				bad("it %s", got)
			}
		}
	}
}

var errProduce = errors.New("not enough replicas")

// outcome says in the words of TestSequences what a claim came to.
func outcome(claims map[string]*Claim, who string, first bool) string {
	if first {
		return "claims"
	}
	select {
	case <-claims[who].Done():
		return "finds it stored"
	default:
	}
	for other, claim := range claims {
		if other != who && claim == claims[who] {
			return "shares " + other
		}
	}
	return "shares a claim that nobody made"
}

func TestWhatIsInFlightIsNeverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory(time.Hour, 10)
		held, first := store.Claim(number(0))
		if !first {
			t.Fatal("the first claim was not the first")
		}
		for i := 1; i <= 1000; i++ {
			c, _ := store.Claim(number(i))
			c.Settle(nil)
		}
		if again, first := store.Claim(number(0)); first || again != held {
			t.Error("a thousand stored events pushed out one in flight")
		}
		if stored, inFlight := store.Len(); stored != 10 || inFlight != 1 {
			t.Errorf("Len() = %d, %d, want 10, 1", stored, inFlight)
		}
	})
}

func TestTheOldestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory(time.Hour, 3)
		if got := store.Window(); got != time.Hour {
			t.Errorf("Window() of an empty store = %v, want 1h", got)
		}
		for i := range 5 {
			store1(store, i)
			time.Sleep(time.Minute)
		}
		for i, want := range []bool{false, false, true, true, true} {
			if got := isStored(store, number(i)); got != want {
				t.Errorf("event %d of 5 known: %v, want %v", i, got, want)
			}
		}
		// The last to go was stored four minutes ago: whatever is younger is known.
		if got := store.Window(); got != 4*time.Minute {
			t.Errorf("Window() = %v, want 4m", got)
		}
		time.Sleep(2 * time.Hour)
		if got := store.Window(); got != time.Hour {
			t.Errorf("Window() after a quiet time = %v, want 1h", got)
		}
	})
}

func TestExpiredOnesGoAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory(time.Hour, 10_000)
		for i := range 5000 {
			store1(store, i)
		}
		time.Sleep(time.Hour + 2*time.Second)
		for i := 5000; i < 7000; i++ {
			store1(store, i)
		}
		if stored, _ := store.Len(); stored != 2000 {
			t.Errorf("%d stored, want the 2000 of this hour", stored)
		}
		// One that expired and came again is as young as its last coming.
		store1(store, 0)
		time.Sleep(time.Hour)
		if !isStored(store, number(0)) {
			t.Error("an event that came again was forgotten with its first coming")
		}
	})
}

func TestOneThatExpiredUnsweptAndCameAgainStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory(time.Hour, 100)
		for i := range 50 {
			store1(store, i)
		}
		time.Sleep(time.Hour + 2*time.Second)
		store1(store, 49) // its first mark is still the last of fifty in the queue
		for i := 100; i < 150; i++ {
			store1(store, i)
		}
		if !isStored(store, number(49)) {
			t.Error("the sweep of its first mark took the second with it")
		}
	})
}

func TestManyAtOnceAgreeOnOneOwner(t *testing.T) {
	store := NewMemory(time.Hour, 1000)
	var owners, stored atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				claim, first := store.Claim(number(i / 4))
				if first {
					owners.Add(1)
					claim.Settle(nil)
				}
				<-claim.Done()
				if claim.Err() == nil {
					stored.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if owners.Load() != 500 || stored.Load() != 16000 {
		t.Errorf("%d owners, %d stored, want 500 and 16000", owners.Load(), stored.Load())
	}
}

func TestAClaimAloneHasItsOutcome(t *testing.T) {
	c := Alone()
	c.Settle(errProduce)
	<-c.Done()
	if !errors.Is(c.Err(), errProduce) {
		t.Errorf("Err() = %v, want %v", c.Err(), errProduce)
	}
}

func number(i int) seen.Fingerprint {
	return seen.Of(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

func store1(store *Memory, i int) {
	if claim, first := store.Claim(number(i)); first {
		claim.Settle(nil)
	}
}

func isStored(store *Memory, id seen.Fingerprint) bool {
	store.mu.Lock()
	defer store.mu.Unlock()
	at, ok := store.stored[id]
	return ok && !store.expired(at, time.Since(store.start))
}

func BenchmarkClaimAndSettle(b *testing.B) {
	store := NewMemory(time.Hour, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		store1(store, i)
	}
}
