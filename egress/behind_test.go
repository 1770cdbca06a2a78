package egress

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// The catalog was made anew, and its versions began anew: what was parked before goes to
// where its subscription is now, or into the DLQ, and does not go round for ever.
func TestDeliveriesOfACatalogThatIsNoMore(t *testing.T) {
	for name, tune := range map[string]func(*Options){
		"where the catalog can say": func(*Options) {},
		"where it never changes": func(o *Options) {
			snapshot, _ := o.Changed()
			o.Catalog, o.Changed, o.CatalogEnd = func() *catalog.Snapshot { return snapshot }, nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(a arrival) int {
				if a.id == "evt-1" && a.attempt == 1 {
					return 500
				}
				return 200
			}
			inBubble(t, answer, nil, func(t *testing.T, b *bed) {
				a := born(t, "a", 1)
				b.by(newShelf(5, shop(), a))
				before := b.tune
				b.tune = func(o *Options) { before(o); tune(o) }
				stop := b.start()
				b.deliver(a, "evt-0", 20)
				b.deliver(a, "evt-1", 20)
				b.deliver(born(t, "gone", 2), "evt-gone", 20)
				time.Sleep(5 * time.Minute)
				b.want("a", 0, 1, 1)
				b.want("a", 1, 2, 2)
				if got := b.sink.of("a", "evt-1"); len(got) == 2 && got[1].at.Sub(got[0].at) > 31*time.Second {
					t.Errorf("the attempt after one that failed came %v later: it waited for the old catalog again", got[1].at.Sub(got[0].at))
				}
				if text := b.failing("egress_catalog"); text != "" {
					t.Errorf("egress_catalog still says %q", text)
				}
				b.halt(stop)
				letters := b.deadLetters()
				if len(letters) != 1 || letters[0].Reason != schemas.ReasonSubscriptionDeleted || letters[0].Version != 20 {
					t.Errorf("dead letters %+v, want the one of the subscription that is gone", letters)
				}
			})
		})
	}
}

// As long as it may be this process that is behind, what came back waits, and somebody
// is told.
func TestWhatWaitsForTheCatalogSaysSo(t *testing.T) {
	for name, tc := range map[string]struct {
		read, end int64
		known     bool // the catalog has the other subscription
		want      string
	}{
		"behind":                          {10, 30, true, "wait for version 30 of the catalog: this process has read 10"},
		"behind the end of the new one":   {3, 10, true, "this process has read 3"},
		"with a catalog that is no more":  {20, 10, true, "it was made anew; put back what it held, and restart this process"},
		"where nothing was put back yet":  {10, 10, false, "the catalog ends at 10 and has no subscription: put back what it held"},
		"where nobody says where it ends": {10, -1, true, "this process has read 10"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
				a, late := born(t, "a", 1), born(t, "late", 2)
				s := newShelf(tc.read, shop())
				if tc.known {
					s = newShelf(tc.read, shop(), a)
				}
				s.grow(tc.end)
				b.by(s)
				if tc.end < 0 {
					before := b.tune
					b.tune = func(o *Options) { before(o); o.CatalogEnd = nil }
				}
				stop := b.start()
				b.deliver(late, "evt-0", 30)
				time.Sleep(2 * time.Minute)
				b.want("late", 0, 1, 0)
				b.wantCondition("egress_catalog", tc.want)
				s.put(31, shop(), a, late)
				time.Sleep(20 * time.Second)
				if text := b.failing("egress_catalog"); text != "" {
					t.Errorf("egress_catalog still says %q", text)
				}
				b.halt(stop)
				b.want("late", 0, 1, 1)
				if letters := b.deadLetters(); len(letters) > 0 {
					t.Errorf("dead letters %+v", letters)
				}
			})
		})
	}
}

