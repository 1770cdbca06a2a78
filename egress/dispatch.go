package egress

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// dispatcher serves the queues of all subscriptions from one pool, fairly: the
// queues that have something to do stand in a ring, and each turn starts one
// attempt. Whoever hangs uses up its own limit and nothing else. Those whose tenant's
// rate is used up are not in the ring but in that allowance's line.
type dispatcher struct {
	tasks    int           // bound of one queue
	bytes    int64         // bound of one queue, and of what is under way of it
	inFlight int           // bound of all attempts at once
	wait     time.Duration // longest wait in a queue

	dog      *watchdog
	attempt  func(*task) bool // makes one attempt and says whether it did; called without locks
	parkable func(*task) bool // whether waiting is a reason to park it; must take no lock
	// park parks a task that waited too long; called without locks.
	park func(*task, parkedReason)

	mu         sync.Mutex
	queues     map[uuid.UUID]*queue
	allowances map[string]*allowance // by tenant
	ring       []*queue
	stirred    bool    // queues came into the ring that nobody has looked at
	inLine     int     // queues that wait for their tenant's rate
	running    int     // attempts at once, now
	started    int64   // attempts so far
	waiting    int     // tasks in all queues
	resting    []*step // of goroutines that have ended, for others to take
	stopped    bool
	owned      sync.WaitGroup // attempts and armed timers
}

// offer queues the task. False means that the queue is full. A stopped
// dispatcher takes the task and forgets it: its offset was not committed.
func (d *dispatcher) offer(t *task) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return true
	}
	q := d.queue(t.subscription.UID)
	q.limit = t.subscription.MaxConcurrency
	q.allowance = d.allowance(t.subscription.Owner)
	// A single task larger than the whole bound still goes in when it is alone.
	if q.len() >= d.tasks || q.len() > 0 && q.bytes+t.size > d.bytes {
		return false
	}
	t.queued = time.Now()
	q.push(t)
	d.count(t, 1)
	d.arm(q, d.wait)
	d.ready(q)
	d.dispatch()
	return true
}

