package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	cost, credit := Cost(10) // one every 100 ms, ten at once
	var b Bucket
	at := func(d time.Duration) int64 { return int64(time.Hour + d) }
	for i := range 10 {
		if _, ok := b.Take(at(0), cost, credit); !ok {
			t.Fatalf("number %d of a second's worth was refused", i+1)
		}
	}
	wait, ok := b.Take(at(0), cost, credit)
	if ok || wait != 100*time.Millisecond {
		t.Errorf("the eleventh: %v, wait %v, want refused and 100ms", ok, wait)
	}
	if _, ok := b.Take(at(99*time.Millisecond), cost, credit); ok {
		t.Error("one was taken a millisecond early")
	}
	if _, ok := b.Take(at(100*time.Millisecond), cost, credit); !ok {
		t.Error("after the wait it was refused still")
	}
	for i := range 10 {
		if _, ok := b.Take(at(time.Hour), cost, credit); !ok {
			t.Fatalf("number %d after an hour was refused", i+1)
		}
	}
	if _, ok := b.Take(at(time.Hour), cost, credit); ok {
		t.Error("an hour of rest gave more than a second's worth")
	}
}

func TestARateBelowOnePerSecond(t *testing.T) {
	cost, credit := Cost(30.0 / 60)
	var b Bucket
	if _, ok := b.Take(1, cost, credit); !ok {
		t.Error("the first was refused")
	}
	if wait, ok := b.Take(1, cost, credit); ok || wait != 2*time.Second {
		t.Errorf("the second: %v, wait %v, want refused and 2s", ok, wait)
	}
}

func TestABucketUnderManyHands(t *testing.T) {
	cost, credit := Cost(1000)
	var b Bucket
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if _, ok := b.Take(1, cost, credit); ok {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got := taken.Load(); got != 1000 {
		t.Errorf("%d taken at one moment, want 1000", got)
	}
}

func TestEachHasItsOwn(t *testing.T) {
	l := NewEach[string](2, 3, 1<<10)
	take := func(who string, at time.Duration) (time.Duration, bool) { return l.Take(who, int64(time.Hour+at)) }
	for i := range 3 {
		if _, ok := take("me", 0); !ok {
			t.Fatalf("number %d of a burst of three was refused", i+1)
		}
	}
	if wait, ok := take("me", 0); ok || wait != 500*time.Millisecond {
		t.Errorf("the fourth: %v, wait %v, want refused and 500ms", ok, wait)
	}
	if _, ok := take("you", 0); !ok {
		t.Error("another was refused with the first")
	}
	if _, ok := take("me", 500*time.Millisecond); !ok {
		t.Error("after the wait it was refused still")
	}
	if _, ok := NewEach[string](0, 3, 1<<10).Take("me", 1); !ok {
		t.Error("a rate of 0 is a limit")
	}
	if l := NewEach[string](0.5, 0, 1); l.credit != int64(2*time.Second) {
		t.Errorf("without a burst the credit is %v, want what one costs", time.Duration(l.credit))
	}
}

func TestAFloodTakesNoMemoryAndStarvesFew(t *testing.T) {
	l := NewEach[netip.Addr](1, 1, 1<<15)
	addr := netip.MustParseAddr("198.18.0.0")
	for range 5000 {
		addr = addr.Next()
		l.Take(addr, 1)
	}
	refused := 0
	for range 1000 {
		addr = addr.Next()
		if _, ok := l.Take(addr, 1); !ok {
			refused++
		}
	}
	if refused > 60 { // (5000/32768)^2 is 2.3 %
		t.Errorf("%d of 1000 newcomers were refused because of 5000 others", refused)
	}
	if n := testing.AllocsPerRun(100, func() { l.Take(addr, 1) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestPeer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::7": "2001:db8::", "fe80::1%eth0": "fe80::", "2001:db8:0:1::1": "2001:db8:0:1::",
	} {
		if got := Peer(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s counts as %s, want %s", text, got, want)
		}
	}
	if got := Peer(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts as %v", got)
	}
}
