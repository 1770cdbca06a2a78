package egress

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/schemas"
)

// held is a record that was received and not yet handled. A delay topic's is
// read at once, because its due time is needed; the others are read when their
// turn comes.
type held struct {
	record   *kgo.Record
	delivery *schemas.Delivery // of a delay topic's record; nil when it is unreadable
	err      error             // why it is unreadable
	deadline time.Time         // when it may go on; zero: at once
}

// backlog is what the client has handed over and run has not handled. Beyond its
// bounds the partition's fetching pauses, until half of it is gone.
type backlog struct {
	records []held
	head    int
	bytes   int64
	paused  bool
}

// Bounds of one partition's backlog.
const (
	backlogRecords = 500
	backlogBytes   = 512 << 10
)

func (b *backlog) len() int { return len(b.records) - b.head }

func (b *backlog) push(h held) {
	b.records = append(b.records, h)
	b.bytes += recordSize(h.record)
}

func (b *backlog) pop() {
	b.bytes -= recordSize(b.records[b.head].record)
	b.records[b.head] = held{}
	b.head++
	switch {
	case b.head == len(b.records):
		b.records, b.head = b.records[:0], 0
	case b.head > backlogRecords: // in one that is never quite empty, what has gone would stay for ever
		n := copy(b.records, b.records[b.head:])
		clear(b.records[n:])
		b.records, b.head = b.records[:n], 0
	}
}

func (b *backlog) over() bool { return b.len() >= backlogRecords || b.bytes >= backlogBytes }

func (b *backlog) low() bool { return b.len() <= backlogRecords/2 && b.bytes <= backlogBytes/2 }

// recordSize is what a record counts against memory bounds, in bytes.
func recordSize(r *kgo.Record) int64 {
	size := 256 + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}

// heldSize is about what the record takes with its event, whose body may be memory
// of its own: Avro as JSON.
func heldSize(r *kgo.Record, event *schemas.Event) int64 {
	size := recordSize(r)
	if event != nil && len(event.Body) > len(r.Value) {
		size += int64(len(event.Body))
	}
	return size
}
