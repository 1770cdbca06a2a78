package egress

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// What comes while a subscription takes nothing waits, without an attempt, and comes
// when it takes some again.
func TestDeliveriesOfARestingSubscriptionWait(t *testing.T) {
	for state, rest := range map[string]func(*catalog.Subscription){
		"paused": func(sub *catalog.Subscription) { sub.Paused = true },
		"faulty": func(sub *catalog.Subscription) { sub.Fault = errors.New("no secret") },
	} {
		t.Run(state, func(t *testing.T) {
			inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
				a, other := born(t, "a", 1), born(t, "b", 2)
				s := newShelf(2, shop(), a, other)
				b.by(s)
				stop := b.start()
				b.events(0, 2)
				time.Sleep(soon)
				s.put(3, shop(), changed(a, 3, rest), other)
				time.Sleep(soon)
				b.events(2, 6)
				time.Sleep(soon)
				b.want("a", 2, 6, 0)
				b.want("b", 0, 6, 1)
				b.wantCommit(6, 3)
				if n := b.count("causeway_egress_parked_total", state); n != 4 {
					t.Errorf("%v records were parked because it is %s, want 4", n, state)
				}
				if live, resting := b.count("causeway_subscriptions", "live"), b.count("causeway_subscriptions", state); live != 1 || resting != 1 {
					t.Errorf("%v subscriptions are live and %v %s, want 1 and 1", live, resting, state)
				}
				s.put(4, shop(), changed(a, 4, func(*catalog.Subscription) {}), other)
				time.Sleep(time.Minute)
				b.halt(stop)
				b.want("a", 0, 6, 1)
				b.want("b", 0, 6, 1)
				for _, got := range b.sink.arrivals {
					if n := got.header.Get("Causeway-Attempt"); n != "1" {
						t.Errorf("%s of %s is attempt %s: waiting counts as none", got.id, got.path, n)
					}
				}
			})
		})
	}
}

// deliver parks a delivery that is due, made by a version of the catalog.
func (b *bed) deliver(sub *catalog.Subscription, id string, version int64) {
	b.t.Helper()
	b.subs = []*catalog.Subscription{sub}
	d := b.parked(id, 1, time.Now())
	d.Version = version
	b.produce(d.DelayRecord("causeway.delay.1s"))
}

// A subscription that a process does not know is deleted if the process has read the
// catalog at least as far as who made the delivery, and only then.
func TestAnUnknownSubscriptionIsDeletedOnlyAtItsVersion(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a := born(t, "a", 1)
		s := newShelf(10, shop(), a)
		s.grow(20)
		b.by(s)
		stop := b.start()
		gone := born(t, "gone", 2)
		b.deliver(gone, "evt-old", 10)
		b.deliver(gone, "evt-new", 20)
		time.Sleep(time.Minute)
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonSubscriptionDeleted || letters[0].Version != 10 {
			t.Fatalf("dead letters at version 10: %+v, want the delivery of version 10", letters)
		}
		if b.count("causeway_egress_parked_total", "behind") < 5 {
			t.Error("the delivery of version 20 does not wait five seconds each time")
		}
		s.put(20, shop(), a)
		time.Sleep(soon)
		time.Sleep(soon)
		b.halt(stop)
		if letters = b.deadLetters(); len(letters) != 2 {
			t.Errorf("%d dead letters at version 20, want 2", len(letters))
		}
	})
}

// A delivery of a version that is not known here does not go to what is known: its
// subscription may have moved.
func TestADeliveryOfANewerVersionWaits(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a := born(t, "old", 1)
		s := newShelf(10, shop(), a)
		s.grow(11)
		b.by(s)
		stop := b.start()
		b.deliver(a, "evt-0", 11)
		time.Sleep(20 * time.Second)
		s.put(11, shop(), changed(a, 11, func(sub *catalog.Subscription) { redirect(t, sub, "http://127.0.0.1:8080/new") }))
		time.Sleep(2 * soon)
		b.halt(stop)
		b.want("old", 0, 1, 0)
		b.want("new", 0, 1, 1)
	})
}

// 410 is said of one form of the entry: the next one begins anew.
func TestAChangedSubscriptionIsNotDisabledAnyMore(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "old" {
			return 410
		}
		return 200
	}
	inBubble(t, answer, nil, func(t *testing.T, b *bed) {
		a := born(t, "old", 1)
		s := newShelf(1, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 1)
		time.Sleep(soon)
		b.events(1, 4)
		time.Sleep(time.Second)
		s.put(2, shop(), a) // somebody else changed
		time.Sleep(time.Second)
		b.want("old", 1, 4, 0)
		if n := b.count("causeway_subscriptions", "disabled"); n != 1 {
			t.Errorf("%v subscriptions are disabled, want 1", n)
		}
		s.put(3, shop(), changed(a, 3, func(sub *catalog.Subscription) { redirect(t, sub, "http://127.0.0.1:8080/new") }))
		time.Sleep(time.Second)
		if n := b.count("causeway_subscriptions", "disabled"); n != 0 {
			t.Errorf("%v subscriptions are disabled after it was changed, want none", n)
		}
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("old", 1, 4, 0)
		b.want("new", 1, 4, 1)
	})
}

