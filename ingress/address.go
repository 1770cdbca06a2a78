package ingress

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the networks whose word on where a request came from counts.
type proxies []netip.Prefix

func (p proxies) trust(addr netip.Addr) bool { return containsAddr(p, addr) }

func containsAddr(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// client says which address sent the request, and which one is at the other end of the
// connection. The client is the zero Addr when the proxies in between leave it unclear;
// such an address is on no list.
//
// Only what trusted proxies wrote counts. Each appends, on the right, whom it got the
// request from: so the client is the rightmost address that is no trusted proxy, and
// whatever stands left of it the client may have invented. A proxy usually writes one of
// the two headers and passes the other on as it came. Nothing tells which; so where both
// are there they must agree.
func (p proxies) client(r *http.Request) (client, peer netip.Addr) {
	peer = peerAddr(r.RemoteAddr)
	if !p.trust(peer) {
		return peer, peer
	}
	byFor, haveFor := p.walk(r.Header["X-Forwarded-For"], lastXFF)
	byForwarded, haveForwarded := p.walk(r.Header["Forwarded"], lastForwarded)
	switch {
	case haveFor && haveForwarded && byFor != byForwarded:
		return netip.Addr{}, peer
	case haveFor:
		return byFor, peer
	case haveForwarded:
		return byForwarded, peer
	default:
		return peer, peer // the proxy speaks for itself
	}
}

// maxHops is how many elements of a list are looked at: more than any real chain of
// proxies has, and few enough that a forged list of thousands costs nothing.
const maxHops = 32

// walk goes through the lines of a header from right to left to the first address that
// is no trusted proxy. If all are, it is the leftmost: a request from within. have is
// false when the header names nobody.
func (p proxies) walk(lines []string, last func(line string) (rest, node string, ok bool)) (client netip.Addr, have bool) {
	hops := 0
	for _, line := range slices.Backward(lines) {
		for ; line != ""; hops++ {
			rest, node, ok := last(line)
			if !ok || hops == maxHops {
				return netip.Addr{}, true
			}
			if line = rest; node == "" {
				continue
			}
			client, have = hostAddr(node), true
			if !p.trust(client) {
				return client, true
			}
		}
	}
	return client, have
}

// lastXFF takes the last address off an X-Forwarded-For list.
func lastXFF(line string) (rest, node string, ok bool) {
	if comma := strings.LastIndexByte(line, ','); comma >= 0 {
		line, node = line[:comma], line[comma+1:]
	} else {
		line, node = "", line
	}
	return line, strings.Trim(node, " \t"), true
}

// lastForwarded takes the last element off a Forwarded list (RFC 7239) and gives its
// for=. A comma inside a quoted string separates nothing; whether one is inside shows
// only from the left, so the line is read from there. An element without for= hides who
// sent it, and is no more use than one that cannot be read.
func lastForwarded(line string) (rest, node string, ok bool) {
	start, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			start = i + 1
		}
	}
	if quoted {
		return "", "", false
	}
	rest, element := strings.TrimSuffix(line[:start], ","), strings.Trim(line[start:], " \t")
	if element == "" {
		return rest, "", true
	}
	node, ok = forwardedFor(element)
	return rest, node, ok
}

// forwardedFor gives the value of an element's one for=.
func forwardedFor(element string) (node string, ok bool) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !found || !strings.EqualFold(name, "for") {
			continue
		}
		if ok {
			return "", false // twice
		}
		node, ok = strings.Trim(value, `"`), true
	}
	return node, ok && node != "" && !strings.ContainsAny(node, `"\`)
}

// peerAddr reads what net/http says of a connection, which always has a port.
func peerAddr(text string) netip.Addr {
	ported, err := netip.ParseAddrPort(text)
	if err != nil {
		return hostAddr(text)
	}
	return ported.Addr().Unmap().WithZone("")
}

// hostAddr reads an address with or without a port, in brackets or not; the zero Addr
// if it is none. The forms that mean IPv4 become IPv4, so that one list covers them.
func hostAddr(text string) netip.Addr {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		if ported, err := netip.ParseAddrPort(text); err == nil {
			addr = ported.Addr()
		} else if inner, ok := strings.CutPrefix(text, "["); ok {
			addr, _ = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		}
	}
	return addr.Unmap().WithZone("")
}
