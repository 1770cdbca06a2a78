package outbound

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestAddressesInURLsAreChecked(t *testing.T) {
	check := Options{
		AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Forbidden:     Own(netip.MustParseAddrPort("8.8.4.4:443")),
	}.CheckAddresses()
	for raw, want := range map[string]string{
		"https://example.com/":             "", // whatever it resolves to
		"https://8.8.8.8/":                 "",
		"https://10.1.2.3/":                "",
		"https://10.2.2.3/":                "egress.allow_networks",
		"https://127.0.0.1:8700/":          "loopback",
		"https://[::1]/":                   "loopback",
		"https://[::ffff:192.168.0.1]/":    "private",
		"https://169.254.169.254/latest/":  "no setting allows it",
		"https://8.8.4.4/":                 "causeway's own",
		"https://8.8.4.4:444/":             "",
		"http://[fe80::1%25eth0]/anything": "link-local",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(u); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}
