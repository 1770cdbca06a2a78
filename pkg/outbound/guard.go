package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// ErrRefused is why a request was not sent, or a connection not made: the address or the
// URL is one that causeway must not reach. It is never the receiver's fault.
var ErrRefused = errors.New("refused by causeway")

// guard decides which addresses may be reached.
type guard struct {
	table     []network
	registry  *ssrf.Guardian
	allow     []netip.Prefix
	loopback  bool
	forbidden func(netip.AddrPort) bool
}

func newGuard(o Options) *guard {
	return &guard{
		table:     networks(),
		registry:  ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork()),
		allow:     slices.Clone(o.AllowNetworks),
		loopback:  o.AllowLoopback,
		forbidden: o.Forbidden,
	}
}

// checkAll refuses host if any of its addresses is refused. To skip the bad ones would be
// as safe, but then a name half of whose addresses are wrong works on some days, and
// nobody finds out.
func (g *guard) checkAll(host string, addrs []netip.Addr, port uint16) error {
	for _, a := range addrs {
		if err := g.check(netip.AddrPortFrom(a, port)); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrRefused, host, err)
		}
	}
	return nil
}

// check returns nil for an address that may be reached, or what it is instead. The text
// names the network but not the address: it ends in records that tenants read, and what
// a name of ours resolves to is not for them.
func (g *guard) check(ap netip.AddrPort) error {
	a := ap.Addr()
	if a.Zone() != "" {
		return errors.New("link-local address (it has a zone); no setting allows it")
	}
	if g.forbidden != nil && g.forbidden(ap) {
		return errors.New("one of causeway's own listeners or brokers; no setting allows it")
	}
	n, found := g.find(a)
	if n.inner != nil {
		carried := netip.AddrPortFrom(netip.AddrFrom4(n.inner(a.As16())), ap.Port())
		if err := g.check(carried); err != nil {
			return fmt.Errorf("%s address around a %w", n.name, err)
		}
	}
	switch {
	case !found:
		return nil
	case n.never:
		return fmt.Errorf("%s address (%s); no setting allows it", n.name, n.prefix)
	case g.loopback && n.name == loopback:
		return nil
	case slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) }):
		return nil
	default:
		return fmt.Errorf("%s address; to reach it, name it or its network (%s) in egress.allow_networks", n.name, n.prefix)
	}
}

// find returns the network that makes a something else than public.
func (g *guard) find(a netip.Addr) (network, bool) {
	for _, n := range g.table {
		if n.prefix.Contains(a) {
			return n, true
		}
	}
	// IANA's list of special addresses as code.dny.dev/ssrf keeps it: what its next version
	// adds is refused before the table has a name for it.
	if g.registry.SafeAddr(a) != nil {
		return network{class{name: "special-purpose"}, netip.PrefixFrom(a, a.BitLen())}, true
	}
	return network{}, false
}