// A 410 that comes after the change was said of the form before.
func TestALate410DisablesNothing(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "old" {
			time.Sleep(3 * time.Second)
			return 410
		}
		return 200
	}
	inBubble(t, answer, nil, func(t *testing.T, b *bed) {
		a := born(t, "old", 1)
		s := newShelf(1, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 1)
		time.Sleep(time.Second)
		s.put(2, shop(), changed(a, 2, func(sub *catalog.Subscription) { redirect(t, sub, "http://127.0.0.1:8080/new") }))
		time.Sleep(soon)
		b.events(1, 2)
		time.Sleep(time.Second)
		b.halt(stop)
		b.want("new", 1, 2, 1)
	})
}

// What waits in a queue goes where its subscription is when its turn comes.
func TestQueuedDeliveriesMeetTheNewURL(t *testing.T) {
	slow := func(a arrival) int {
		time.Sleep(3 * time.Second)
		return 200
	}
	inBubble(t, slow, nil, func(t *testing.T, b *bed) {
		a := born(t, "old", 1)
		a.MaxConcurrency = 1
		s := newShelf(1, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 4)
		time.Sleep(time.Second)
		s.put(2, shop(), changed(a, 2, func(sub *catalog.Subscription) { redirect(t, sub, "http://127.0.0.1:8080/new") }))
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("old", 0, 1, 1)
		b.want("old", 1, 4, 0)
		b.want("new", 1, 4, 1)
	})
}

// A subscription that is deleted gets nothing any more, and leaves nothing behind but
// dead letters.
func TestADeletedSubscriptionLeavesItsQueue(t *testing.T) {
	slow := func(a arrival) int {
		time.Sleep(8 * time.Second) // longer than the others wait in the queue
		return 200
	}
	inBubble(t, slow, nil, func(t *testing.T, b *bed) {
		a, idle := born(t, "a", 1), born(t, "idle", 1)
		a.MaxConcurrency = 1
		s := newShelf(1, shop(), a, idle)
		b.by(s)
		var e *Egress
		stop := b.startAs(&e)
		b.events(0, 4)
		time.Sleep(time.Second)
		s.put(2, shop())
		time.Sleep(time.Minute)
		e.dispatch.mu.Lock()
		left := len(e.dispatch.queues)
		e.dispatch.mu.Unlock()
		b.halt(stop)
		if left > 0 {
			t.Errorf("%d queues are left of subscriptions that are gone", left)
		}
		b.want("a", 0, 1, 1)
		b.want("a", 1, 4, 0)
		letters := b.deadLetters()
		if len(letters) != 3 {
			t.Errorf("%d dead letters, want 3", len(letters))
		}
		for _, d := range letters {
			if d.Reason != schemas.ReasonSubscriptionDeleted {
				t.Errorf("dead-lettered as %s", d.Reason)
			}
		}
	})
}

// Topics that are declared while egress runs are read, from none at all too, and whether
// or not they are there already.
func TestNewTopicsAreReadWhileItRuns(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		s := newShelf(1, nil)
		b.by(s)
		stop := b.start()
		time.Sleep(soon)
		declared := func(version int64) []*catalog.Source {
			src := &catalog.Source{Name: "shop", Topic: testTopic, Version: version, Starts: map[string]catalog.Start{testTopic: {Added: version, Offsets: []int64{0}}}}
			return []*catalog.Source{src}
		}
		first := declared(2)
		a := born(t, "a", 3)
		a.Topics = []string{"webhooks.*"}
		s.put(3, first, a)
		b.events(0, 3)
		time.Sleep(2 * time.Second)
		b.want("a", 0, 3, 1)
		if ready, failing := b.health.Ready(); !ready || len(failing) > 0 {
			t.Errorf("ready %t: %+v", ready, failing)
		}
		if n := b.count("causeway_consumer_lag", testTopic); n != 0 {
			t.Errorf("lag %v, want 0", n)
		}

		const later = "webhooks.later"
		both := append(first, &catalog.Source{Name: "later", Topic: later, Version: 4, Starts: map[string]catalog.Start{later: {Added: 4}}})
		s.put(4, both, a)
		time.Sleep(10 * time.Second)
		b.makeTopic(later, 2)
		event := schemas.Event{ID: "evt-9", Source: "later", Received: time.Now(), Body: []byte("x")}
		r, err := event.Record(later, schemas.Raw)
		if err != nil {
			t.Fatal(err)
		}
		b.produce(r)
		time.Sleep(2 * time.Second)
		b.want("a", 9, 10, 1)

		s.put(5, first, a) // its source goes, and comes back
		time.Sleep(time.Second)
		s.put(6, both, a)
		time.Sleep(time.Second)
		b.events(3, 5)
		time.Sleep(time.Second)
		b.halt(stop)
		b.want("a", 3, 5, 1)
		b.wantCommit(5, 6)
		for id := range int32(2) {
			if at := b.committed("causeway.egress", later, id); at < 0 {
				t.Errorf("partition %d of the new topic has no commit", id)
			}
		}
	})
}

