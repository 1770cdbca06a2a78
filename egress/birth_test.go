package egress

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// A process goes by version 10 and has handed everything on; version 11 adds a
// subscription that begins at 4. It gets each event from there on once, the others
// theirs once, and the commit says so although no offset moved.
func TestABirthGetsWhatWentByWithoutIt(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		s := newShelf(10, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 10)
		time.Sleep(soon)
		before := b.wantCommit(10, 10)
		s.put(11, shop(), a, late, born(t, "c", 11, 7))
		time.Sleep(soon)
		if meta := b.wantCommit(10, 11); !meta.Record.Equal(before.Record) || meta.Topic != before.Topic {
			t.Errorf("the commit of the version lost what stood beside it: %+v, before %+v", meta, before)
		}
		b.events(10, 15)
		time.Sleep(soon)
		b.halt(stop)
		b.want("a", 0, 15, 1)
		b.want("b", 0, 4, 0)
		b.want("b", 4, 15, 1)
		b.want("c", 0, 7, 0)
		b.want("c", 7, 15, 1)
		b.wantCommit(15, 11)
		if n := b.count("causeway_egress_parked_total", "birth"); n != 9 {
			t.Errorf("%v records were parked for the births, want 6 and 3", n)
		}
	})
}

// The catalog changes while the partition is in the middle of its backlog: what lies
// before it is read again, and what lies ahead goes its way, each once.
func TestABirthInTheMiddleOfABacklog(t *testing.T) {
	slow := func(a arrival) int {
		if a.path == "a" {
			time.Sleep(time.Second)
		}
		return 200
	}
	inBubble(t, slow, nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11)
		a.MaxConcurrency = 1
		s := newShelf(10, shop(), a)
		b.by(s)
		before := b.tune
		b.tune = func(o *Options) {
			before(o)
			o.QueueTasks, o.QueueWait = 2, time.Hour
		}
		b.events(0, 20)
		stop := b.start()
		time.Sleep(10 * time.Second)
		s.put(11, shop(), a, late)
		time.Sleep(2 * time.Minute)
		b.halt(stop)
		b.want("a", 0, 20, 1)
		b.want("b", 0, 20, 1)
		if n := b.count("causeway_egress_parked_total", "birth"); n < 5 || n > 15 {
			t.Errorf("%v records were parked for the birth: it did not come in the middle", n)
		}
	})
}

// The same under load on many partitions, with the catalog half a second late: what is
// in the middle of its way is delivered once too.
func TestBirthsUnderLoad(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		const topic = "webhooks.load"
		b.makeTopic(topic, 4)
		sources := []*catalog.Source{{Name: "shop", Topic: topic}}
		add := func(path string, version int64) *catalog.Subscription {
			ends, err := kadm.NewClient(b.client).ListEndOffsets(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			offsets := make([]int64, 4)
			ends.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
			sub := born(t, path, version)
			sub.Topics, sub.Starts = []string{topic}, map[string]catalog.Start{topic: {Added: version, Offsets: offsets}}
			return sub
		}
		subs := []*catalog.Subscription{add("first", 1)}
		s := newShelf(1, sources, subs...)
		b.by(s)
		stop := b.start()
		other := b.start() // so that some partitions move
		l := b.load(topic, 10*time.Millisecond)
		for i := range 5 {
			time.Sleep(700 * time.Millisecond)
			subs = append(subs, add(fmt.Sprintf("late-%d", i), int64(i+2)))
			time.Sleep(500 * time.Millisecond)
			s.put(int64(i+2), sources, subs...)
			if i == 2 {
				b.halt(other)
			}
		}
		time.Sleep(time.Second)
		ledger := l.ledger()
		time.Sleep(10 * time.Second)
		b.halt(stop)
		places := map[string]schemas.Position{}
		for _, r := range b.read(topic) {
			e, err := schemas.NewDecoder(nil).FromRecord(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			places[e.ID] = schemas.Position{Topic: topic, Partition: r.Partition, Offset: r.Offset}
		}
		copies := 0
		for _, sub := range subs {
			for _, id := range ledger {
				at, n := places[id], len(b.sink.of(sub.Name, id))
				switch early := at.Offset < sub.Starts[topic].Offsets[at.Partition]; {
				case early && n > 0:
					t.Errorf("%s got %s at %s, below its start", sub.Name, id, at)
				case !early && n == 0:
					t.Errorf("%s never got %s at %s", sub.Name, id, at)
				case n > 1:
					copies++
				}
			}
		}
		// A rebalance right behind a birth hands on again what was not settled.
		if copies > len(ledger)/10 {
			t.Errorf("%d copies of %d events", copies, len(ledger))
		}
	})
}

