package outbound

import (
	"cmp"
	"net/netip"
	"net/url"
	"strconv"
)

// CheckAddresses gives the check that a connection has to pass, for the moment a URL is
// configured: of a host that is an address. What a name resolves to is only known, and
// only counts, when it is connected to.
func (o Options) CheckAddresses() func(*url.URL) error {
	guard := newGuard(o)
	return func(u *url.URL) error {
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			return nil //nolint:nilerr // it is a name
		}
		port, _ := strconv.ParseUint(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), 10, 16)
		return guard.checkAll(u.Hostname(), []netip.Addr{addr}, uint16(port))
	}
}