// A process that starts with the first source there is does not take its topic for one
// whose commits were lost.
func TestTheFirstTopicOfACatalogLostNoCommit(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		b.by(newShelf(1, nil))
		stop := b.start()
		time.Sleep(time.Minute)
		b.halt(stop)
		src := &catalog.Source{Name: "shop", Topic: testTopic, Version: 2, Starts: map[string]catalog.Start{testTopic: {Added: 2, Offsets: []int64{0}}}}
		b.by(newShelf(3, []*catalog.Source{src}, born(t, "a", 3)))
		stop = b.start()
		b.events(0, 2)
		time.Sleep(soon)
		if text := b.failing("egress_offsets"); text != "" {
			t.Errorf("egress_offsets says %q", text)
		}
		b.halt(stop)
		b.want("a", 0, 2, 1)
	})
}

// One whose topic was there when the group of delay topics committed did lose them.
func TestCommitsOfACatalogsTopicThatAreLost(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		src := &catalog.Source{Name: "shop", Topic: testTopic, Version: 2, Starts: map[string]catalog.Start{testTopic: {Added: 2, Offsets: []int64{0}}}}
		b.by(newShelf(3, []*catalog.Source{src}, born(t, "a", 3)))
		stop := b.start()
		b.events(0, 2)
		time.Sleep(soon)
		b.halt(stop)
		if _, err := kadm.NewClient(b.client).DeleteGroup(t.Context(), "causeway.egress"); err != nil {
			t.Fatal(err)
		}
		stop = b.start()
		time.Sleep(soon)
		b.wantCondition("egress_offsets", "the commit of "+testTopic+"/0 was lost")
		b.halt(stop)
	})
}

// Many ask for a topic when the catalog has changed: it is worked out once.
func TestATopicIsWorkedOutOnce(t *testing.T) {
	x := newIndexed(catalog.NewSnapshot(1, shop(), []*catalog.Subscription{born(t, "a", 1)}))
	var asking sync.WaitGroup
	views := make([]*topicView, 16)
	for i := range views {
		asking.Go(func() { views[i] = x.topic(testTopic) })
	}
	asking.Wait()
	for _, v := range views {
		if v != views[0] || len(v.subscribed) != 1 || len(v.additions) != 1 {
			t.Errorf("one got %+v, another %+v", v, views[0])
		}
	}
}

// Changes that come in a burst are taken together.
func TestABurstOfChanges(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		s := newShelf(1, shop(), born(t, "a", 1))
		b.by(s)
		var e *Egress
		stop := b.startAs(&e)
		time.Sleep(time.Second)
		made := map[*indexed]bool{}
		var last *catalog.Subscription
		for v := range int64(100) {
			last = born(t, "a", v+2, 0)
			s.put(v+2, shop(), last)
			time.Sleep(time.Millisecond)
			made[e.current()] = true
		}
		time.Sleep(followMost)
		if got := e.snapshot().Subscription(last.UID); got != last {
			t.Errorf("version %d is in use, want %d", got.Version, last.Version)
		}
		if len(made) > 10 {
			t.Errorf("%d versions were made ready in a tenth of a second", len(made))
		}
		b.halt(stop)
	})
}

func TestQueuesGoOnlyWhenNothingIsLeft(t *testing.T) {
	d := &dispatcher{tasks: 10, bytes: 1 << 20, queues: map[uuid.UUID]*queue{}}
	nobody := func(uuid.UUID) bool { return false }
	kept, full, flying := uuid.New(), uuid.New(), uuid.New()
	d.queue(kept)
	d.queue(full).push(&task{})
	d.queue(flying).inFlight = 1
	room := make(chan struct{})
	empty := d.queue(uuid.New())
	empty.room = room
	d.sweep(func(uid uuid.UUID) bool { return uid == kept })
	if len(d.queues) != 3 || d.queues[full] == nil || d.queues[flying] == nil || d.queues[kept] == nil {
		t.Errorf("%d queues are left, want those that hold something and the one that is known", len(d.queues))
	}
	select {
	case <-room:
	default:
		t.Error("who waits for room in a queue that went is not told")
	}
	d.queues[full].pop()
	d.sweep(nobody)
	late := d.queue(uuid.New()) // of a record that was matched before the sweep
	late.inFlight = 1
	d.leave(late.uid)
	for _, q := range []*queue{late, d.queues[flying]} {
		q.inFlight = 0
		d.drop(q)
	}
	if len(d.queues) > 0 {
		t.Errorf("%d queues are left, want none", len(d.queues))
	}
}
