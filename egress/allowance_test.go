package egress

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

func TestAnAllowanceIsOneSecondsWorth(t *testing.T) {
	for name, tc := range map[string]struct {
		rate   float64
		burst  int           // at once from the start
		next   time.Duration // until the one after that
		second int           // more within ten times that
	}{
		"500 a second":            {500, 500, 2 * time.Millisecond, 10},
		"one and a half a second": {1.5, 1, time.Second/3 - 1, 5},
		"one a second":            {1, 1, time.Second, 10},
		"two an hour":             {2. / 3600, 1, 30 * time.Minute, 10},
		"a billion a second":      {1e9, 1e9, 1, 10},
		"next to nothing":         {1e-300, 1, slowest, 10},
	} {
		t.Run(name, func(t *testing.T) {
			var a allowance
			now := time.Now()
			a.set(tc.rate, now)
			if n := a.left(now); n != int64(tc.burst) {
				t.Fatalf("%d are left of a full one, want %d", n, tc.burst)
			}
			for range min(tc.burst, 1000) {
				if !a.take(now) {
					t.Fatal("it does not give what is left")
				}
			}
			if tc.burst > 1000 {
				a.paid = now.Add(time.Second)
			}
			if got := a.until(1, now); a.take(now) || got != tc.next {
				t.Fatalf("the next one after %v, want %v", got, tc.next)
			}
			if a.take(now.Add(tc.next - 1)) {
				t.Error("one too early")
			}
			n := 0
			for end := now.Add(10 * tc.next); !now.After(end); now = now.Add(max(a.until(1, now), 1)) {
				if a.take(now) {
					n++
				}
			}
			if n != tc.second {
				t.Errorf("%d within ten times as long, want %d", n, tc.second)
			}
			if later := now.Add(10 * slowest); a.left(later) != int64(tc.burst) {
				t.Errorf("%d are left after a rest, want %d", a.left(later), tc.burst)
			}
		})
	}
}

func TestAnotherRateHandsOutNoOtherBucket(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		from, to float64
		take     int
		left     int64
		full     time.Duration // until it is
	}{
		"more, while it is empty":             {10, 1000, 10, 0, time.Second},
		"less, while it is empty":             {1000, 10, 1000, 0, time.Second},
		"less, while it is full":              {1000, 10, 0, 10, 0},
		"more, while half is left":            {10, 1000, 5, 500, time.Second / 2},
		"more, with an hour to be paid for":   {1. / 3600, 100, 1, 0, time.Second},
		"none":                                {10, 0, 10, math.MaxInt64, 0},
		"some, where there was none":          {0, 10, 1000, 10, 0},
		"the other form of it, with the same": {10, 10, 10, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var a allowance
			a.set(tc.from, now)
			for range tc.take {
				a.take(now)
			}
			a.set(tc.to, now)
			if n := a.left(now); n != tc.left {
				t.Errorf("%d are left, want %d", n, tc.left)
			}
			if n := a.left(now.Add(tc.full)); tc.to > 0 && n != max(int64(tc.to), 1) {
				t.Errorf("%d are left after %v, want all", n, tc.full)
			}
		})
	}
}

// Those who are parked come back one by one, as their turns come, and those who have
// none yet look again later.
func TestTurnsAreGivenOnce(t *testing.T) {
	now := time.Now()
	var a allowance
	a.set(2, now)
	for i := range 3590 {
		if got, want := a.turn(now), 5*time.Second+time.Duration(i)*time.Second/2; got != want {
			t.Fatalf("turn %d comes after %v, want %v", i, got, want)
		}
	}
	for range 10 {
		if got := a.turn(now); got != horizon {
			t.Fatalf("a turn comes after %v, want to look again after %v", got, horizon)
		}
	}
	if got := a.turn(now.Add(time.Minute)); got != 29*time.Minute {
		t.Errorf("the first one without a turn gets one after %v, a minute later", got)
	}
	if got := a.turn(now.Add(time.Hour)); got != 5*time.Second {
		t.Errorf("after %v, with nobody left before it", got)
	}
	a.booked = now.Add(20 * time.Minute)
	a.set(4, now)
	if got := a.turn(now); got != 5*time.Second {
		t.Errorf("after %v, by a rate that is no more", got)
	}
}

// owned is a subscription of a tenant.
func owned(name string, tenant *catalog.Tenant) *catalog.Subscription {
	sub := named(name, 64)
	sub.Owner = tenant
	return sub
}

func acme(version int64, rate float64) *catalog.Tenant {
	return &catalog.Tenant{Name: "acme", Version: version, Rate: rate}
}

// tenants are those of the catalog as it is now.
func tenants(all ...*catalog.Tenant) map[string]*catalog.Tenant {
	m := map[string]*catalog.Tenant{}
	for _, t := range all {
		m[t.Name] = t
	}
	return m
}

