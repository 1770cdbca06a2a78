package catalog_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// A writer stands still between reading and writing, and another writes meanwhile: what
// the first one then writes is refused, and it works its change out anew.
func TestAWriterThatStoodStillStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := topicIn(t, kafkatest.NewBubble(t))
		slow, quick := open(), open()
		e := entry(catalog.KindSource, "", "counter")
		e.Spec = json.RawMessage("0")
		put(t, slow, e)
		calls := 0
		state, err := slow.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
			n := counted(t, now, e.UID)
			if calls++; calls == 1 {
				if err := count(t.Context(), quick, e.UID); err != nil {
					return catalog.Changes{}, err
				}
			}
			c := now.Entry(e.Kind, e.UID).Copy()
			c.Spec, _ = json.Marshal(n + 1)
			return catalog.Changes{Put: []*catalog.Entry{c}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := counted(t, state, e.UID); calls != 2 || n != 2 {
			t.Errorf("worked out %d times, counted %d; want 2 and 2", calls, n)
		}
	})
}

// The answer to the end of a transaction is lost: it was committed, and must not be
// made a second time.
func TestAChangeWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		first := topicIn(t, b)()
		e := entry(catalog.KindSource, "", "counter")
		e.Spec = json.RawMessage("0")
		put(t, first, e)
		options := b.Options()
		var lost atomic.Bool
		topic := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Client: func(role string) []kgo.Opt {
			opts := options.Base(role)
			if role != "catalog-writer" || lost.Load() {
				return opts
			}
			return append(opts, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
				if lost.Load() {
					return nil, errors.New("the network is gone")
				}
				c, err := b.Net().DialContext(ctx, network, addr)
				return &deaf{Conn: c, lost: &lost}, err
			}))
		}})
		run(t, topic)
		if err := count(t.Context(), topic, e.UID); err != nil {
			t.Fatal(err)
		}
		if !lost.Load() {
			t.Fatal("no answer was lost: the test shows nothing")
		}
		if n := counted(t, topic.State(), e.UID); n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
	})
}

// deaf is a connection that hears nothing any more once it has asked to end a
// transaction.
type deaf struct {
	net.Conn
	asked atomic.Bool
	lost  *atomic.Bool
}

func (d *deaf) Write(b []byte) (int, error) {
	const keyAt = 4 // behind the length
	if len(b) > keyAt+2 && kmsg.Key(binary.BigEndian.Uint16(b[keyAt:])) == kmsg.EndTxn {
		d.asked.Store(true)
	}
	return d.Conn.Write(b)
}

func (d *deaf) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if d.asked.Load() {
		d.lost.Store(true)
		return 0, errors.Join(io.EOF, d.Close())
	}
	return n, err
}

// The answer is lost and nobody can be asked any more: then the outcome is unknown, and
// said to be; not so when nothing was asked to be committed.
func TestAnUnknownOutcomeIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		refused int16 // the next fence is refused with this code; 0: it is never answered
		early   bool  // so is the first
		unknown bool
	}{
		"the next try is refused for good": {kerr.TransactionalIDAuthorizationFailed.Code, false, true},
		"no other try gets through":        {0, false, true},
		"the first is refused for good":    {kerr.TransactionalIDAuthorizationFailed.Code, true, false},
		"not even the first gets through":  {0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := kafkatest.NewBubble(t)
				first := topicIn(t, b)()
				e := entry(catalog.KindSource, "", "counter")
				e.Spec = json.RawMessage("0")
				put(t, first, e)
				options := b.Options()
				var lost atomic.Bool
				lost.Store(tc.early)
				topic := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Client: func(role string) []kgo.Opt {
					opts := options.Base(role)
					if role != "catalog-writer" {
						return opts
					}
					return append(opts, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
						if lost.Load() && tc.refused == 0 {
							return nil, errors.New("the network is gone")
						}
						c, err := b.Net().DialContext(ctx, network, addr)
						return &deaf{Conn: c, lost: &lost}, err
					}))
				}})
				run(t, topic)
				b.Cluster().ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
					b.Cluster().KeepControl()
					if !lost.Load() || tc.refused == 0 {
						return nil, nil, false
					}
					resp := r.ResponseKind().(*kmsg.InitProducerIDResponse)
					resp.ErrorCode = tc.refused
					return resp, nil, true
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := count(ctx, topic, e.UID)
				if err == nil || !lost.Load() {
					t.Fatalf("%v; an answer was lost: %t", err, lost.Load())
				}
				if errors.Is(err, catalog.ErrUnknownOutcome) != tc.unknown {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
