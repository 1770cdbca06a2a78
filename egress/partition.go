package egress

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/delay"
	"causeway/egress/watermark"
	"causeway/pkg/cursor"
	"causeway/pkg/seen"
	"causeway/schemas"
)

// partition is one generation of owning a Kafka partition. Once it is revoked or
// lost it is dead for ever; see the package comment.
type partition struct {
	member *member
	topic  string
	id     int32
	tier   delay.Tier // of a delay topic; zero for events
	as     string     // the member that owns it, by its id; under member.mu

	tag  context.Context    // names this partition in the records that are fetched for it
	stop context.CancelFunc // ends run
	wake chan struct{}      // there is something new in the backlog

	taken bool // its commit was looked up, so that it has a start or is refused one; under member.mu

	step    *step        // of run's goroutine, which alone may use it
	sees    *indexed     // the catalog that it goes by; of run's goroutine too
	handing atomic.Bool  // the record in hand is open and not all of it queued yet
	queued  atomic.Int64 // tasks in the dispatcher's queues

	mu       sync.Mutex
	alive    bool      // may complete, may commit
	draining bool      // nothing new begins
	since    time.Time // when its topic was first read, if that began at its end
	start    int64     // offsets below were settled by an earlier owner: they only fill seen
	marks    watermark.Marks
	saved    watermark.Mark // last acknowledged commit
	rewound  bool           // the log went back: an offset that was tracked may be another record's now
	busy     int            // attempts and writes that are under way
	reached  int64          // highest offset of which an attempt or a write has begun; -1: none
	closing  bool           // while draining: offsets up to reached may still begin
	quiet    chan struct{}  // closed when draining, not busy, and closed up to reached
	backlog  backlog
	refused  error // why this partition is not served; nil when it is
	founding int64 // where it begins and the group has no commit that says so; -1: it has
	expected int64 // the next offset to be fetched; -1: not known
	accepted int64 // highest offset that was handed over; -1: none
	gone     bool  // the topic was deleted: its offsets say nothing about the next one
	handled  int64 // the offset behind the last record that was handed on
	floor    int64 // nothing below was there when it was assigned

	took     int64          // catalog version that is taken up
	owed     int64          // catalog version in the group's commit: it may not go below
	anew     cursor.Anew    // which starts are of a log that is no more
	standing watermark.Mark // the group's commit, as far as it is known here
	stands   bool           // it is known
	rewinds  int            // how often the log went back

	seen    *seen.Window // delay topics: what was already carried on; used by run alone
	evicted int64        // how much of that was counted as forgotten
}

func newPartition(m *member, topic string, id int32) *partition {
	p := &partition{
		member: m, topic: topic, id: id, tier: m.tiers[topic], as: m.as,
		step:  &step{what: fmt.Sprintf("a record of %s/%d", topic, id), limit: watchLimit},
		alive: true, stop: func() {}, wake: make(chan struct{}, 1), reached: -1, founding: -1, expected: -1, accepted: -1, quiet: make(chan struct{}),
	}
	p.tag = context.WithValue(context.Background(), owner{}, p)
	if p.tier.Wait > 0 {
		p.seen = seen.NewWindow(twinAge, twinMax)
	}
	return p
}

// accept takes over records that the client returned. Pause says that fetching has
// to, skewed that a due time was too far away to be believed.
func (p *partition) accept(records []*kgo.Record, now time.Time) (pause, skewed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive || p.draining {
		return false, false
	}
	for _, r := range records {
		h := held{record: r}
		if p.tier.Wait > 0 {
			h.delivery, h.err = schemas.DeliveryFromRecord(r)
		}
		if h.delivery != nil && r.Offset >= p.start {
			var wrong bool
			h.deadline, wrong = delay.Deadline(h.delivery.Due, now, p.tier)
			skewed = skewed || wrong
		}
		p.backlog.push(h)
		p.accepted = max(p.accepted, r.Offset)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	if p.backlog.paused || !p.backlog.over() {
		return false, skewed
	}
	p.backlog.paused = true
	return true, skewed
}

// full says whether fetching has to pause.
func (p *partition) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backlog.paused
}

// next waits for the head of the backlog and, in a delay topic, until it is due.
// It has no record when the partition has ended, or when newer is closed before there
// is one. Resume is true when fetching may have to go on.
func (p *partition) next(ctx context.Context, newer <-chan struct{}) (h held, resume bool) {
	for {
		if ctx.Err() != nil {
			return held{}, false
		}
		p.mu.Lock()
		h = held{}
		if p.backlog.len() > 0 {
			h = p.backlog.records[p.backlog.head]
			if wait := time.Until(h.deadline); h.deadline.IsZero() || wait <= 0 {
				p.backlog.pop()
				resume = p.backlog.paused && p.backlog.low()
				if resume {
					p.backlog.paused = false
				}
				p.mu.Unlock()
				return h, resume
			}
		}
		p.mu.Unlock()
		if h.record == nil {
			select {
			case <-ctx.Done():
			case <-p.wake:
			case <-newer:
				return held{}, false
			}
			continue
		}
		waited(ctx, time.Until(h.deadline))
	}
}

// rewind lets the partition go on at an offset that it had passed, and says
// whether it had. What waits in the backlog counts: its offsets will be other records'.
func (p *partition) rewind(to int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to >= p.start && to > p.accepted {
		return false
	}
	p.start, p.rewound, p.reached, p.expected, p.accepted = min(p.start, to), true, -1, -1, to-1
	p.handled = min(p.handled, to)
	p.saved, p.stands = watermark.Mark{}, false
	p.rewinds++
	return true
}

