package ingress

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestWhoSentIt(t *testing.T) {
	trusted := proxies(prefixes("10.0.0.0/8", "2001:db8:ff::/48"))
	for name, tc := range map[string]struct {
		peer           string
		xff, forwarded []string
		want           string // "" when it must be unclear
	}{
		"without a proxy it is the peer":                  {peer: "203.0.113.7:99", want: "203.0.113.7"},
		"a stranger's X-Forwarded-For counts for nothing": {peer: "203.0.113.7:99", xff: []string{"192.0.2.1"}, want: "203.0.113.7"},
		"a stranger's Forwarded counts for nothing":       {peer: "203.0.113.7:99", forwarded: []string{"for=192.0.2.1"}, want: "203.0.113.7"},
		"a stranger cannot pose as a proxy by a header":   {peer: "203.0.113.7:99", xff: []string{"192.0.2.1, 10.0.0.1"}, want: "203.0.113.7"},
		"a proxy that says nothing speaks for itself":     {peer: "10.0.0.1:99", want: "10.0.0.1"},
		"a proxy's word is taken":                         {peer: "10.0.0.1:99", xff: []string{"192.0.2.1"}, want: "192.0.2.1"},
		"what the client put in front of it is not":       {peer: "10.0.0.1:99", xff: []string{"198.51.100.5, 192.0.2.1"}, want: "192.0.2.1"},
		"nor if it poses as another proxy's":              {peer: "10.0.0.1:99", xff: []string{"198.51.100.5, 192.0.2.1, 10.0.0.2"}, want: "192.0.2.1"},
		"two lines are one list":                          {peer: "10.0.0.1:99", xff: []string{"198.51.100.5", "192.0.2.1"}, want: "192.0.2.1"},
		"a chain of proxies is walked":                    {peer: "10.0.0.1:99", xff: []string{"192.0.2.1, 10.0.0.3", "10.0.0.2"}, want: "192.0.2.1"},
		"a request from within is the innermost proxy's":  {peer: "10.0.0.1:99", xff: []string{"10.0.0.3, 10.0.0.2"}, want: "10.0.0.3"},
		"empty elements are nobody":                       {peer: "10.0.0.1:99", xff: []string{"192.0.2.1, , ", ""}, want: "192.0.2.1"},
		"a list of nothing is no list":                    {peer: "10.0.0.1:99", xff: []string{" , ,"}, want: "10.0.0.1"},
		"ports are left out":                              {peer: "10.0.0.1:99", xff: []string{"192.0.2.1:4711"}, want: "192.0.2.1"},
		"IPv6 with a port":                                {peer: "10.0.0.1:99", xff: []string{"[2001:db8::1]:4711"}, want: "2001:db8::1"},
		"IPv6 in brackets":                                {peer: "10.0.0.1:99", xff: []string{"[2001:db8::1]"}, want: "2001:db8::1"},
		"IPv6 bare":                                       {peer: "[2001:db8:ff::2]:99", xff: []string{"2001:db8::1"}, want: "2001:db8::1"},
		"IPv4 in IPv6 is IPv4, of the peer":               {peer: "[::ffff:10.0.0.1]:99", xff: []string{"192.0.2.1"}, want: "192.0.2.1"},
		"IPv4 in IPv6 is IPv4, in the list":               {peer: "10.0.0.1:99", xff: []string{"::ffff:192.0.2.1"}, want: "192.0.2.1"},
		"a zone says nothing here":                        {peer: "10.0.0.1:99", xff: []string{"fe80::1%eth0"}, want: "fe80::1"},
		"garbage is unclear":                              {peer: "10.0.0.1:99", xff: []string{"192.0.2.1, nobody"}, want: ""},
		"garbage is never jumped over":                    {peer: "10.0.0.1:99", xff: []string{"192.0.2.1, 1.2.3.4.5, 10.0.0.2"}, want: ""},
		"a list longer than any chain is unclear":         {peer: "10.0.0.1:99", xff: []string{"192.0.2.1" + strings.Repeat(",10.0.0.2", 40)}, want: ""},
		"Forwarded": {peer: "10.0.0.1:99", forwarded: []string{"for=192.0.2.1;proto=https;by=10.0.0.1"}, want: "192.0.2.1"},
		"Forwarded in any case, quoted, with a port":             {peer: "10.0.0.1:99", forwarded: []string{`Proto=https; FOR="[2001:db8::1]:4711"`}, want: "2001:db8::1"},
		"Forwarded with a forged element in front":               {peer: "10.0.0.1:99", forwarded: []string{`for=198.51.100.5, for=192.0.2.1`}, want: "192.0.2.1"},
		"Forwarded in two lines":                                 {peer: "10.0.0.1:99", forwarded: []string{`for="198.51.100.5`, `for=192.0.2.1`}, want: "192.0.2.1"},
		"a comma in quotes separates nothing":                    {peer: "10.0.0.1:99", forwarded: []string{`for=192.0.2.1;secret="a,for=198.51.100.5"`}, want: "192.0.2.1"},
		"a forged open quote does not swallow the proxy's":       {peer: "10.0.0.1:99", forwarded: []string{`for="198.51.100.5, for=192.0.2.1`}, want: ""},
		"nor one behind a complete address":                      {peer: "10.0.0.1:99", forwarded: []string{`for=198.51.100.5;x="a, for=192.0.2.1`}, want: ""},
		"nor one that the proxy's own quotes close":              {peer: "10.0.0.1:99", forwarded: []string{`for="198.51.100.5, for="[2001:db8::1]"`}, want: ""},
		"nor one with a backslash at its end":                    {peer: "10.0.0.1:99", forwarded: []string{`for="198.51.100.5\, for="[2001:db8::1]"`}, want: ""},
		"for twice in one element is unclear":                    {peer: "10.0.0.1:99", forwarded: []string{`for=192.0.2.1;for=198.51.100.5`}, want: ""},
		"a hidden client is unclear":                             {peer: "10.0.0.1:99", forwarded: []string{`for=_hidden`}, want: ""},
		"an unknown client is unclear":                           {peer: "10.0.0.1:99", forwarded: []string{`for=unknown, for=10.0.0.2`}, want: ""},
		"an element without for is unclear":                      {peer: "10.0.0.1:99", forwarded: []string{`for=192.0.2.1, proto=https`}, want: ""},
		"both headers that agree":                                {peer: "10.0.0.1:99", xff: []string{"192.0.2.1"}, forwarded: []string{"for=192.0.2.1"}, want: "192.0.2.1"},
		"a forged Forwarded through a proxy that only knows XFF": {peer: "10.0.0.1:99", xff: []string{"192.0.2.1"}, forwarded: []string{"for=198.51.100.5"}, want: ""},
		"a forged XFF through a proxy that only knows Forwarded": {peer: "10.0.0.1:99", xff: []string{"198.51.100.5"}, forwarded: []string{"for=192.0.2.1"}, want: ""},
		"an address that is none":                                {peer: "pipe", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
			if tc.xff != nil {
				r.Header["X-Forwarded-For"] = tc.xff
			}
			if tc.forwarded != nil {
				r.Header["Forwarded"] = tc.forwarded
			}
			client, _ := trusted.client(r)
			got := ""
			if client.IsValid() {
				got = client.String()
			}
			if got != tc.want {
				t.Errorf("client = %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzForwarded looks for a way to be somebody else: whatever a client puts in front,
// what its proxy appends decides, or the address is unclear.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.1", "for=192.0.2.1", `for="a`, `for=192.0.2.1;x="`, `for="\`, `",for=10.0.0.2,"`, "for=10.0.0.9,,;,=", `10.0.0.2, "10.0.0.3`} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	trusted := proxies(prefixes("10.0.0.0/8"))
	f.Fuzz(func(t *testing.T, forged string, six bool) {
		want, appended := netip.MustParseAddr("203.0.113.9"), "for=203.0.113.9"
		if six {
			want, appended = netip.MustParseAddr("2001:db8::9"), `for="[2001:db8::9]:80";proto=https`
		}
		for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
			entry := appended
			if header == "X-Forwarded-For" {
				entry = want.String()
			}
			for _, lines := range [][]string{{forged + ", " + entry}, {forged, entry}} {
				r := &http.Request{RemoteAddr: "10.0.0.1:99", Header: http.Header{header: lines}}
				if got, _ := trusted.client(r); got.IsValid() && got != want {
					t.Errorf("%s %q made the client %v, want %v or unclear", header, lines, got, want)
				}
			}
		}
	})
}
