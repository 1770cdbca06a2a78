package egress

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/watermark"
	"causeway/pkg/catalog"
	"causeway/pkg/cursor"
)

func TestWhereASubscriptionBegins(t *testing.T) {
	own := map[string]catalog.Start{"t": {Added: 5, Offsets: []int64{10, 20}}}
	earlier := &catalog.Source{Name: "early", Topic: "t", Starts: map[string]catalog.Start{"t": {Added: 3, Offsets: []int64{1}}}}
	declared := &catalog.Source{Name: "late", Topic: "t", Starts: map[string]catalog.Start{"t": {Added: 7, Offsets: []int64{30}}}}
	second := &catalog.Source{Name: "later", Topic: "t", Starts: map[string]catalog.Start{"t": {Added: 9, Offsets: []int64{90}}}}
	moved := &catalog.Source{Name: "moved", Topic: "u", Starts: map[string]catalog.Start{"t": {Added: 1, Offsets: []int64{1}}}}
	for name, tc := range map[string]struct {
		starts  map[string]catalog.Start
		sources []*catalog.Source
		id      int32
		anew    cursor.Anew
		added   int64
		offset  int64
	}{
		"at its own start":                             {own, []*catalog.Source{earlier, declared}, 1, cursor.Anew{}, 5, 20},
		"where a topic was declared anew after it":     {own, []*catalog.Source{declared}, 0, cursor.Anew{}, 7, 30},
		"at 0 of a partition that came later":          {own, nil, 2, cursor.Anew{}, 5, 0},
		"where a topic was declared later":             {map[string]catalog.Start{"u": {Added: 5}}, []*catalog.Source{declared}, 0, cursor.Anew{}, 7, 30},
		"the same, with no start of its own at all":    {nil, []*catalog.Source{declared}, 0, cursor.Anew{}, 7, 30},
		"where the first of two sources declared it":   {nil, []*catalog.Source{second, declared}, 0, cursor.Anew{}, 7, 30},
		"at the oldest, where one was always there":    {nil, []*catalog.Source{declared, {Name: "first", Topic: "t"}, second}, 0, cursor.Anew{}, 0, 0},
		"not where a source had its topic before":      {nil, []*catalog.Source{moved}, 0, cursor.Anew{}, 0, 0},
		"nowhere in the process file":                  {nil, []*catalog.Source{{Name: "s", Topic: "t"}}, 0, cursor.Anew{}, 0, 0},
		"at 0 of a log made anew":                      {own, nil, 1, cursor.Anew{Catalog: 5}, 5, 0},
		"where a log lost its end":                     {own, nil, 1, cursor.Anew{Catalog: 6, Offset: 15}, 5, 15},
		"below where a log lost its end":               {own, nil, 0, cursor.Anew{Catalog: 6, Offset: 15}, 5, 10},
		"at its own start, when the log was anew then": {own, nil, 1, cursor.Anew{Catalog: 4}, 5, 20},
	} {
		t.Run(name, func(t *testing.T) {
			sub := &catalog.Subscription{UID: uuid.New(), Topics: []string{"t*"}, Starts: tc.starts}
			view := newIndexed(catalog.NewSnapshot(9, tc.sources, []*catalog.Subscription{sub})).topic("t")
			start := view.start(sub, "t")
			if got := firstOffset(start, tc.id, tc.anew); start.Added != tc.added || got != tc.offset {
				t.Errorf("added by %d, at %d; want %d, %d", start.Added, got, tc.added, tc.offset)
			}
		})
	}
}

func TestBirthsAreWhatWasPassedBy(t *testing.T) {
	sub := func(version, start int64) *catalog.Subscription {
		return &catalog.Subscription{UID: uuid.New(), Topics: []string{"t"}, Starts: map[string]catalog.Start{"t": {Added: version, Offsets: []int64{start}}}}
	}
	old, passed, ahead, newest := sub(10, 0), sub(11, 490), sub(12, 500), sub(13, 480)
	x := newIndexed(catalog.NewSnapshot(13, nil, []*catalog.Subscription{old, passed, ahead, newest}))
	p := &partition{topic: "t"}
	for name, tc := range map[string]struct {
		took, floor, next int64
		want              []*catalog.Subscription
		from              int64
	}{
		"two of three new ones":              {10, 0, 500, []*catalog.Subscription{passed, newest}, 480},
		"what is taken up is none":           {12, 0, 500, []*catalog.Subscription{newest}, 480},
		"nothing was handed on":              {0, 0, 0, nil, 0},
		"where the log began":                {10, 485, 500, []*catalog.Subscription{passed, newest}, 485},
		"nothing is left of what was passed": {10, 500, 500, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			starts, from := x.births(p, tc.took, tc.floor, tc.next, cursor.Anew{})
			if len(starts) != len(tc.want) || from != tc.from {
				t.Errorf("%d births from %d, want %d from %d", len(starts), from, len(tc.want), tc.from)
			}
			for _, sub := range tc.want {
				if _, ok := starts[sub.UID]; !ok {
					t.Errorf("the one of version %d is missing", sub.Starts["t"].Added)
				}
			}
		})
	}
}