func TestATenantsRateIsOfAllItsSubscriptionsAndOfNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.wait = time.Hour
		p := newPool(d)
		tenant, other := acme(1, 10), &catalog.Tenant{Name: "other", Rate: 3}
		for range 100 {
			p.offer(taskFor(owned("a", tenant), 1))
			p.offer(taskFor(owned("b", tenant), 1))
			p.offer(taskFor(owned("theirs", other), 1))
			p.offer(taskFor(owned("unlimited", &catalog.Tenant{Name: "unlimited"}), 1))
			p.offer(taskFor(named("operator's", 64), 1))
		}
		time.Sleep(50 * time.Millisecond)
		if n := p.served("a") + p.served("b"); n != 10 {
			t.Errorf("%d attempts at once of those with 10/s, want 10", n)
		}
		if n, m := p.served("operator's"), p.served("unlimited"); n != 100 || m != 100 {
			t.Errorf("%d and %d of those without a limit, want all 100", n, m)
		}
		if n := p.limited(); n != 3 {
			t.Errorf("%d subscriptions wait for their rate, want 3", n)
		}
		for second := range 18 {
			time.Sleep(time.Second)
			a, b, theirs := p.served("a"), p.served("b"), p.served("theirs")
			if n := 10 * (second + 2); a+b != n || max(a, b)-min(a, b) > 10 {
				t.Errorf("after %d s %d attempts of a and %d of b, want %d in all, and about as many of each", second+1, a, b, n)
			}
			if n := 3 * (second + 2); theirs != n {
				t.Errorf("after %d s %d attempts of the other tenant's, want %d", second+1, theirs, n)
			}
		}
		time.Sleep(time.Minute)
		if n, m := p.served("a"), p.served("b"); n != 100 || m != 100 {
			t.Errorf("%d of a and %d of b were served in the end, want 100 of each", n, m)
		}
		if n := p.limited(); n != 0 {
			t.Errorf("%d subscriptions wait with nothing to do", n)
		}
		p.stop()
	})
}

// Those that wait are not looked at each time that one of them may go on.
func TestWaitingForARateCostsNobodysTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.wait = time.Hour
		p := newPool(d)
		tenant := acme(1, 1)
		for i := range 1000 {
			p.offer(taskFor(owned(fmt.Sprint(i), tenant), 1))
		}
		time.Sleep(time.Millisecond)
		for range 20 {
			time.Sleep(time.Second)
			p.dispatcher.mu.Lock()
			if n := len(p.ring); n > 1 {
				t.Errorf("%d queues stand in the ring", n)
			}
			p.dispatcher.mu.Unlock()
		}
		p.mu.Lock()
		turns := slices.Clone(p.took)
		p.mu.Unlock()
		if n := len(turns); n != 21 {
			t.Errorf("%d attempts in 20 s, want 21", n)
		}
		slices.Sort(turns)
		if n := len(turns); len(slices.Compact(turns)) != n {
			t.Errorf("somebody had two turns while others had none: %v", turns)
		}
		p.stop()
	})
}

func TestWhatWaitsTooLongForARateIsParkedAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.parkable = func(t *task) bool { return t.size == 1 }
		p := newPool(d)
		tenant := acme(1, 2)
		start := time.Now()
		for range 50 {
			p.offer(taskFor(owned("a", tenant), 1))
			p.offer(taskFor(owned("alone", tenant), 2))
		}
		time.Sleep(4900 * time.Millisecond)
		if a, alone := p.served("a"), p.served("alone"); a+alone != 11 {
			t.Errorf("%d and %d attempts within 5 s of 2/s, want 11 in all", a, alone)
		}
		time.Sleep(time.Minute)
		a, alone := p.served("a"), p.served("alone")
		if alone != 50 {
			t.Errorf("%d of 50 were served of the one that may wait", alone)
		}
		if parked := p.parkings(); a+len(parked) != 50 || !slices.Equal(parked, slices.Repeat([]time.Time{start.Add(5 * time.Second)}, len(parked))) {
			t.Errorf("%d served, parked at %v, want all that were not served parked after 5 s", a, parked)
		}
		if why := slices.Compact(p.why); !slices.Equal(why, []parkedReason{parkedRate}) {
			t.Errorf("parked because of %v, want %v", why, parkedRate)
		}
		p.stop()
	})
}

