package admin

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	limitRows  = 2
	limitSlots = 1 << 12 // buckets a row: 64 KiB in all
)

// limit limits how often each of many may do something, in fixed memory, however many
// there are. Each has one bucket in each row, found by its hash, and is refused only
// when all of them are empty, so that one that is innocent shares the fate of another
// only if it shares every bucket. A bucket is one number: when, in nanoseconds after
// the start, all that was taken will be paid for.
type limit struct {
	start        time.Time
	cost, credit int64 // nanoseconds
	seeds        [limitRows]maphash.Seed
	rows         [limitRows][limitSlots]atomic.Int64
}

func newLimit(perSecond float64, burst int) *limit {
	l := &limit{start: time.Now(), cost: max(1, int64(float64(time.Second)/perSecond))}
	l.credit = l.cost * int64(max(1, burst))
	for i := range l.seeds {
		l.seeds[i] = maphash.MakeSeed()
	}
	return l
}

// take counts one of who, or says how long until there is one.
func (l *limit) take(who string) (wait time.Duration, ok bool) {
	now := int64(time.Since(l.start))
	for i := range l.rows {
		bucket := &l.rows[i][maphash.String(l.seeds[i], who)%limitSlots]
		ahead, taken := l.pay(bucket, now)
		ok = ok || taken
		if wait == 0 || ahead < wait {
			wait = ahead
		}
	}
	return wait, ok
}

func (l *limit) pay(bucket *atomic.Int64, now int64) (time.Duration, bool) {
	for {
		paid := bucket.Load()
		next := max(paid, now) + l.cost
		if ahead := next - now - l.credit; ahead > 0 {
			return time.Duration(ahead), false
		}
		if bucket.CompareAndSwap(paid, next) {
			return 0, true
		}
	}
}

// tooMany is the refusal of a limit.
func tooMany(wait time.Duration, what string) *Problem {
	seconds := max(1, int((wait+time.Second-1)/time.Second))
	return refuse(http.StatusTooManyRequests, "rate_limited", "%s: try again in %d s", what, seconds).with("Retry-After", strconv.Itoa(seconds))
}

// peer is the address of a connection for a limit: whoever has an IPv6 address has all
// of its /64.
func peer(remote string) (netip.Addr, string) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, remote
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return addr, network.String()
		}
	}
	return addr, addr.String()
}
