package ingress

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// bucket is a rate limit in one number: when, in nanoseconds after the server's start,
// all that was taken will be paid for. It needs no lock and no timer.
type bucket struct{ paid atomic.Int64 }

// take takes one that costs so many nanoseconds, if that is not more than credit ahead
// of now. Otherwise it takes nothing and says how long to wait.
func (b *bucket) take(now, cost, credit int64) (wait time.Duration, ok bool) {
	for {
		paid := b.paid.Load()
		next := max(paid, now) + cost
		if ahead := next - now - credit; ahead > 0 {
			return time.Duration(ahead), false
		}
		if b.paid.CompareAndSwap(paid, next) {
			return 0, true
		}
	}
}

// forgive leaves no more to be paid than the credit, which has become smaller.
func (b *bucket) forgive(now, credit int64) {
	for {
		paid := b.paid.Load()
		if paid <= now+credit || b.paid.CompareAndSwap(paid, now+credit) {
			return
		}
	}
}

const (
	addressRows  = 2
	addressSlots = 1 << 15 // buckets a row: 512 KiB in all
)

// addressLimit limits the rate of each address in fixed memory, however many there are.
// An address has one bucket in each row, found by its hash, and shares each with some
// others; it is refused only when all its buckets are empty, so that it takes a flood of
// tens of thousands of addresses to starve one that is innocent.
type addressLimit struct {
	seeds        [addressRows]maphash.Seed
	cost, credit int64 // nanoseconds
	rows         *[addressRows][addressSlots]bucket
}

// newAddressLimit allows perSecond requests per second and address and burst at once;
// perSecond 0 is no limit, and none is nil.
func newAddressLimit(perSecond float64, burst int) *addressLimit {
	if perSecond <= 0 {
		return nil
	}
	l := &addressLimit{rows: new([addressRows][addressSlots]bucket)}
	for i := range l.seeds {
		l.seeds[i] = maphash.MakeSeed()
	}
	l.cost, l.credit = costOf(perSecond)
	if burst > 0 {
		l.credit = l.cost * int64(burst)
	}
	return l
}

// costOf turns a rate into the nanoseconds that one costs and the credit of one
// second's worth, but at least of one.
func costOf(perSecond float64) (cost, credit int64) {
	const most = 1e18 // thirty years, so that sums stay what they are
	cost = max(1, int64(min(float64(time.Second)/perSecond, most)))
	return cost, max(cost, int64(time.Second))
}

// take counts one request of addr at now, in nanoseconds after the server's start.
// Whoever has an IPv6 address has all of its /64.
func (l *addressLimit) take(addr netip.Addr, now int64) bool {
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			addr = network.Addr()
		}
	}
	allowed := false
	for i := range l.rows {
		slot := maphash.Comparable(l.seeds[i], addr) % addressSlots
		if _, ok := l.rows[i][slot].take(now, l.cost, l.credit); ok {
			allowed = true
		}
	}
	return allowed
}

// budget bounds something that many hold parts of.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n if that leaves the limit kept. The first holder may take more than there
// is: a limit set too low must not refuse one thing for ever.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); used > b.limit && used != n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// holding is one request's part of a budget.
type holding struct {
	from *budget
	n    int64
}

func (h *holding) take(n int64) bool {
	if !h.from.take(n) {
		return false
	}
	h.n += n
	return true
}

func (h *holding) release() {
	h.from.give(h.n)
	h.n = 0
}
