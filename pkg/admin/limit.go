package admin

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"causeway/pkg/limit"
)

// eachLimit limits each of many in 64 KiB.
func eachLimit(perSecond float64, burst int) *limit.Each[string] {
	return limit.NewEach[string](perSecond, burst, 1<<12)
}

// take counts one of who, or says how long until there is one.
func (s *Server) take(l *limit.Each[string], who string) (wait time.Duration, ok bool) {
	return l.Take(who, int64(time.Since(s.start)))
}

// tooMany is the refusal of a limit.
func tooMany(wait time.Duration, what string) *Problem {
	seconds := max(1, int((wait+time.Second-1)/time.Second))
	return refuse(http.StatusTooManyRequests, "rate_limited", "%s: try again in %d s", what, seconds).with("Retry-After", strconv.Itoa(seconds))
}

// peer is the address of a connection, and how it is counted and recorded.
func peer(remote string) (netip.Addr, string) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, remote
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.Is6() {
		return addr, limit.Peer(addr).String() + "/64"
	}
	return addr, addr.String()
}