// push tracks a received record; nil when it is tracked already or the
// partition is dead.
func (p *partition) push(r *kgo.Record, pending int, bytes int64, now time.Time) *watermark.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive {
		return nil
	}
	if last, ok := p.marks.Last(); p.rewound && ok && r.Offset <= last {
		p.marks.Restart(r.Offset)
		p.saved = watermark.Mark{}
	}
	return p.marks.Push(watermark.Received{
		Offset: r.Offset, Epoch: r.LeaderEpoch, Pending: pending, Bytes: bytes, Record: r.Timestamp, Seen: now,
	})
}

// begin announces an attempt or a write for a delivery of this offset. False: the
// partition has gone or is going, forget the delivery.
//
// A partition that is going still begins what lies below an offset that has begun:
// one subscription is always ahead of another, and only offsets without a gap below
// them can be committed. What was delivered beyond a gap would come again.
func (p *partition) begin(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive || p.draining && (!p.closing || offset > p.reached) {
		return false
	}
	p.reached = max(p.reached, offset)
	p.busy++
	return true
}

// owned says whether this generation still owns its partition.
func (p *partition) owned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

// end takes back one begin.
func (p *partition) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.hush()
}

// hush closes quiet, once, when nothing is under way and nothing new can begin.
func (p *partition) hush() {
	if mark, _ := p.marks.Mark(); !p.draining || p.busy > 0 || p.closing && mark.Offset <= p.reached {
		return
	}
	select {
	case <-p.quiet:
	default:
		close(p.quiet)
	}
}

// isDraining says whether nothing new may begin.
func (p *partition) isDraining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
}

// earlier says whether the offset was settled by another owner.
func (p *partition) earlier(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return offset < p.start
}

// adopt goes on where the group's commit stands, if that is ahead.
func (p *partition) adopt(offset int64) {
	p.inherit(watermark.Mark{Offset: offset, Epoch: -1}, cursor.Metadata{})
}

// inherit goes on where the group's commit stands, if that is ahead, and owes it what
// it says of the catalog. What was taken up here stays as it is: whoever made the commit
// read again for births up to where he was, and we may have handed on more since.
func (p *partition) inherit(at watermark.Mark, meta cursor.Metadata) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = max(p.start, at.Offset)
	p.saved.Offset = max(p.saved.Offset, at.Offset)
	p.expected = max(p.expected, p.start)
	p.founding = -1
	if !p.stands || at.Offset >= p.standing.Offset {
		p.standing, p.stands = at, true
	}
	p.owed = max(p.owed, meta.Catalog)
	p.outdate(meta.Anew)
}

// hold announces a write that belongs to no offset; end takes it back. False: the
// partition has gone or is going.
func (p *partition) hold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive || p.draining {
		return false
	}
	p.busy++
	return true
}

// complete counts one settlement of the entry and gives back the bytes that it
// set free and whether there is something new to commit. On a dead partition it
// does nothing: another member owns the offset now.
func (p *partition) complete(e *watermark.Entry) (freed int64, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive {
		return 0, false
	}
	freed = p.marks.Complete(e)
	mark, ok := p.marks.Mark()
	return freed, ok && mark.Offset > p.saved.Offset
}

// closingTime is how long a partition that is going may take for what lies below
// the offsets that have begun. A subscription that is further behind makes the
// others' deliveries come again rather than hold up a rebalance.
const closingTime = 3 * time.Second

// drain lets nothing new begin but what closes gaps; quiet is closed when what has
// begun is through. A revoke and a stop may drain the same partition.
func (p *partition) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop() // under the lock: a start that comes in between would never be stopped
	if !p.draining {
		p.draining, p.closing = true, true
		time.AfterFunc(closingTime, p.closed)
	}
	p.hush()
}

// closed ends the time for gaps.
func (p *partition) closed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = false
	p.hush()
}

// kill ends the generation and gives back the bytes that its open entries held.
func (p *partition) kill() (freed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	if !p.alive {
		return 0
	}
	p.alive, p.draining = false, true
	p.backlog = backlog{}
	return p.marks.OpenBytes()
}

// mark is what may be committed, when that is more than was: a higher offset, or the
// same one with a newer version of the catalog.
func (p *partition) mark() (markedPartition, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.committable() {
		return markedPartition{}, false
	}
	m := markedPartition{partition: p, catalog: p.took, anew: p.anew, since: p.since, rewinds: p.rewinds}
	mark, ok := p.marks.Mark()
	switch {
	case ok && mark.Offset > p.saved.Offset:
		m.Mark = mark
	case p.founding >= 0:
		m.Mark = watermark.Mark{Offset: p.founding, Epoch: -1}
	case p.stands && p.took > p.owed:
		m.Mark = p.standing
	default:
		return markedPartition{}, false
	}
	return m, true
}

// committable says whether offsets of this partition may be committed, which a version
// of the catalog below the one in the group's commit may not go with; mu is held.
func (p *partition) committable() bool {
	return p.alive && p.refused == nil && !p.gone && p.took >= p.owed
}

// oldest is when the record that holds the mark was received; false when none does.
func (p *partition) oldest() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.Oldest()
}

// committed notes an acknowledged commit.
func (p *partition) committed(m markedPartition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.founding = -1
	p.owed = max(p.owed, m.catalog)
	if m.rewinds == p.rewinds { // else the log went back meanwhile
		p.standing, p.stands = m.Mark, true
	}
	if now, ok := p.marks.Mark(); ok && m.Offset <= now.Offset {
		p.saved = m.Mark
	}
}
