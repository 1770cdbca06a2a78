package egress

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

// Whatever comes when, and however the rate changes: everything is served or parked
// exactly once, and no second has more attempts than what its rates and a bucket allow.
func TestRatesUnderRandomLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		served := map[*task]int{}
		var times []time.Time
		const most = 80 // a second
		d := &dispatcher{tasks: 50, bytes: 500, inFlight: 20, wait: 300 * time.Millisecond}
		p := newPool(d)
		d.attempt = func(t *task) bool {
			made := t.size%5 > 0
			mu.Lock()
			served[t]++
			if made {
				times = append(times, time.Now())
			}
			mu.Unlock()
			time.Sleep(time.Duration(t.size) * time.Millisecond / 4)
			return made
		}
		d.park = func(t *task, _ parkedReason) {
			mu.Lock()
			defer mu.Unlock()
			served[t]++
		}
		d.parkable = func(t *task) bool { return t.size%2 == 0 }
		var offered int
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 12 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 5))
				for n := range int64(300) {
					sub := owned(fmt.Sprint(i), acme(n/10, 1+float64(rnd.IntN(most-1))))
					sub.MaxConcurrency = 1 + i%4
					task := taskFor(sub, 1+rnd.Int64N(60))
					if d.offer(task) {
						mu.Lock()
						offered++
						mu.Unlock()
					}
					if i == 0 && n%7 == 0 {
						p.limit(tenants(acme(n/10, 1+float64(rnd.IntN(most-1)))))
					}
					time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		took := time.Since(start).Seconds()
		time.Sleep(time.Hour)
		if queued, running := d.depth(); queued != 0 || running != 0 || d.limited() != 0 {
			t.Errorf("%d queued, %d running and %d in line with nothing left to come", queued, running, d.limited())
		}
		d.stop()
		for _, n := range served {
			if n != 1 {
				t.Fatalf("a task was served %d times", n)
			}
		}
		if len(served) != offered {
			t.Errorf("%d of %d tasks were served", len(served), offered)
		}
		t.Logf("%d attempts and %d parked in %.1f s", len(times), offered-len(times), took)
		for i, from := range times {
			n := 0
			for _, at := range times[i:] {
				if at.Sub(from) < time.Second {
					n++
				}
			}
			if n > 2*most {
				t.Fatalf("%d attempts within a second of at most %d", n, most)
			}
		}
	})
}

func TestWhoIsCrowdedOutByARateSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&dispatcher{tasks: 5, bytes: 1 << 20, inFlight: 64, wait: time.Hour})
		tenant := acme(1, 1)
		p.hang["slow"] = make(chan struct{})
		limited, slow := owned("limited", tenant), named("slow", 1)
		for _, sub := range []*catalog.Subscription{limited, slow} {
			for p.offer(taskFor(sub, 1)) {
			}
		}
		synctest.Wait()
		if why := p.crowded(limited.UID); why != parkedRate {
			t.Errorf("%s of the one that waits for its rate", why)
		}
		if why := p.crowded(slow.UID); why != parkedQueueFull {
			t.Errorf("%s of the one that is slow", why)
		}
		close(p.hang["slow"])
		p.stop()
	})
}
