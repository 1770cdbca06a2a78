package ingress

import (
	"testing"
	"time"
)

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
