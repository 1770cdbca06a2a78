package ingress

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	cost, credit := costOf(10) // one every 100 ms, ten at once
	var b bucket
	at := func(d time.Duration) int64 { return int64(time.Hour + d) }
	for i := range 10 {
		if _, ok := b.take(at(0), cost, credit); !ok {
			t.Fatalf("number %d of a second's worth was refused", i+1)
		}
	}
	wait, ok := b.take(at(0), cost, credit)
	if ok || wait != 100*time.Millisecond {
		t.Errorf("the eleventh: %v, wait %v, want refused and 100ms", ok, wait)
	}
	if _, ok := b.take(at(99*time.Millisecond), cost, credit); ok {
		t.Error("one was taken a millisecond early")
	}
	if _, ok := b.take(at(100*time.Millisecond), cost, credit); !ok {
		t.Error("after the wait it was refused still")
	}
	for i := range 10 {
		if _, ok := b.take(at(time.Hour), cost, credit); !ok {
			t.Fatalf("number %d after an hour was refused", i+1)
		}
	}
	if _, ok := b.take(at(time.Hour), cost, credit); ok {
		t.Error("an hour of rest gave more than a second's worth")
	}
}

func TestARateBelowOnePerSecond(t *testing.T) {
	cost, credit := costOf(30.0 / 60)
	var b bucket
	if _, ok := b.take(1, cost, credit); !ok {
		t.Error("the first was refused")
	}
	if wait, ok := b.take(1, cost, credit); ok || wait != 2*time.Second {
		t.Errorf("the second: %v, wait %v, want refused and 2s", ok, wait)
	}
}

func TestABucketUnderManyHands(t *testing.T) {
	cost, credit := costOf(1000)
	var b bucket
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if _, ok := b.take(1, cost, credit); ok {
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

func TestAddressLimit(t *testing.T) {
	l := newAddressLimit(1, 5)
	take := func(text string) bool { return l.take(netip.MustParseAddr(text), 1) }
	for i := range 5 {
		if !take("192.0.2.1") {
			t.Fatalf("request %d of the burst was refused", i+1)
		}
	}
	if take("192.0.2.1") {
		t.Error("the sixth of a burst of five was allowed")
	}
	if !take("192.0.2.2") {
		t.Error("another address was refused with the first")
	}
	for i := range 5 {
		take(fmt.Sprintf("2001:db8::%d", i))
	}
	if take("2001:db8::ffff:1") {
		t.Error("a /64 counts as many addresses")
	}
	if !take("2001:db8:0:1::1") {
		t.Error("another /64 was refused with the first")
	}
	if !l.take(netip.MustParseAddr("192.0.2.1"), int64(time.Second)+2) {
		t.Error("after a second it was refused still")
	}
	if newAddressLimit(0, 5) != nil {
		t.Error("a rate of 0 is a limit")
	}
}

func TestAFloodOfAddressesTakesNoMemoryAndStarvesFew(t *testing.T) {
	l := newAddressLimit(1, 1)
	addr := netip.MustParseAddr("198.18.0.0")
	var before, after []netip.Addr
	for range 5000 {
		addr = addr.Next()
		l.take(addr, 1)
		before = append(before, addr)
	}
	refused := 0
	for range 1000 {
		addr = addr.Next()
		after = append(after, addr)
		if !l.take(addr, 1) {
			refused++
		}
	}
	if refused > 60 { // (5000/32768)^2 is 2.3 %
		t.Errorf("%d of %d newcomers were refused because of %d others", refused, len(after), len(before))
	}
	if n := testing.AllocsPerRun(100, func() { l.take(addr, 1) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestBudget(t *testing.T) {
	b := &budget{limit: 100}
	one, two := holding{from: b}, holding{from: b}
	if !one.take(60) || !two.take(40) {
		t.Fatal("what fits was refused")
	}
	if two.take(1) {
		t.Error("one byte more than there is was given")
	}
	one.release()
	if !two.take(60) {
		t.Error("what was released is not there")
	}
	two.release()
	two.release()
	if got := b.used.Load(); got != 0 {
		t.Errorf("%d in use after all was released", got)
	}
	if !one.take(500) {
		t.Error("the only one was refused for being larger than the limit")
	}
	if two.take(1) {
		t.Error("a second one beside it was let in")
	}
}

// A source's rate is raised while what it took at the old one is not paid for.
func TestARaisedRateForgives(t *testing.T) {
	var r sourceRate
	now := int64(0)
	clock := func() int64 { return now }
	r.set(1.0/3600, now)
	if _, ok := r.take(clock); !ok {
		t.Fatal("the first was refused")
	}
	if _, ok := r.take(clock); ok {
		t.Fatal("the second was taken within the hour")
	}
	r.set(500, now)
	now += int64(10 * time.Millisecond)
	if wait, ok := r.take(clock); !ok {
		t.Errorf("at 500/s the next has to wait %s", wait)
	}
	if r.set(1e-300, now); r.cost.Load() <= 0 {
		t.Errorf("hardly any costs %d", r.cost.Load())
	}
}
