package catalog_test

import (
	"context"
	"encoding/json"
	"net"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

// gate holds up everything that comes in through its connections, until it is opened.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed: it is
	dial func(context.Context, string, string) (net.Conn, error)
}

func newGate(dial func(context.Context, string, string) (net.Conn, error)) *gate {
	g := &gate{open: make(chan struct{}), dial: dial}
	close(g.open)
	return g
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

func (g *gate) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	g.pass()
	c, err := g.dial(ctx, network, addr)
	return &gated{c, g}, err
}

type gated struct {
	net.Conn
	gate *gate
}

func (c *gated) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.gate.pass()
	return n, err
}

// slowly reads one batch at a time, behind a gate.
func slowly(options kafka.Options, g *gate) *catalog.Topic {
	return catalog.NewTopic(catalog.TopicOptions{
		Topic: options.Prefix + "catalog", Transaction: options.Prefix + "catalog",
		Client: func(role string) []kgo.Opt {
			return append(options.Base(role), kgo.FetchMaxPartitionBytes(1), kgo.Dialer(g.connect))
		},
	})
}

// compacting makes a catalog's topic that Kafka compacts within a second.
func compacting(t *testing.T, options kafka.Options, keepDeletions time.Duration) {
	t.Helper()
	client, err := kgo.NewClient(options.Base("admin")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	alter := func(op kadm.IncrementalOp) error {
		_, err := admin.AlterBrokerConfigs(context.Background(), []kadm.AlterConfig{{Op: op, Name: "log.cleaner.backoff.ms", Value: new("100")}})
		return err
	}
	if err := alter(kadm.SetConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := alter(kadm.DeleteConfig); err != nil {
			t.Error(err)
		}
	})
	if _, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{
		"cleanup.policy":            new("compact"),
		"segment.ms":                new("100"),
		"min.cleanable.dirty.ratio": new("0.001"),
		"min.compaction.lag.ms":     new("0"),
		"max.compaction.lag.ms":     new("1000"),
		"delete.retention.ms":       new(strconv.FormatInt(keepDeletions.Milliseconds(), 10)),
	}, options.Prefix+"catalog"); err != nil {
		t.Fatal(err)
	}
}

// left counts what is left of the catalog's topic up to an offset: records and, of
// those, deletions.
func left(t *testing.T, options kafka.Options, to int64) (records, deletions int) {
	t.Helper()
	client, err := kgo.NewClient(append(options.Base("counter"), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{options.Prefix + "catalog": {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for read := int64(0); read < to; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read to %d of %d: %v", read, to, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if read = r.Offset + 1; r.Attrs.IsControl() || r.Offset >= to {
				return
			}
			if records++; r.Value == nil {
				deletions++
			}
		})
	}
	return records, deletions
}

// same compares whole catalogs.
func same(t *testing.T, who string, got, want *catalog.State) {
	t.Helper()
	if got.Version != want.Version || got.Unwritten() != want.Unwritten() || got.Len() != want.Len() {
		t.Errorf("%s: version %d with %d entries, unwritten %t; want %d with %d, %t", who, got.Version, got.Len(), got.Unwritten(), want.Version, want.Len(), want.Unwritten())
	}
	for e := range want.All(catalog.KindSource) {
		if g := got.Entry(e.Kind, e.UID); !reflect.DeepEqual(g, e) || got.Named(e.Kind, "", e.Name) != g {
			t.Errorf("%s: got %+v, want %+v", who, g, e)
		}
	}
}

