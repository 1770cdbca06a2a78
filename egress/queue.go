package egress

import (
	"container/list"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"causeway/egress/watermark"
	"causeway/pkg/catalog"
	"causeway/schemas"
)

// task is one delivery on its way through this process.
type task struct {
	delivery     schemas.Delivery
	event        *schemas.Event
	subscription *catalog.Subscription
	entry        *watermark.Entry
	partition    *partition
	reborn       *reborn     // its record is read again, for births, and has no entry; nil: it is not
	processing   *processing // the span of its record; nil when nothing is traced
	span         trace.Span  // of its attempt; nil when there is none
	queued       time.Time   // when it entered the queue
	size         int64       // bytes, against the queue's bound
	acknowledged bool        // what settles it is; of whoever makes that write

	unacknowledged *list.Element // of the settler, while its record is on its way
}

// name is the subscription's, where it still is one.
func (t *task) name() string {
	if t.subscription == nil {
		return ""
	}
	return t.subscription.Name
}

// fifo is a queue of tasks that reuses its memory.
type fifo struct {
	tasks []*task
	head  int
}

func (f *fifo) len() int { return len(f.tasks) - f.head }

func (f *fifo) push(t *task) { f.tasks = append(f.tasks, t) }

func (f *fifo) peek() *task {
	if f.len() == 0 {
		return nil
	}
	return f.tasks[f.head]
}

func (f *fifo) pop() *task {
	t := f.peek()
	if t == nil {
		return nil
	}
	f.tasks[f.head] = nil
	f.head++
	if f.head == len(f.tasks) {
		f.tasks, f.head = f.tasks[:0], 0
	} else if f.head > 256 && f.head*2 > len(f.tasks) {
		n := copy(f.tasks, f.tasks[f.head:])
		clear(f.tasks[n:])
		f.tasks, f.head = f.tasks[:n], 0
	}
	return t
}

// drop takes out the tasks that are gone, and gives their bytes.
func (f *fifo) drop(gone func(*task) bool) (bytes int64) {
	kept := f.tasks[:0]
	for _, t := range f.tasks[f.head:] {
		if gone(t) {
			bytes += t.size
		} else {
			kept = append(kept, t)
		}
	}
	clear(f.tasks[len(kept):])
	f.tasks, f.head = kept, 0
	return bytes
}

// queue holds the deliveries of one subscription that wait for an attempt. What
// comes back from a delay topic goes before what is new, so that a flood of new
// events cannot keep old ones waiting. It is guarded by the dispatcher's lock.
type queue struct {
	uid       uuid.UUID
	limit     int // attempts at once
	returned  fifo
	fresh     fifo
	bytes     int64
	inFlight  int
	flying    int64         // bytes of what is in flight
	runnable  bool          // stands in the dispatcher's ring, or in line
	inLine    bool          // waits outside of the ring for its tenant's rate
	room      chan struct{} // closed when the queue is half empty again; nil when nobody waits
	overdue   *time.Timer   // fires when the head has waited too long
	overdueOn bool
	allowance *allowance // of its tenant; nil: none
	left      bool       // its subscription is not known any more
}

func (q *queue) len() int { return q.returned.len() + q.fresh.len() }

// mayRun says whether an attempt of the next task may begin. So many bytes may be
// under way at most, for large bodies to a subscriber that hangs would use up the
// memory of everybody else on their partition; a single task may be larger.
func (q *queue) mayRun(bytes int64) bool {
	t := q.peek()
	return t != nil && q.inFlight < q.limit && (q.inFlight == 0 || q.flying+t.size <= bytes)
}

func (q *queue) peek() *task {
	if t := q.returned.peek(); t != nil {
		return t
	}
	return q.fresh.peek()
}

func (q *queue) push(t *task) {
	if t.delivery.Hop > 0 {
		q.returned.push(t)
	} else {
		q.fresh.push(t)
	}
	q.bytes += t.size
}

func (q *queue) pop() *task {
	t := q.returned.pop()
	if t == nil {
		t = q.fresh.pop()
	}
	if t != nil {
		q.bytes -= t.size
	}
	return t
}

// oldest is when the task that has waited longest was queued.
func (q *queue) oldest() (time.Time, bool) {
	a, b := q.returned.peek(), q.fresh.peek()
	switch {
	case a == nil && b == nil:
		return time.Time{}, false
	case a == nil || b != nil && b.queued.Before(a.queued):
		return b.queued, true
	default:
		return a.queued, true
	}
}

// overdueTasks takes out the tasks at the head that were queued at or before the
// time, up to the first one that may not be parked.
func (q *queue) overdueTasks(before time.Time, parkable func(*task) bool) []*task {
	var out []*task
	for _, f := range []*fifo{&q.returned, &q.fresh} {
		for t := f.peek(); t != nil && !t.queued.After(before) && parkable(t); t = f.peek() {
			f.pop()
			q.bytes -= t.size
			out = append(out, t)
		}
	}
	return out
}