// room gives a channel that is closed when the subscription's queue is half empty.
// While it is that already, a task that is too large for the rest has to look again
// by itself: nil, for a closed channel would make it look without a pause.
func (d *dispatcher) room(uid uuid.UUID) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queue(uid)
	if d.halfEmpty(q) {
		return nil
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

func (d *dispatcher) halfEmpty(q *queue) bool { return q.len() <= d.tasks/2 && q.bytes <= d.bytes/2 }

func (d *dispatcher) queue(uid uuid.UUID) *queue {
	q := d.queues[uid]
	if q == nil {
		q = &queue{uid: uid}
		d.queues[uid] = q
	}
	return q
}

// ready puts the queue into the ring if it has something to do.
func (d *dispatcher) ready(q *queue) {
	if !q.runnable && q.mayRun(d.bytes) {
		q.runnable = true
		d.ring = append(d.ring, q)
	}
}

// share is how many attempts one subscription may have while others need some
// too: its own, and at most a quarter of what is left.
func (d *dispatcher) share(q *queue) int {
	left := d.inFlight - (d.running - q.inFlight)
	return max(1, left/4)
}

// dispatch starts attempts as long as there is room for them.
func (d *dispatcher) dispatch() {
	for {
		d.stirred = false
		q, t := d.next()
		switch {
		case t != nil:
			s := d.step()
			d.owned.Go(func() { d.work(q, t, s) })
		case !d.stirred:
			return
		}
	}
}

// work makes attempts until there is nothing left to start: a goroutine that has
// finished one goes on with the next, whosever it is.
func (d *dispatcher) work(q *queue, t *task, s *step) {
	for t != nil {
		s.begin()
		made := d.attempt(t)
		s.rest()
		d.mu.Lock()
		d.running--
		q.inFlight--
		q.flying -= t.size
		if !made {
			d.giveBack(q.allowance)
		}
		d.ready(q)
		d.drop(q)
		q, t = d.next()
		if t == nil {
			d.resting = append(d.resting, s)
		}
		if d.stirred { // one place was free, and now there may be more to do than one
			d.dispatch()
		}
		d.mu.Unlock()
	}
}

// step gives a goroutine that makes attempts something to say it by.
func (d *dispatcher) step() *step {
	n := len(d.resting)
	if n == 0 {
		return d.dog.add("an attempt", attemptLimit)
	}
	s := d.resting[n-1]
	d.resting = d.resting[:n-1]
	return s
}

// count counts the task in or out of what waits.
func (d *dispatcher) count(t *task, n int) {
	d.waiting += n
	t.partition.queued.Add(int64(n))
}

// next takes the next task off the ring and counts it as running.
func (d *dispatcher) next() (*queue, *task) {
	if d.stopped || d.running >= d.inFlight {
		return nil, nil
	}
	for range len(d.ring) {
		q := d.ring[0]
		d.ring = d.ring[1:]
		if !q.mayRun(d.bytes) {
			q.runnable = false
			if q.allowance != nil && len(q.allowance.line) > 0 {
				d.goOn(q.allowance) // its turn is the next one's
			}
			continue
		}
		if q.inFlight >= d.share(q) {
			d.ring = append(d.ring, q)
			continue
		}
		if q.allowance != nil && !q.allowance.take(time.Now()) {
			d.standInLine(q)
			continue
		}
		t := q.pop()
		d.count(t, -1)
		d.started++
		q.inFlight++
		q.flying += t.size
		d.running++
		d.announce(q)
		d.ring = append(d.ring, q)
		return q, t
	}
	return nil, nil
}

// announce tells those who wait that the queue is half empty.
func (d *dispatcher) announce(q *queue) {
	if q.room != nil && (d.stopped || d.halfEmpty(q)) {
		close(q.room)
		q.room = nil
	}
}

// arm starts the queue's timer unless it runs. There is one for each queue that
// holds tasks, and none for the others.
func (d *dispatcher) arm(q *queue, wait time.Duration) {
	if q.overdueOn || d.stopped {
		return
	}
	q.overdueOn = true
	d.owned.Add(1)
	q.overdue = time.AfterFunc(wait, func() { d.expire(q) })
}

// expire parks what has waited too long.
func (d *dispatcher) expire(q *queue) {
	defer d.owned.Done()
	d.mu.Lock()
	q.overdueOn = false
	var out []*task
	why := parkedQueueWait
	if !d.stopped {
		now := time.Now()
		if q.inLine || q.usedUp(now) {
			why = parkedRate
		}
		out = q.overdueTasks(now.Add(-d.wait), d.parkable)
		for _, t := range out {
			d.count(t, -1)
		}
		d.announce(q)
		if oldest, ok := q.oldest(); ok {
			// What has waited long and may not be parked is looked at again after
			// another full wait: whether it may changes rarely.
			wait := oldest.Add(d.wait).Sub(now)
			if wait <= 0 {
				wait = d.wait
			}
			d.arm(q, wait)
		}
		d.drop(q)
	}
	d.mu.Unlock()
	for _, t := range out {
		d.park(t, why)
	}
}

// stop starts nothing more, forgets what is queued, and waits for the attempts
// that are under way.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.stopped = true
	for _, q := range d.queues {
		if q.overdueOn && q.overdue.Stop() {
			q.overdueOn = false
			d.owned.Done()
		}
		d.announce(q)
	}
	for _, a := range d.allowances {
		d.disarm(a)
	}
	d.mu.Unlock()
	d.owned.Wait()
}

// forget drops what waits of partitions that have gone: it would be passed over in
// its turn, but until then take up room and memory that nobody counts any more.
func (d *dispatcher) forget(gone []*partition) {
	dead := make(map[*partition]bool, len(gone))
	for _, p := range gone {
		dead[p] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.queues {
		before := q.len()
		for _, f := range []*fifo{&q.returned, &q.fresh} {
			q.bytes -= f.drop(func(t *task) bool { return dead[t.partition] })
		}
		d.waiting -= before - q.len()
		d.announce(q)
	}
}

// sweep lets the queues of subscriptions go that are not known any more. One that still
// holds something goes when that is gone.
func (d *dispatcher) sweep(known func(uuid.UUID) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid, q := range d.queues {
		if q.left = !known(uid); q.left {
			d.drop(q)
		}
	}
}

// leave lets the queue of a subscription go that is not known any more, when nothing is
// left in it. It is for who finds one that began after the sweep.
func (d *dispatcher) leave(uid uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[uid]; q != nil {
		q.left = true
	}
}

// drop lets a queue go that is left and holds nothing.
func (d *dispatcher) drop(q *queue) {
	if q.left && q.len() == 0 && q.inFlight == 0 && !q.overdueOn && d.queues[q.uid] == q {
		d.announce(q)
		delete(d.queues, q.uid)
	}
}

// thirsty says whether the subscription's queue is running low.
func (d *dispatcher) thirsty(uid uuid.UUID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[uid]
	return q == nil || q.len() < d.tasks/4 && q.bytes < d.bytes/4
}

// depth is how many tasks are queued and how many attempts run.
func (d *dispatcher) depth() (queued, running int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting, d.running
}
