package outbound

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"code.dny.dev/ssrf"
)

// refusedAddresses has addresses of each class that must not be reached without a setting.
func refusedAddresses() map[string][]string {
	return map[string][]string{
		"loopback":        {"127.0.0.1", "127.0.0.53", "127.255.255.254", "::1"},
		"private":         {"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"},
		"unique-local":    {"fc00::1", "fdff:ffff::1"},
		"site-local":      {"fec0::1"},
		"shared":          {"100.64.0.1", "100.127.255.255"},
		"benchmark":       {"198.18.0.1", "198.19.255.255", "2001:2::1"},
		"documentation":   {"192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1"},
		"IPv4-mapped":     {"::ffff:8.8.8.8"},
		"IPv4-translated": {"::ffff:0:8.8.8.8"},
		"IPv4-compatible": {"::8.8.8.8"},
		"NAT64":           {"64:ff9b::8.8.8.8"},
		"6to4":            {"2002:808:808::1"},
		"6to4 relay":      {"192.88.99.1"},
		"Teredo":          {"2001:0:4136:e378:8000:63bf:f7f7:f7f7"}, // around 8.8.8.8
		"reserved":        {"192.0.0.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "240.0.0.1", "255.255.255.254", "2001:10::1", "2001:20::1", "2620:4f:8000::1"},
		"special-purpose": {"100::1", "5f00::1", "4000::1", "e000::1"},
	}
}

// neverAddresses has addresses of each class that no setting allows.
func neverAddresses() map[string][]string {
	return map[string][]string{
		"cloud metadata":     {"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "100.100.100.200", "192.0.0.192", "168.63.129.16"},
		"link-local":         {"169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0", "2000::1%eth0"},
		"unspecified":        {"0.0.0.0", "0.1.2.3", "::"},
		"broadcast":          {"255.255.255.255"},
		"multicast":          {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
		"local NAT64":        {"64:ff9b:1::8.8.8.8"},
		"around a metadata":  {"::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1"},
		"around a multicast": {"::ffff:224.0.0.1", "64:ff9b::224.0.0.1"},
	}
}

func check(o Options, addr string) error {
	return newGuard(o.withDefaults()).check(netip.AddrPortFrom(netip.MustParseAddr(addr), 443))
}

func TestRefused(t *testing.T) {
	for class, addrs := range refusedAddresses() {
		t.Run(class, func(t *testing.T) {
			for _, addr := range addrs {
				err := check(Options{}, addr)
				if err == nil {
					t.Fatalf("%s is let through", addr)
				}
				for _, want := range []string{class, "egress.allow_networks"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %q does not say %q", addr, err, want)
					}
				}
			}
		})
	}
}

func TestNever(t *testing.T) {
	everything := Options{AllowLoopback: true, AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	for class, addrs := range neverAddresses() {
		t.Run(class, func(t *testing.T) {
			for _, addr := range addrs {
				for _, o := range []Options{{}, everything} {
					err := check(o, addr)
					if err == nil {
						t.Fatalf("%s is let through with %v", addr, o.AllowNetworks)
					}
					if !strings.Contains(err.Error(), "no setting allows it") {
						t.Errorf("%s: %q promises a setting", addr, err)
					}
					if first, _, _ := strings.Cut(strings.TrimPrefix(class, "around a "), " "); !strings.Contains(err.Error(), first) {
						t.Errorf("%s: %q does not say %s", addr, err, class)
					}
				}
			}
		})
	}
}

func TestLetThrough(t *testing.T) {
	for _, addr := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "223.255.255.255", "168.63.129.15", "2606:4700:4700::1111", "2a00:1450::1", "2003::1", "3ffe::1",
	} {
		if err := check(Options{}, addr); err != nil {
			t.Errorf("%s is public, but: %v", addr, err)
		}
	}
}

func TestAllowNetworks(t *testing.T) {
	for name, tc := range map[string]struct {
		allow    []string
		loopback bool
		addr     string
		ok       bool
	}{
		"a private network by name":                  {[]string{"10.1.0.0/16"}, false, "10.1.2.3", true},
		"only this one":                              {[]string{"10.1.0.0/16"}, false, "10.2.0.1", false},
		"written with a host part":                   {[]string{"10.1.2.3/16"}, false, "10.1.9.9", true},
		"a single address":                           {[]string{"192.168.0.7/32"}, false, "192.168.0.7", true},
		"a unique-local network":                     {[]string{"fd12:3456::/32"}, false, "fd12:3456::1", true},
		"carrier-grade NAT":                          {[]string{"100.64.0.0/10"}, false, "100.64.0.1", true},
		"loopback by name":                           {[]string{"127.0.0.0/8"}, false, "127.0.0.1", true},
		"loopback for dev":                           {nil, true, "127.0.0.1", true},
		"IPv6 loopback for dev":                      {nil, true, "::1", true},
		"dev allows loopback only":                   {nil, true, "192.168.0.1", false},
		"dev allows no mapped loopback":              {nil, true, "::ffff:127.0.0.1", false},
		"a private network is not its mapped form":   {[]string{"10.0.0.0/8"}, false, "::ffff:10.0.0.1", false},
		"nor the mapped form the private network":    {[]string{"::ffff:0:0/96"}, false, "::ffff:10.0.0.1", false},
		"both are":                                   {[]string{"::ffff:0:0/96", "10.0.0.0/8"}, false, "::ffff:10.0.0.1", true},
		"NAT64 to a public address":                  {[]string{"64:ff9b::/96"}, false, "64:ff9b::8.8.8.8", true},
		"NAT64 is no way into private networks":      {[]string{"64:ff9b::/96"}, false, "64:ff9b::10.0.0.1", false},
		"NAT64 is no way to loopback":                {[]string{"64:ff9b::/96"}, false, "64:ff9b::127.0.0.1", false},
		"6to4 is no way into private networks":       {[]string{"2002::/16"}, false, "2002:a00:1::1", false},
		"Teredo is no way into private networks":     {[]string{"2001::/32"}, false, "2001:0:4136:e378:8000:63bf:f5ff:fffe", false},
		"Teredo to a public address":                 {[]string{"2001::/32"}, false, "2001:0:4136:e378:8000:63bf:f7f7:f7f7", true},
		"6to4 to a public address":                   {[]string{"2002::/16"}, false, "2002:808:808::1", true},
		"a metadata address in an allowed network":   {[]string{"100.64.0.0/10"}, false, "100.100.100.200", false},
		"a metadata address in unique-local allowed": {[]string{"fc00::/7"}, false, "fd00:ec2::254", false},
		"link-local although named":                  {[]string{"169.254.0.0/16"}, false, "169.254.1.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{AllowLoopback: tc.loopback}
			for _, p := range tc.allow {
				o.AllowNetworks = append(o.AllowNetworks, netip.MustParsePrefix(p))
			}
			if err := check(o, tc.addr); (err == nil) != tc.ok {
				t.Errorf("check(%s) = %v, want ok %v", tc.addr, err, tc.ok)
			}
		})
	}
}

// The operator's networks are copied: a slice changed later must not open a door.
func TestAllowNetworksAreKeptAsGiven(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("10.1.2.3/16")}
	g := newGuard(Options{AllowNetworks: nets}.withDefaults())
	if nets[0].String() != "10.1.2.3/16" {
		t.Errorf("the caller's slice became %v", nets)
	}
	nets[0] = netip.MustParsePrefix("192.168.0.0/16")
	if err := g.check(netip.MustParseAddrPort("192.168.0.1:443")); err == nil {
		t.Error("a change of the caller's slice opened a network")
	}
}

