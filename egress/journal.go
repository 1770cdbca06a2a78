package egress

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress/retry"
	"causeway/schemas"
)

// journal writes a line and a record of each attempt, off the delivery path: attempts
// leave a note, and one goroutine writes up many at once, which costs half of what it
// does to write up each in its turn. When log or Kafka do not keep up, notes are
// dropped and counted rather than waited for.
type journal struct {
	log     *zap.Logger
	client  *kgo.Client
	topic   string
	dropped prometheus.Counter

	mu    sync.Mutex
	notes []note
	some  chan struct{} // there are notes
	end   chan struct{} // closed when no more will come
	ended chan struct{} // closed when all are written up

	fields []zap.Field // of a line; run's alone
}

// note is an attempt that was made.
type note struct {
	schemas.Attempt
	out   retry.Outcome
	err   error
	trace string // id of its trace; empty when nothing is traced
}

const (
	// maxNotes bounds what waits to be written up. Each may hold 4 KiB of a response.
	maxNotes = 4096
	// gather is how long notes are gathered.
	gather = 10 * time.Millisecond
)

func newJournal(log *zap.Logger, client *kgo.Client, topic string, dropped prometheus.Counter) *journal {
	return &journal{
		log: log, client: client, topic: topic, dropped: dropped,
		some: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}),
	}
}

// note takes an attempt down. It never waits.
func (j *journal) note(n *note) {
	j.mu.Lock()
	room := len(j.notes) < maxNotes
	if room {
		j.notes = append(j.notes, *n)
	}
	first := len(j.notes) == 1
	j.mu.Unlock()
	if !room {
		j.dropped.Inc()
	}
	if first {
		select {
		case j.some <- struct{}{}:
		default:
		}
	}
}

// stop ends run, once what was noted so far is written up, and sends it, until ctx
// ends. What is not sent is not missed: attempt records may be dropped.
func (j *journal) stop(ctx context.Context) {
	close(j.end)
	select {
	case <-j.ended:
		_ = j.client.Flush(ctx)
	case <-ctx.Done():
	}
}

// run writes up what is noted, until stop.
func (j *journal) run() {
	defer close(j.ended)
	var notes []note
	for over := false; !over; {
		select {
		case <-j.some:
			pause := time.NewTimer(gather)
			select {
			case <-pause.C:
			case <-j.end:
			}
			pause.Stop()
		case <-j.end:
			over = true
		}
		j.mu.Lock()
		notes, j.notes = j.notes, notes[:0]
		j.mu.Unlock()
		for i := range notes {
			j.write(&notes[i])
		}
		clear(notes) // or they would hold on to what they name until they are written over
	}
}

func (j *journal) write(n *note) {
	j.client.TryProduce(context.Background(), n.Record(j.topic), j.produced)
	level := zap.WarnLevel
	if n.out.Verdict == retry.Done {
		level = zap.InfoLevel
	}
	line := j.log.Check(level, "delivery attempted")
	if line == nil {
		return
	}
	line.Time = n.Started.Add(n.Took)
	fields := append(
		j.fields[:0],
		zap.String(keyEvent, n.EventID), zap.String("source", n.Source), zap.String("type", n.Type),
		zap.String(keySubscription, n.SubscriptionName), zap.Int("attempt", n.Attempt.Attempt), zap.Int("hop", n.Hop),
		zap.String("class", n.Class), zap.Int("status", n.Status), zap.Duration("took", n.Took),
		zap.String("verdict", n.Verdict), zap.Stringer("origin", n.Origin),
	)
	if n.trace != "" {
		fields = append(fields, zap.String("trace", n.trace))
	}
	switch n.out.Verdict {
	case retry.Done:
	case retry.Delay:
		fields = append(fields, zap.Duration("wait", n.out.Wait), zap.NamedError("error", n.err))
	case retry.Dead:
		fields = append(fields, zap.String("reason", string(n.Reason)), zap.NamedError("error", n.err))
	}
	line.Write(fields...)
	j.fields = fields
}

func (j *journal) produced(_ *kgo.Record, err error) {
	if err != nil {
		j.dropped.Inc()
	}
}