// Where the catalog ended before a delivery came says nothing about it: the version that
// made it may be younger than that.
func TestAnAnswerOfBeforeSaysNothing(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 1), born(t, "late", 11)
		s := newShelf(10, shop(), a)
		b.by(s)
		var e *Egress
		stop := b.startAs(&e)
		b.deliver(a, "evt-old", 40) // so that somebody asks
		time.Sleep(soon)
		if a := e.ends.answer.Load(); a == nil || a.end != 10 {
			t.Fatalf("the answer is %+v: the test shows nothing", a)
		}
		s.grow(11)
		b.subs = []*catalog.Subscription{late}
		d := b.parked("evt-0", 4, time.Now())
		d.Version, d.Waits = 11, 4 // it was parked for other reasons
		b.produce(d.DelayRecord("causeway.delay.1s"))
		time.Sleep(time.Second)
		if n := e.ends.answer.Load().end; n != 10 {
			t.Fatalf("it was asked again, and said %d: the test shows nothing", n)
		}
		s.put(11, shop(), a, late)
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("late", 0, 1, 1)
		if letters := b.deadLetters(); len(letters) > 0 {
			t.Errorf("dead letters %+v", letters)
		}
	})
}

// One of two brokers is cut off from the other and says an old end whenever it is asked.
func TestTheLaterOfTwoAnswersCounts(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 1), born(t, "late", 11)
		s := newShelf(10, shop(), a)
		b.by(s)
		before, asked := b.tune, 0
		b.tune = func(o *Options) {
			before(o)
			o.CatalogEnd = func(context.Context) (int64, error) {
				asked++
				return 10 + int64(asked%2), nil
			}
		}
		stop := b.start()
		b.subs = []*catalog.Subscription{late}
		d := b.parked("evt-0", 4, time.Now())
		d.Version, d.Waits = 11, 4 // it was parked for other reasons
		b.produce(d.DelayRecord("causeway.delay.1s"))
		time.Sleep(time.Minute)
		s.put(11, shop(), a, late)
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("late", 0, 1, 1)
		if letters := b.deadLetters(); len(letters) > 0 {
			t.Errorf("dead letters %+v", letters)
		}
	})
}

// Much that was parked goes round no longer than little.
func TestMuchOfACatalogThatIsNoMore(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a := born(t, "a", 1)
		b.by(newShelf(5, shop(), a))
		b.subs = []*catalog.Subscription{a}
		const many = 3000
		for i := range many {
			d := b.parked(fmt.Sprintf("evt-%d", i), 1, time.Now())
			d.Version = 20
			b.produce(d.DelayRecord("causeway.delay.1s"))
		}
		stop := b.start()
		time.Sleep(5 * time.Minute)
		b.halt(stop)
		b.want("a", 0, many, 1)
		if parked := b.count("causeway_egress_parked_total", "behind"); parked > 6*many {
			t.Errorf("%v times parked, want at most six for each of %d", parked, many)
		}
	})
}

// What is not known in a catalog that cannot be read whole is not gone for sure.
func TestNothingIsGoneFromACatalogThatCannotBeRead(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a := born(t, "a", 1)
		s := newShelf(10, shop(), a)
		held := catalog.NewSnapshot(10, shop(), []*catalog.Subscription{a})
		held.Newer = errors.New("the catalog went back")
		s.show(held)
		b.by(s)
		stop := b.start()
		late := born(t, "late", 9)
		b.deliver(late, "evt-0", 9)
		b.deliver(a, "evt-1", 9)
		time.Sleep(time.Minute)
		b.want("a", 1, 2, 1) // what is known goes on
		if letters := b.deadLetters(); len(letters) > 0 {
			t.Fatalf("dead letters %+v", letters)
		}
		s.put(11, shop(), a, late)
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("late", 0, 1, 1)
	})
}

// A broker that is cut off from the others says an old end for some seconds.
func TestOneOldAnswerEndsNothing(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 1), born(t, "late", 11)
		s := newShelf(10, shop(), a)
		b.by(s)
		stop := b.start()
		b.deliver(late, "evt-0", 11)
		time.Sleep(9 * time.Second)
		s.put(11, shop(), a, late)
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("late", 0, 1, 1)
		if letters := b.deadLetters(); len(letters) > 0 {
			t.Errorf("dead letters %+v", letters)
		}
	})
}