// Whoever dies between parking and the commit leaves the older version behind: the next
// one finds the births again, and what he parks once more is dropped as a twin.
func TestACrashBehindTheParkingOfABirth(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		s := newShelf(10, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 10)
		time.Sleep(soon)
		before := b.wantCommit(10, 10)
		refuse := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "causeway.egress", Err: kerr.GroupAuthorizationFailed, Count: -1})
		s.put(11, shop(), a, late)
		time.Sleep(soon)
		if err := stop(); err == nil {
			t.Error("the commit of the stop was not refused")
		}
		b.wantCommit(10, 10)
		refuse.Remove()
		stop = b.start()
		time.Sleep(soon)
		b.halt(stop)
		if meta := b.wantCommit(10, 11); !meta.Record.Equal(before.Record) {
			t.Errorf("the commit of the version has record time %s, want the %s of the one before", meta.Record, before.Record)
		}
		b.want("a", 0, 10, 1)
		b.want("b", 0, 4, 0)
		b.want("b", 4, 10, 1)
		if n := b.metric("causeway_egress_duplicates_total"); n != 6 {
			t.Errorf("%v twins were dropped, want 6", n)
		}
	})
}

// Whoever dies before everything is parked does not take the version up.
func TestACrashBeforeABirthIsParked(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		s := newShelf(10, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 10)
		time.Sleep(soon)
		refuse := b.bubble.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "causeway.delay.1s", Err: kerr.TopicAuthorizationFailed, Count: -1})
		s.put(11, shop(), a, late)
		b.events(10, 12)
		time.Sleep(soon)
		_ = stop()
		b.wantCommit(10, 10)
		refuse.Remove()
		stop = b.start()
		time.Sleep(soon)
		b.halt(stop)
		b.want("a", 0, 12, 1)
		b.want("b", 0, 4, 0)
		b.want("b", 4, 12, 1)
		b.wantCommit(12, 11)
	})
}

// A process that is behind the version in a commit hands nothing on before it has read
// that far; otherwise the birth of version 11 would miss what it hands on.
func TestAProcessThatIsBehindWaits(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		ahead := newShelf(11, shop(), a, late)
		b.by(ahead)
		stop := b.start()
		b.events(0, 10)
		time.Sleep(soon)
		b.halt(stop)
		b.wantCommit(10, 11)

		behind := newShelf(10, shop(), a)
		behind.grow(11)
		b.by(behind)
		stop = b.start()
		b.events(10, 15)
		time.Sleep(time.Minute)
		b.want("a", 10, 15, 0)
		b.wantCommit(10, 11)
		b.wantCondition("egress_catalog", testTopic+"/0 waits for version 11 of the catalog, this process has read 10")
		behind.put(11, shop(), a, late)
		time.Sleep(soon)
		if text := b.failing("egress_catalog"); text != "" {
			t.Errorf("egress_catalog still says %q", text)
		}
		b.halt(stop)
		b.want("a", 0, 15, 1)
		b.want("b", 4, 15, 1)
		b.wantCommit(15, 11)
	})
}

// A rebalance gives partitions to a process that is behind: it waits too, and what the
// other one took up stays taken up.
func TestARebalanceToAProcessThatIsBehind(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		s := newShelf(11, shop(), a, late)
		b.by(s)
		stop := b.start()
		b.events(0, 10)
		time.Sleep(soon)
		behind := newShelf(10, shop(), a)
		behind.grow(11)
		b.by(behind)
		slow := b.start()
		time.Sleep(soon)
		b.halt(stop)
		b.events(10, 15)
		time.Sleep(30 * time.Second)
		b.want("a", 10, 15, 0)
		behind.put(11, shop(), a, late)
		time.Sleep(soon)
		b.halt(slow)
		b.want("a", 0, 15, 1)
		b.want("b", 4, 15, 1)
	})
}

// A version beyond the catalog's end is of a catalog that is no more.
func TestACommitOfACatalogThatIsNoMoreIsRefused(t *testing.T) {
	for name, tune := range map[string]func(*Options){
		"where the catalog can say": func(*Options) {},
		"where it never changes": func(o *Options) {
			snapshot, _ := o.Changed()
			o.Catalog, o.Changed, o.CatalogEnd = func() *catalog.Snapshot { return snapshot }, nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
				a := born(t, "a", 10)
				b.by(newShelf(10, shop(), a))
				stop := b.start()
				b.events(0, 5)
				time.Sleep(soon)
				b.halt(stop)
				b.by(newShelf(5, shop(), changed(a, 5, func(sub *catalog.Subscription) { sub.Starts = nil })))
				before := b.tune
				b.tune = func(o *Options) { before(o); tune(o) }
				stop = b.start()
				b.events(5, 10)
				time.Sleep(time.Minute)
				b.wantCondition("egress_partitions", "it carries version 10 and the catalog ends at 5; put the catalog's topic back, or stop egress and delete the group's offsets")
				b.halt(stop)
				b.want("a", 5, 10, 0)
				b.wantCommit(5, 10)
			})
		})
	}
}

