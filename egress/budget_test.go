package egress

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestABudgetLeavesThreeQuartersToOthers(t *testing.T) {
	b := newBudget(1024)
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	var held []int64
	for range 6 {
		p := &partition{}
		for {
			if _, err := b.take(soon, p, 1); err != nil {
				break
			}
		}
		held = append(held, b.held[p])
	}
	// A quarter of everything, then a quarter of the rest, ...
	want := []int64{256, 192, 144, 108, 81, 60}
	for i := range want {
		if held[i] != want[i] {
			t.Errorf("partition %d holds %d, want %d", i, held[i], want[i])
		}
	}
	large := &partition{}
	if n, err := b.take(soon, large, 100); n != 100 || err != nil {
		t.Errorf("a record larger than its partition's share was refused: %d, %v", n, err)
	}
	if n, err := b.take(soon, large, 1); err == nil {
		t.Errorf("another %d were given beside it", n)
	}
}

func TestARecordLargerThanTheBudgetCountsAsAllOfIt(t *testing.T) {
	b := newBudget(100)
	p := &partition{}
	if n, err := b.take(t.Context(), p, 1000); n != 100 || err != nil {
		t.Fatalf("took %d, %v", n, err)
	}
	b.give(p, 100)
	if b.used != 0 {
		t.Errorf("%d bytes left", b.used)
	}
}

// Whoever waits gets what comes back, whoever gives up leaves nothing behind, and
// no more than everything is ever taken.
func TestABudgetUnderRandomLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1000)
		var wg sync.WaitGroup
		for seed := range uint64(20) {
			wg.Go(func() {
				rnd, p := rand.New(rand.NewPCG(seed, 1)), &partition{}
				var mine []int64
				giveOne := func() {
					b.give(p, mine[0])
					mine = mine[1:]
				}
				for range 500 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(20))*time.Millisecond)
					if n, err := b.take(ctx, p, 1+rnd.Int64N(300)); err == nil {
						mine = append(mine, n)
					}
					cancel()
					b.mu.Lock()
					if b.used > b.size || b.used < 0 {
						t.Errorf("%d of %d are taken", b.used, b.size)
					}
					b.mu.Unlock()
					time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond)
					for len(mine) > 0 && rnd.IntN(3) > 0 {
						giveOne()
					}
				}
				for len(mine) > 0 {
					giveOne()
				}
			})
		}
		wg.Wait()
		if b.used != 0 || len(b.held) != 0 || len(b.waiting) != 0 {
			t.Errorf("%d bytes of %d partitions left, %d wait", b.used, len(b.held), len(b.waiting))
		}
	})
}