// What a commit says of the catalog is owed: nothing is committed below it.
func TestTheVersionInACommitNeverGoesDown(t *testing.T) {
	m := idleMember(t)
	p := m.own("t", 0)
	p.inherit(watermark.Mark{Offset: 10, Epoch: 3, Record: time.UnixMilli(5)}, cursor.Metadata{Catalog: 10})
	p.tookUp(10)
	if c, ok := p.mark(); ok {
		t.Errorf("%+v is to be committed although nothing changed", c)
	}
	p.complete(p.push(&kgo.Record{Offset: 10}, 1, 0, time.Now()))
	p.inherit(watermark.Mark{Offset: 10, Epoch: 3}, cursor.Metadata{Catalog: 12}) // another one's, of meanwhile
	if c, ok := p.mark(); ok {
		t.Errorf("version %d is to be committed on top of 12", c.catalog)
	}
	p.tookUp(12)
	c, ok := p.mark()
	if !ok || c.Offset != 11 || c.catalog != 12 {
		t.Fatalf("%+v %t, want offset 11 with version 12", c, ok)
	}
	p.committed(c)
	if c, ok := p.mark(); ok {
		t.Errorf("%+v is to be committed again", c)
	}
	if !p.tookUp(13) {
		t.Error("a newer version is nothing to commit")
	}
	if c, ok = p.mark(); !ok || c.Offset != 11 || c.catalog != 13 {
		t.Errorf("%+v %t, want the same offset with version 13", c, ok)
	}
	p.rewind(5)
	p.committed(c) // of before the log went back
	p.tookUp(14)
	if c, ok := p.mark(); ok {
		t.Errorf("offset %d is to be committed of a log that went back to 5", c.Offset)
	}
}

// The admin has asked where the log ends, and the topic is made again before egress sees
// the entry that says it: what comes in the new one belongs to the subscription, also
// what was handed on without it.
func TestAStartOfTheLogBefore(t *testing.T) {
	for name, again := range map[string]func(*bed, *Egress){
		"made again while egress runs": func(b *bed, e *Egress) {
			b.events(0, 10)
			time.Sleep(soon)
			if err := b.bubble.Cluster().DeleteTopic(testTopic); err != nil {
				b.t.Fatal(err)
			}
			time.Sleep(soon)
			b.makeTopic(testTopic, 1)
			b.client.PurgeTopicsFromProducing(testTopic)
			e.Recreated(testTopic)
			time.Sleep(2 * soon)
		},
		"made again before egress came to it": func(*bed, *Egress) {},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
				a := born(t, "a", 1)
				s := newShelf(1, shop(), a)
				b.by(s)
				var e *Egress
				stop := b.startAs(&e)
				time.Sleep(soon)
				again(b, e)
				b.events(100, 103)
				time.Sleep(soon)
				b.want("a", 100, 103, 1)
				s.put(2, shop(), a, born(t, "b", 2, 10))
				time.Sleep(soon)
				b.events(103, 106)
				time.Sleep(2 * soon)
				b.halt(stop)
				b.want("a", 100, 106, 1)
				b.want("b", 0, 10, 0)
				b.want("b", 100, 106, 1)
			})
		})
	}
}

// A start that the partition has not come to is no other log's.
func TestAStartAheadOfThePartition(t *testing.T) {
	slow := func(a arrival) int {
		if a.path == "a" {
			time.Sleep(time.Second)
		}
		return 200
	}
	inBubble(t, slow, nil, func(t *testing.T, b *bed) {
		a := born(t, "a", 1)
		a.MaxConcurrency = 1
		s := newShelf(1, shop(), a)
		b.by(s)
		before := b.tune
		b.tune = func(o *Options) {
			before(o)
			o.QueueTasks, o.QueueWait = 2, time.Hour
		}
		b.events(0, 20)
		stop := b.start()
		time.Sleep(5 * time.Second)
		b.want("a", 10, 20, 0)
		s.put(2, shop(), a, born(t, "b", 2, 20))
		b.events(20, 22)
		time.Sleep(time.Minute)
		b.halt(stop)
		b.want("a", 0, 22, 1)
		b.want("b", 0, 20, 0)
		b.want("b", 20, 22, 1)
	})
}
