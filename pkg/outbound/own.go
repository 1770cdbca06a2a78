package outbound

import (
	"net"
	"net/netip"
	"slices"
)

// Own returns the Options.Forbidden of a process that listens on these addresses. A
// listener on all addresses (:8700) is meant by each that this machine has.
func Own(listeners ...netip.AddrPort) func(netip.AddrPort) bool {
	return func(target netip.AddrPort) bool {
		target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
		return slices.ContainsFunc(listeners, func(l netip.AddrPort) bool {
			if l.Port() != target.Port() {
				return false
			}
			addr := l.Addr().Unmap()
			return addr == target.Addr() || addr.IsUnspecified() && ofThisMachine(target.Addr())
		})
	}
}

// ofThisMachine asks each time: addresses come and go, and this is reached only for a
// port that is one of ours.
func ofThisMachine(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true // not to know is no reason to let it pass
	}
	return slices.ContainsFunc(addrs, func(own net.Addr) bool {
		p, err := netip.ParsePrefix(own.String())
		return err == nil && p.Addr().Unmap() == a
	})
}
