package egress

import (
	"math"
	"time"

	"github.com/google/uuid"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
)

// allowance is what a tenant's rate lets all its subscriptions have together in this
// process: a bucket that holds one second's worth, but at least one attempt. When it is
// empty the tenant's queues leave the ring and stand in line here, where they cost
// nobody's turn anything, until there is one to be had again. It outlives changes of the
// tenant and of its subscriptions, which must not hand out another second's worth, and
// is the dispatcher's, under its lock.
type allowance struct {
	tenant *catalog.Tenant // as it was last seen
	cost   time.Duration   // of one attempt; 0: no limit
	paid   time.Time       // when all that was taken will be paid for
	booked time.Time       // whose turn comes after this one has no turn yet
	line   []*queue        // those that wait, the next one first
	timer  *time.Timer     // lets them go on
	armed  bool            // the timer runs
}

// slowest is the longest that one attempt can cost; rates below that would not fit into
// a time.
const slowest = 366 * 24 * time.Hour

// shortestWait keeps the timers of high rates from being the load: what such a rate
// gives in so long is taken at once.
const shortestWait = time.Millisecond

// credit is how far ahead of the time may be taken.
func (a *allowance) credit() time.Duration { return max(a.cost, time.Second) }

// until is how long it takes until n attempts can be taken; not above 0 when they can.
func (a *allowance) until(n int64, now time.Time) time.Duration {
	return max(a.paid.Sub(now), 0) + time.Duration(n)*a.cost - a.credit()
}

// left is how many attempts can be taken now.
func (a *allowance) left(now time.Time) int64 {
	if a.cost == 0 {
		return math.MaxInt64
	}
	return max(int64((a.credit()-max(a.paid.Sub(now), 0))/a.cost), 0)
}

func (a *allowance) take(now time.Time) bool {
	if a.cost == 0 {
		return true
	}
	if a.until(1, now) > 0 {
		return false
	}
	if a.paid.Before(now) {
		a.paid = now
	}
	a.paid = a.paid.Add(a.cost)
	return true
}

// horizon is how far ahead turns are given: whoever would have to wait longer comes again
// after that, which is also when a rate that was raised is felt at the latest.
const horizon = 30 * time.Minute

// turn says how long a delivery that is parked now should stay away. All that wait coming
// back at once would wait in vain but for a few, and use up nothing of the rate meanwhile:
// each gets a turn of its own, as long as others do not take it.
func (a *allowance) turn(now time.Time) time.Duration {
	at := now.Add(delay.Grain)
	if a.booked.After(at) {
		at = a.booked
	}
	wait := at.Sub(now)
	if wait >= horizon {
		return horizon
	}
	a.booked = at.Add(a.cost)
	return wait
}

// set gives it another rate. What a slower one had lent must not be paid for at the
// speed of that one: nobody waits longer than a bucket of the new one takes to fill.
func (a *allowance) set(perSecond float64, now time.Time) {
	a.cost, a.booked = 0, time.Time{}
	if perSecond <= 0 {
		return
	}
	a.cost = max(time.Duration(min(float64(time.Second)/perSecond, float64(slowest))), 1)
	if most := now.Add(a.credit()); a.paid.After(most) {
		a.paid = most
	}
}

// allowance gives the tenant's; nil: the operator's own subscriptions have no limit
// together. A delivery may have been matched by an older form of the tenant than
// others already were: the newer one counts.
func (d *dispatcher) allowance(t *catalog.Tenant) *allowance {
	if t == nil {
		return nil
	}
	a := d.allowances[t.Name]
	if a == nil {
		a = &allowance{tenant: t}
		a.set(t.Rate, time.Now())
		d.allowances[t.Name] = a
	}
	if a.tenant != t && a.tenant.Version <= t.Version {
		d.follow(a, t)
	}
	return a
}

// follow lets the tenant's other form count from now on, also for who waits already.
func (d *dispatcher) follow(a *allowance, t *catalog.Tenant) {
	changed := a.tenant.Rate != t.Rate
	a.tenant = t
	if changed {
		a.set(t.Rate, time.Now())
		d.disarm(a)
		d.goOn(a)
	}
}

// limit makes all allowances those of the tenants as they are now. That of a tenant who
// is gone is forgotten, and what waits for it goes its way, which is no attempt.
func (d *dispatcher) limit(tenants map[string]*catalog.Tenant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, a := range d.allowances {
		if t := tenants[name]; t != nil {
			d.follow(a, t)
			continue
		}
		delete(d.allowances, name)
		a.cost = 0
		d.disarm(a)
		d.goOn(a)
	}
	d.dispatch()
}

// standInLine takes the queue, which is out of the ring, into the line of those that
// wait for their tenant's rate.
func (d *dispatcher) standInLine(q *queue) {
	q.inLine = true
	d.inLine++
	q.allowance.line = append(q.allowance.line, q)
	d.rearm(q.allowance, 1)
}

// goOn puts as many queues back into the ring as the rate allows attempts. Each gets one
// turn, and stands in line again behind the others if there is nothing left then.
func (d *dispatcher) goOn(a *allowance) {
	left := a.left(time.Now())
	var n int64
	for ; n < left && len(a.line) > 0; a.line = a.line[1:] {
		q := a.line[0]
		q.inLine = false
		d.inLine--
		if !q.mayRun(d.bytes) { // parked meanwhile
			q.runnable = false
			continue
		}
		d.ring = append(d.ring, q)
		d.stirred = true
		n++
	}
	if len(a.line) > 0 {
		d.rearm(a, n+1) // n are for those in the ring
	}
}

// giveBack takes back the attempt that was not made.
func (d *dispatcher) giveBack(a *allowance) {
	if a != nil {
		a.paid = a.paid.Add(-a.cost)
		d.goOn(a)
	}
}

// rearm starts the timer, unless it runs, for when n attempts can be taken.
func (d *dispatcher) rearm(a *allowance, n int64) {
	if a.armed || d.stopped {
		return
	}
	a.armed = true
	d.owned.Add(1)
	a.timer = time.AfterFunc(max(a.until(n, time.Now()), shortestWait), func() {
		defer d.owned.Done()
		d.mu.Lock()
		defer d.mu.Unlock()
		a.armed = false
		if !d.stopped {
			d.goOn(a)
			d.dispatch()
		}
	})
}

// disarm stops the timer. One that is about to do its work does it after all, and finds
// what there is then.
func (d *dispatcher) disarm(a *allowance) {
	if a.armed && a.timer.Stop() {
		a.armed = false
		d.owned.Done()
	}
}

// usedUp says whether the rate of the queue's tenant leaves nothing for it now.
func (q *queue) usedUp(now time.Time) bool {
	return q.allowance != nil && q.allowance.left(now) == 0
}

// crowded says why a delivery finds no place in its subscription's queue.
func (d *dispatcher) crowded(uid uuid.UUID) parkedReason {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[uid]; q != nil && (q.inLine || q.usedUp(time.Now())) {
		return parkedRate
	}
	return parkedQueueFull
}

// turn says how long a delivery stays away whose tenant's rate is used up.
func (d *dispatcher) turn(t *catalog.Tenant) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.allowance(t); a != nil {
		return a.turn(time.Now())
	}
	return 0
}

// limited is how many subscriptions wait because their tenant's rate is used up.
func (d *dispatcher) limited() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inLine
}