// The first events of a topic: everybody gets them from his own start on.
func TestNothingBelowAStartIsEverDelivered(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		b.by(newShelf(2, shop(), born(t, "a", 1, 0), born(t, "b", 2, 3)))
		b.events(0, 5)
		stop := b.start()
		time.Sleep(soon)
		b.halt(stop)
		b.want("a", 0, 5, 1)
		b.want("b", 0, 3, 0)
		b.want("b", 3, 5, 1)
		b.wantCommit(5, 2)
	})
}

// What a birth needs and retention has deleted counts as lost, and holds nobody up.
func TestABirthWhoseEventsWereDeleted(t *testing.T) {
	for name, tc := range map[string]struct{ below, lost int64 }{
		"some of them": {7, 3},
		"all of them":  {10, 6},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
				a, late := born(t, "a", 10), born(t, "b", 11, 4)
				s := newShelf(10, shop(), a)
				b.by(s)
				stop := b.start()
				b.events(0, 10)
				time.Sleep(soon)
				var trim kadm.Offsets
				trim.Add(kadm.Offset{Topic: testTopic, Partition: 0, At: tc.below})
				if _, err := kadm.NewClient(b.client).DeleteRecords(t.Context(), trim); err != nil {
					t.Fatal(err)
				}
				s.put(11, shop(), a, late)
				time.Sleep(10 * time.Second)
				b.wantCommit(10, 11)
				b.events(10, 12)
				time.Sleep(soon)
				b.halt(stop)
				b.want("b", 0, int(tc.below), 0)
				b.want("b", int(tc.below), 12, 1)
				if n := b.metric("causeway_egress_lost_records_total"); n != float64(tc.lost) {
					t.Errorf("%v records count as lost, want %d", n, tc.lost)
				}
			})
		})
	}
}

// The same for a process that was not there when the topic was made again.
func TestStartsBeyondTheEndOfTheLog(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		b.events(0, 3)
		b.by(newShelf(1, shop(), born(t, "a", 1, 8)))
		stop := b.start()
		time.Sleep(soon)
		b.halt(stop)
		b.events(3, 10)
		stop = b.start()
		time.Sleep(soon)
		b.halt(stop)
		b.want("a", 0, 10, 1)
	})
}

// Starts are offsets of one log. One that is made again begins at 0, and what comes in
// it belongs to everybody, also after a restart.
func TestStartsSayNothingOfATopicThatIsMadeAgain(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		b.by(newShelf(1, shop(), born(t, "a", 1, 8)))
		b.events(0, 10)
		var e *Egress
		stop := b.startAs(&e)
		time.Sleep(soon)
		b.want("a", 8, 10, 1)
		if err := b.bubble.Cluster().DeleteTopic(testTopic); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		b.makeTopic(testTopic, 1)
		b.client.PurgeTopicsFromProducing(testTopic)
		b.events(100, 110) // more than the start, before anybody looks
		e.Recreated(testTopic)
		time.Sleep(2 * soon)
		b.want("a", 100, 110, 1)
		b.halt(stop)
	})
}

// An entry of a later release may be about anybody: what comes then waits for a catalog
// that can be read, and nobody misses it.
func TestAnEntryThatCannotBeReadHoldsEverything(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		a, late := born(t, "a", 10), born(t, "b", 11, 4)
		s := newShelf(10, shop(), a)
		b.by(s)
		stop := b.start()
		b.events(0, 4)
		time.Sleep(soon)
		unread := catalog.NewSnapshot(11, shop(), []*catalog.Subscription{a})
		unread.Newer = errors.New("a newer release wrote subscription b")
		s.show(unread)
		time.Sleep(soon)
		b.events(4, 6)
		time.Sleep(soon)
		b.want("a", 4, 6, 0)
		b.wantCommit(4, 10)
		if _, failing := b.health.Ready(); len(failing) != 1 || failing[0].Code != "egress_catalog" {
			t.Errorf("conditions %+v", failing)
		}
		b.halt(stop) // with it held, and started with it
		stop = b.start()
		time.Sleep(soon)
		b.want("a", 4, 6, 0)
		s.put(12, shop(), a, late)
		time.Sleep(soon)
		if _, failing := b.health.Ready(); len(failing) > 0 {
			t.Errorf("conditions %+v", failing)
		}
		b.halt(stop)
		b.want("a", 0, 6, 1)
		b.want("b", 4, 6, 1)
		b.wantCommit(6, 12)
	})
}
