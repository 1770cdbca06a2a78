// Package limit limits rates without locks and timers, and those of many in fixed
// memory. Times are nanoseconds after a moment that the caller chooses, always the same.
package limit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Bucket is a rate limit in one number: when all that was taken will be paid for (the
// generic cell rate algorithm, ITU-T I.371). The zero value is full, also for many
// goroutines at once.
type Bucket struct{ paid atomic.Int64 }

// Take takes one that costs so many nanoseconds, if that is not more than credit ahead
// of now. Otherwise it takes nothing and says how long to wait.
func (b *Bucket) Take(now, cost, credit int64) (wait time.Duration, ok bool) {
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

// Forgive leaves no more to be paid than the credit, which has become smaller.
func (b *Bucket) Forgive(now, credit int64) {
	for {
		paid := b.paid.Load()
		if paid <= now+credit || b.paid.CompareAndSwap(paid, now+credit) {
			return
		}
	}
}

// Cost turns a rate into the nanoseconds that one costs and the credit of one second's
// worth, but at least of one.
func Cost(perSecond float64) (cost, credit int64) {
	const most = 1e18 // thirty years, so that sums stay what they are
	cost = max(1, int64(min(float64(time.Second)/perSecond, most)))
	return cost, max(cost, int64(time.Second))
}

const rows = 2

// Each limits the rate of each of many, however many there are. Each has one bucket in
// each row, found by its hash, and shares it with some others; it is refused only when
// all its buckets are empty, so that it takes a flood of as many as a row has buckets to
// starve one that is innocent.
type Each[K comparable] struct {
	seeds        [rows]maphash.Seed
	cost, credit int64
	buckets      [rows][]Bucket
}

// NewEach allows perSecond for each and burst at once, or one second's worth when burst
// is 0, in two rows of so many buckets of 8 bytes. perSecond 0 is no limit, which is nil.
func NewEach[K comparable](perSecond float64, burst, buckets int) *Each[K] {
	if perSecond <= 0 {
		return nil
	}
	l := &Each[K]{}
	l.cost, l.credit = Cost(perSecond)
	if burst > 0 {
		l.credit = l.cost * int64(burst)
	}
	for i := range l.buckets {
		l.seeds[i], l.buckets[i] = maphash.MakeSeed(), make([]Bucket, buckets)
	}
	return l
}

// Take counts one of who, or says how long until there is one.
func (l *Each[K]) Take(who K, now int64) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	for i, row := range l.buckets {
		slot := maphash.Comparable(l.seeds[i], who) % uint64(len(row))
		ahead, taken := row[slot].Take(now, l.cost, l.credit)
		if i == 0 || ahead < wait {
			wait = ahead
		}
		ok = ok || taken
	}
	return wait, ok
}

// Peer is whom an address stands for: whoever has an IPv6 address has all of its /64.
func Peer(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}