func TestARateThatChangesHoldsForThoseWhoWait(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to float64
		gone     bool
		want     int // within the second after the change, which comes after one second
	}{
		"more":                {from: 1, to: 20, want: 20},
		"more than an hour's": {from: 1. / 3600, to: 20, want: 20},
		"less":                {from: 20, to: 1, want: 1},
		"none":                {from: 1. / 3600, to: 0, want: 199},
		"tenant gone":         {from: 1. / 3600, gone: true, want: 199},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := defaults()
				d.wait = time.Hour
				p := newPool(d)
				for range 100 {
					p.offer(taskFor(owned("a", acme(1, tc.from)), 1))
					p.offer(taskFor(owned("b", acme(1, tc.from)), 1))
				}
				time.Sleep(time.Second + time.Millisecond)
				before := p.served("a") + p.served("b")
				now := tenants(acme(2, tc.to))
				if tc.gone {
					clear(now)
				}
				p.limit(now)
				time.Sleep(time.Second + time.Millisecond)
				if n := min(p.served("a")+p.served("b")-before, tc.want); n != tc.want {
					t.Errorf("%d attempts after the change, want %d", n, tc.want)
				}
				if tc.want < 100 && p.served("a")+p.served("b")-before > tc.want+1 {
					t.Errorf("%d attempts after the change, want %d", p.served("a")+p.served("b")-before, tc.want)
				}
				if tc.gone != (len(p.allowances) == 0) {
					t.Errorf("%d allowances are kept", len(p.allowances))
				}
				p.stop()
			})
		})
	}
}

// A delivery that was matched before the catalog changed must not bring the old rate back.
func TestTheNewestFormOfATenantCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		p.offer(taskFor(owned("a", acme(5, 3)), 1))
		for range 20 {
			p.offer(taskFor(owned("a", acme(5, 3)), 1))
		}
		p.offer(taskFor(owned("b", acme(4, 1000)), 1))
		time.Sleep(time.Millisecond)
		if n := p.served("a") + p.served("b"); n != 3 {
			t.Errorf("%d attempts at once, want 3", n)
		}
		p.offer(taskFor(owned("b", acme(6, 0)), 1))
		time.Sleep(time.Second)
		if n := p.served("a") + p.served("b"); n != 23 {
			t.Errorf("%d attempts without a limit, want all 23", n)
		}
		p.stop()
	})
}

// Somebody whose secret is missing does not use up what the others of its tenant have.
func TestAnAttemptThatIsNotMadeCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		attempt := p.attempt
		p.attempt = func(t *task) bool { return attempt(t) && t.subscription.Name != "no secret" }
		tenant := acme(1, 2)
		for range 200 {
			p.offer(taskFor(owned("no secret", tenant), 1))
		}
		p.offer(taskFor(owned("a", tenant), 1))
		p.offer(taskFor(owned("a", tenant), 1))
		time.Sleep(time.Second)
		if n, m := p.served("no secret"), p.served("a"); n != 200 || m != 2 {
			t.Errorf("%d and %d were served, want 200 and 2", n, m)
		}
		p.stop()
	})
}

// The turn of one who has nothing to do any more is the next one's.
func TestTheTurnOfWhoHasLeftIsTheNextOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.inFlight, d.wait = 1, 24*time.Hour
		p := newPool(d)
		p.hang["slow"] = make(chan struct{})
		tenant, gone := acme(1, 1./3600), &partition{}
		p.offer(taskFor(owned("first", tenant), 1)) // takes what there is
		for _, name := range []string{"a", "b", "c"} {
			task := taskFor(owned(name, tenant), 1)
			if name != "c" {
				task.partition = gone
			}
			p.offer(task)
		}
		time.Sleep(time.Hour - time.Second)
		p.offer(taskFor(named("slow", 1), 1))
		time.Sleep(2 * time.Second) // a is in the ring, and there is no place for it
		p.forget([]*partition{gone})
		close(p.hang["slow"])
		synctest.Wait()
		time.Sleep(time.Millisecond)
		if n := p.served("c"); n != 1 {
			t.Errorf("c was served %d times: the turn that came was nobody's", n)
		}
		p.stop()
	})
}

func TestAStopDoesNotWaitForARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		for range 3 {
			p.offer(taskFor(owned("a", acme(1, 1./3600)), 1))
		}
		time.Sleep(time.Second)
		start := time.Now()
		p.stop()
		if took := time.Since(start); took > 0 || p.served("a") != 1 {
			t.Errorf("the stop took %v, with %d served", took, p.served("a"))
		}
	})
}

// Waiting for a rate is not being stuck; waiting for nothing is.
func TestWaitingForARateIsNotStalling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.wait = time.Hour
		p := newPool(d)
		for range 2 {
			p.offer(taskFor(owned("a", acme(1, 1./60)), 1))
		}
		time.Sleep(time.Second)
		if _, stalled := p.stalled(); stalled {
			t.Error("it counts as stalled while it waits for its rate")
		}
		p.dispatcher.mu.Lock()
		for _, a := range p.allowances {
			p.disarm(a) // nobody will wake it
		}
		p.dispatcher.mu.Unlock()
		time.Sleep(time.Minute)
		if _, stalled := p.stalled(); !stalled {
			t.Error("it does not count as stalled although its rate would let it go on")
		}
		p.stop()
	})
}
