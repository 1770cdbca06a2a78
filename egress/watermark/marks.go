// Package watermark says which offset of a partition may be committed.
//
// It keeps a list of the offsets that were received, in their order. Offsets
// that never came (transaction markers, compaction) are gaps that cost nothing:
// what is committed is one past the last received offset before the first one
// that is still open. A dense bitset over offsets would stall on such gaps
// (Knative eventing-kafka-broker #4451).
//
// Of settled offsets that follow one another only the last is kept, so the list
// is as long as what is open, however long one offset holds the mark.
package watermark

import "time"

// Entry is one received offset that is still open or waits behind an open one.
// It holds no payload; the tasks do.
type Entry struct {
	offset  int64
	epoch   int32
	pending int
	bytes   int64
	record  time.Time
	seen    time.Time

	before, after *Entry
	listed        bool // counts for the mark
	settled       bool
}

// Offset is the entry's offset.
func (e *Entry) Offset() int64 { return e.offset }

// Received describes one received record.
type Received struct {
	Offset  int64
	Epoch   int32     // leader epoch, -1 when unknown
	Pending int       // how many settlements it waits for; 0 is settled at once
	Bytes   int64     // what it holds of the memory budget
	Record  time.Time // record timestamp
	Seen    time.Time // when it was received here
}

// Mark is what may be committed: everything below Offset is settled.
type Mark struct {
	Offset int64
	Epoch  int32
	Record time.Time // timestamp of the last settled record below Offset; zero when unknown
}

// Marks tracks one partition in one generation of its ownership. It is not safe
// for concurrent use. The zero value has received nothing.
type Marks struct {
	head, tail *Entry // received and not yet below the mark
	length     int
	mark       Mark
	any        bool
	last       int64
	open       int64
}

// Push adds a received record. Offsets must rise: one at or below the last is
// refused with nil, for it is already tracked.
func (m *Marks) Push(r Received) *Entry {
	if m.any && r.Offset <= m.last {
		return nil
	}
	m.any, m.last = true, r.Offset
	e := &Entry{offset: r.Offset, epoch: r.Epoch, pending: r.Pending, bytes: r.Bytes, record: r.Record, seen: r.Seen, before: m.tail, listed: true}
	if m.tail != nil {
		m.tail.after = e
	} else {
		m.head = e
	}
	m.tail = e
	m.length++
	m.open += r.Bytes
	return e
}

// Last is the last offset received; false when there is none.
func (m *Marks) Last() (int64, bool) { return m.last, m.any }

// Restart lets offsets begin anew at a lower one, because the log itself went back:
// what was received from there on is gone, and other records will have its offsets.
// Its entries count for the mark no more, and for the bytes until they are completed.
func (m *Marks) Restart(at int64) {
	for m.tail != nil && m.tail.offset >= at {
		m.unlist(m.tail)
	}
	if m.mark.Offset > at {
		m.mark = Mark{}
	}
	if m.any = m.any && m.tail != nil; m.any {
		m.last = m.tail.offset
	}
}

// Complete takes one settlement off the entry and gives back the bytes that this
// set free, 0 while it waits for more. Completing an entry more often than it has
// settlements is a fault of the caller and does nothing.
func (m *Marks) Complete(e *Entry) (freed int64) {
	if e.pending > 0 {
		e.pending--
	}
	if e.pending > 0 || e.settled {
		return 0
	}
	freed, e.bytes, e.settled = e.bytes, 0, true
	m.open -= freed
	switch {
	case !e.listed:
	case e == m.head:
		m.advance()
	default:
		if e.before.settled {
			m.unlist(e.before)
		}
		if e.after != nil && e.after.settled {
			m.unlist(e)
		}
	}
	return freed
}

// advance takes what is settled off the head.
func (m *Marks) advance() {
	for m.head != nil && m.head.settled {
		e := m.head
		m.mark = Mark{Offset: e.offset + 1, Epoch: e.epoch, Record: e.record}
		m.unlist(e)
	}
}

func (m *Marks) unlist(e *Entry) {
	if e.before != nil {
		e.before.after = e.after
	} else {
		m.head = e.after
	}
	if e.after != nil {
		e.after.before = e.before
	} else {
		m.tail = e.before
	}
	e.before, e.after, e.listed = nil, nil, false
	m.length--
}

// Mark is what may be committed now; false when nothing was settled yet.
func (m *Marks) Mark() (Mark, bool) { return m.mark, m.mark.Offset > 0 }

// Head is the first offset that is still open; false when none is.
func (m *Marks) Head() (int64, bool) {
	if m.head == nil {
		return 0, false
	}
	return m.head.offset, true
}

// Open is how many entries are not below the mark: those that are open, and one for
// each run of settled ones behind them.
func (m *Marks) Open() int { return m.length }

// OpenBytes is how much of the memory budget open entries hold.
func (m *Marks) OpenBytes() int64 { return m.open }

// Oldest is when the entry that holds the mark was received; false when none does.
func (m *Marks) Oldest() (time.Time, bool) {
	if m.head == nil {
		return time.Time{}, false
	}
	return m.head.seen, true
}