func TestOwnListeners(t *testing.T) {
	mine := nonLoopback(t)
	for name, tc := range map[string]struct {
		listener, target string
		forbidden        bool
	}{
		"the very listener, by its address":         {"127.0.0.1:8701", "127.0.0.1:8701", true},
		"another port of the same address":          {"127.0.0.1:8701", "127.0.0.1:3000", false},
		"the same port of another address":          {"127.0.0.1:8701", "127.0.0.2:8701", false},
		"a listener on all addresses, by loopback":  {"0.0.0.0:8700", "127.0.0.1:8700", true},
		"and by IPv6 loopback":                      {"[::]:8700", "[::1]:8700", true},
		"and by loopback's other addresses":         {"[::]:8700", "127.9.9.9:8700", true},
		"and by the machine's own":                  {"[::]:8700", netip.AddrPortFrom(mine, 8700).String(), true},
		"its port elsewhere is somebody else's":     {"[::]:8700", "8.8.8.8:8700", false},
		"the mapped form is the same listener":      {"127.0.0.1:8701", "[::ffff:127.0.0.1]:8701", true},
		"a listener given in its mapped form":       {"[::ffff:127.0.0.1]:8701", "127.0.0.1:8701", true},
		"a listener on all addresses, another port": {"[::]:8700", "127.0.0.1:8800", false},
	} {
		t.Run(name, func(t *testing.T) {
			target := netip.MustParseAddrPort(tc.target)
			nets := []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/96"), netip.PrefixFrom(mine, mine.BitLen())}
			g := newGuard(Options{AllowLoopback: true, AllowNetworks: nets, Forbidden: Own(netip.MustParseAddrPort(tc.listener))})
			err := g.check(target)
			if (err != nil) != tc.forbidden {
				t.Fatalf("check(%s) with a listener on %s = %v, want forbidden %v", tc.target, tc.listener, err, tc.forbidden)
			}
			if err != nil && !strings.Contains(err.Error(), "own listeners") {
				t.Errorf("%q does not say why", err)
			}
		})
	}
}