// The topic is compacted while readers come, follow and stand still: all of them end
// with the same catalog, and none sees the half of a change that compaction has left.
func TestACompactedCatalogOnRealKafka(t *testing.T) {
	for name, keep := range map[string]time.Duration{"deletions are kept": 24 * time.Hour, "deletions go as well": 0} {
		t.Run(name, func(t *testing.T) {
			options := kafkatest.Real(t, 1).Options()
			options.Prefix = kafkatest.Prefix(t)
			compacting(t, options, keep)
			follower := topicOf(options)
			run(t, follower)
			still, gone := entry(catalog.KindSource, "", "still"), entry(catalog.KindSource, "", "gone")
			ahead, behind := entry(catalog.KindSource, "", "ahead"), entry(catalog.KindSource, "", "behind")
			counter := entry(catalog.KindSource, "", "counter")
			for _, e := range []*catalog.Entry{ahead, behind, counter} {
				e.Spec = json.RawMessage("0")
			}
			half := put(t, follower, still, gone, ahead, behind, counter)

			var d net.Dialer
			g := newGate(d.DialContext)
			held := slowly(options, g)
			run(t, held)
			t.Cleanup(g.release)
			reached(t, held, half.Version)
			g.hold()

			// No change leaves one behind the other. The second takes from the first what it
			// has made of ahead, once it is compacted.
			ahead.Spec, behind.Spec = json.RawMessage("1"), json.RawMessage("1")
			put(t, follower, ahead, behind)
			ahead.Spec = json.RawMessage("2")
			put(t, follower, ahead)
			removed, err := follower.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
				return catalog.Changes{Remove: []*catalog.Entry{s.Entry(gone.Kind, gone.UID)}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			// Each change closes a segment that is old enough, and so lets the cleaner go on.
			// Left are still, behind, ahead and, where it is kept, one deletion.
			deletions := 1
			if keep == 0 {
				deletions = 0
			}
			for {
				if err := count(t.Context(), follower, counter.UID); err != nil {
					t.Fatal(err)
				}
				if n, d := left(t, options, removed.Version); n == 3+deletions && d == deletions {
					break
				}
			}
			last := now(t, follower)
			if last.Len() != 4 || last.Unwritten() {
				t.Fatalf("%d entries, unwritten %t", last.Len(), last.Unwritten())
			}

			late := slowly(options, newGate(d.DialContext))
			readers := map[string]*catalog.Topic{"one that comes now": late}
			if keep > 0 {
				readers["one that was held up"] = held // without deletions, see TestAReaderThatWasAwayBeginsAnew
			}
			var wg sync.WaitGroup
			for who, reader := range readers {
				wg.Go(func() {
					for {
						s, moved := reader.Next()
						if s.Len() > 0 {
							one, two := s.Entry(ahead.Kind, ahead.UID), s.Entry(behind.Kind, behind.UID)
							if one == nil || two == nil || string(one.Spec) < string(two.Spec) {
								t.Errorf("%s: version %d is half of a change: %+v and %+v", who, s.Version, one, two)
							}
						}
						if s.Version >= last.Version {
							same(t, who, s, last)
							return
						}
						<-moved
					}
				})
			}
			run(t, late)
			g.release()
			wg.Wait()
		})
	}
}

// A reader that read nothing for so long that deletions may be gone begins anew: what
// was deleted meanwhile would be there for ever.
func TestAReaderThatWasAwayBeginsAnew(t *testing.T) {
	for name, tc := range map[string]struct {
		away time.Duration
		anew bool
	}{
		"a week: deletions may be gone":    {7 * 24 * time.Hour, true},
		"five days: all of them are there": {5 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := kafkatest.NewBubble(t)
				open := topicIn(t, b)
				options := b.Options()
				options.Prefix = "causeway."
				g := newGate(b.Net().DialContext)
				held := slowly(options, g)
				run(t, held)
				t.Cleanup(g.release)
				gone, stays := entry(catalog.KindSource, "", "gone"), entry(catalog.KindSource, "", "stays")
				func() { // nobody else reads for a week: that would take long, even here
					writer := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Client: options.Base})
					var wg sync.WaitGroup
					defer wg.Wait()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					wg.Go(func() {
						if err := writer.Run(ctx); err != nil {
							t.Error(err)
						}
					})
					below := put(t, writer, gone).Version
					reached(t, held, put(t, writer, stays).Version)
					g.hold()
					// What compaction leaves of an entry and its deletion: neither.
					trim(t, b, below)
				}()
				time.Sleep(tc.away)
				last := put(t, open(), entry(catalog.KindSource, "", "fresh"))
				g.release()
				got := reached(t, held, last.Version)
				if tc.anew {
					same(t, "the one that was away", got, last)
				} else if got.Entry(gone.Kind, gone.UID) == nil {
					t.Error("the topic was read anew: so it would be all the time")
				}
			})
		})
	}
}

// Compaction leaves nothing of a catalog that was emptied but a marker: it was written
// all the same.
func TestAMarkerIsLeftOfACatalogThatWasEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		writer := open()
		e := entry(catalog.KindSource, "", "gone")
		put(t, writer, e)
		last, err := writer.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
			return catalog.Changes{Remove: []*catalog.Entry{s.Entry(e.Kind, e.UID)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		trim(t, b, last.Version-1)
		s, err := open().AwaitEnd(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "one that comes now", s, last)
	})
}

// trim takes out everything below an offset, in the place of compaction, with which
// kfake is not to be trusted.
func trim(t *testing.T, b *kafkatest.Bubble, below int64) {
	t.Helper()
	client, err := kgo.NewClient(b.Options().Base("trimmer")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets := kadm.Offsets{}
	offsets.AddOffset(catalogTopic, 0, below, -1)
	if _, err := kadm.NewClient(client).DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
}
