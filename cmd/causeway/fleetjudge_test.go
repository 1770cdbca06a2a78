package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/schemas"
)

// commitWatch follows the commits of the group of events from outside.
type commitWatch struct {
	mu      sync.Mutex
	highest map[int32]int64
	rises   map[int32][]commitRise
}

// commitRise is a commit as it was first seen.
type commitRise struct {
	at     time.Time
	offset int64
}

func watchCommits(f *fleet) *commitWatch {
	w := &commitWatch{highest: map[int32]int64{}, rises: map[int32][]commitRise{}}
	client := f.kafka()
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			try, done := context.WithTimeout(ctx, 5*time.Second)
			offsets, err := kadm.NewClient(client).FetchOffsets(try, f.prefix+"egress")
			done()
			if err == nil {
				w.note(offsets["webhooks."+f.source], time.Now())
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	f.t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return w
}

// note takes an answer. One that is lower than an earlier one is passed over: brokers
// that were all gone answer for a moment from what they know to be on all of them.
func (w *commitWatch) note(offsets map[int32]kadm.OffsetResponse, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, o := range offsets {
		if o.Err == nil && o.At > w.highest[id] {
			w.highest[id] = o.At
			w.rises[id] = append(w.rises[id], commitRise{now, o.At})
		}
	}
}

// passed says whether the offset was committed, as seen from outside, at that time.
func (w *commitWatch) passed(id int32, offset int64, at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rises[id] {
		if r.offset > offset {
			return r.at.Before(at)
		}
	}
	return false
}

// verdict is the two ledgers, joined.
type verdict struct {
	acknowledged, stored, storedTwice, deliveries int
	copies                                        []deliveredAgain
}

// deliveredAgain is a delivery beyond one for each record of the event.
type deliveredAgain struct {
	key     string // sub/id
	arrived time.Time
	late    bool // although its offset was committed: nothing explains it
}

func (v verdict) late() int {
	n := 0
	for _, c := range v.copies {
		if c.late {
			n++
		}
	}
	return n
}

func (v verdict) String() string {
	return fmt.Sprintf("%d events acknowledged, %d stored, %d of them twice; %d deliveries, %d of them again, %d of those after their commit",
		v.acknowledged, v.stored, v.storedTwice, v.deliveries, len(v.copies), v.late())
}

// judge joins the ledgers. A commit that went back fails the test whatever happened.
func (f *fleet) judge(load *fleetLoad) verdict {
	f.t.Helper()
	stored := f.stored()
	v := verdict{acknowledged: len(load.acknowledged()), stored: len(stored)}
	for _, at := range stored {
		if len(at) > 1 {
			v.storedTwice++
		}
	}
	for key, times := range f.sink.all() {
		v.deliveries += len(times)
		_, id, _ := strings.Cut(key, "/")
		at := stored[id]
		for i := max(1, len(at)); i < len(times); i++ {
			again := deliveredAgain{key: key, arrived: times[i].Add(-f.sink.takes), late: true}
			for _, p := range at {
				// A second for what was on its way when the commit was made.
				again.late = again.late && f.commits.passed(p.Partition, p.Offset, again.arrived.Add(-time.Second))
			}
			v.copies = append(v.copies, again)
		}
	}
	f.commitsRise()
	f.t.Logf("%s\n%s", load, v)
	return v
}

// stored reads the event topic: where each event stands.
func (f *fleet) stored() map[string][]schemas.Position {
	f.t.Helper()
	found := map[string][]schemas.Position{}
	f.read("webhooks."+f.source, func(r *kgo.Record) {
		e, err := schemas.FromRecord(r)
		if err != nil {
			f.t.Fatal(err)
		}
		found[e.ID] = append(found[e.ID], schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset})
	})
	return found
}

// commitsRise fails the test when one of the commits of the group, as they stand in
// Kafka's own log, is below one before it.
func (f *fleet) commitsRise() {
	f.t.Helper()
	highest := map[string]int64{}
	commits := 0
	f.read("__consumer_offsets", func(r *kgo.Record) {
		key, value := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
		if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) > 1 || key.ReadFrom(r.Key) != nil || key.Group != f.prefix+"egress" || key.Topic != "webhooks."+f.source || r.Value == nil {
			return // not a commit, or not one of ours
		}
		if err := value.ReadFrom(r.Value); err != nil {
			f.t.Fatal(err)
		}
		commits++
		at := fmt.Sprintf("%s/%d", key.Topic, key.Partition)
		if value.Offset < highest[at] {
			f.t.Errorf("the commit of %s went back from %d to %d", at, highest[at], value.Offset)
		}
		highest[at] = max(highest[at], value.Offset)
	})
	if commits == 0 {
		f.t.Error("no commits were found")
	}
}

// read gives the topic's records, as far as it goes now.
func (f *fleet) read(topic string, each func(*kgo.Record)) {
	f.t.Helper()
	client := f.kafka(kgo.ConsumeTopics(topic))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left := map[int32]int64{} // partition -> last offset
	f.await("the end of "+topic, func() error {
		ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset > 0 {
				left[o.Partition] = o.Offset - 1
			}
		})
		return err
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			f.t.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			each(r)
			if last, ok := left[r.Partition]; ok && r.Offset >= last {
				delete(left, r.Partition)
			}
		})
	}
}