// nonLoopback returns an address of this machine, loopback where it has no other.
func nonLoopback(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.MustParseAddr("127.0.0.1")
}

// One bad address condemns the name, wherever it stands in the answer.
func TestNamesWithGoodAndBadAddresses(t *testing.T) {
	good, bad := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.0.0.1")
	for name, tc := range map[string]struct {
		addrs []netip.Addr
		ok    bool
	}{
		"all good":   {[]netip.Addr{good, good}, true},
		"bad first":  {[]netip.Addr{bad, good}, false},
		"bad last":   {[]netip.Addr{good, bad}, false},
		"bad beyond": {[]netip.Addr{good, good, good, good, good, bad}, false}, // beyond those that would be tried
	} {
		t.Run(name, func(t *testing.T) {
			err := newGuard(Options{}).checkAll("hooks.example", tc.addrs, 443)
			if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, ErrRefused) {
				t.Fatalf("checkAll(%v) = %v, want ok %v", tc.addrs, err, tc.ok)
			}
			if err != nil && (!strings.Contains(err.Error(), "hooks.example") || strings.Contains(err.Error(), "10.0.0.1")) {
				t.Errorf("%q must name the host and not what it resolves to", err)
			}
		})
	}
}

// Whatever IANA's list holds has a name of ours, or is at least refused.
func TestNothingOfTheRegistryIsMissing(t *testing.T) {
	for _, p := range append(ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes...) {
		err := check(Options{}, p.Addr().Next().String())
		if err == nil || strings.Contains(err.Error(), "special-purpose") {
			t.Errorf("%s: %v; the table has no class for it", p, err)
		}
	}
}

// FuzzGuard looks for an address that IANA's list refuses, or that carries one which is
// refused, and that gets through.
func FuzzGuard(f *testing.F) {
	for _, addrs := range refusedAddresses() {
		for _, a := range addrs {
			f.Add(netip.MustParseAddr(a).AsSlice())
		}
	}
	f.Add([]byte{8, 8, 8, 8})
	guard, registry := newGuard(Options{}), ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || guard.check(netip.AddrPortFrom(a, 443)) != nil {
			return
		}
		if err := registry.SafeAddr(a); err != nil {
			t.Errorf("%s is let through: %v", a, err)
		}
		if a.Is4In6() || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
			t.Errorf("%s is let through", a)
		}
	})
}
