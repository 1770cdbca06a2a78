package outbound

import "net/netip"

// class is a kind of address that is not simply public.
type class struct {
	name  string // as a refusal says it
	never bool   // no setting allows it
	// inner is the IPv4 address that one of this class does nothing but carry; nil: none.
	inner func([16]byte) [4]byte
}

// network is a range of addresses of one class.
type network struct {
	class
	prefix netip.Prefix
}

// networks is the table of what is not public; the first that holds an address gives its
// class. No setting allows a class where an answer could only come from the machine, its
// hypervisor or its cloud, and would be worth stealing.
func networks() []network {
	var table []network
	add := func(c class, prefixes ...string) {
		for _, p := range prefixes {
			table = append(table, network{c, netip.MustParsePrefix(p)})
		}
	}
	// Where clouds keep their machines' credentials. Most of it is link-local, but not all:
	// AWS's, Google's and Oracle's over IPv6, Alibaba's, Oracle's, and Azure's, which is a
	// public address.
	add(class{name: "cloud metadata", never: true},
		"169.254.169.254/32", "169.254.170.2/32", "fd00:ec2::/32", "fd20:ce::/48", "fd00:c1::/32",
		"100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32")
	add(class{name: "link-local", never: true}, "169.254.0.0/16", "fe80::/10")
	add(class{name: "unspecified", never: true}, "0.0.0.0/8", "::/128")
	add(class{name: "broadcast", never: true}, "255.255.255.255/32")
	add(class{name: "multicast", never: true}, "224.0.0.0/4", "ff00::/8")

	add(class{name: loopback}, "127.0.0.0/8", "::1/128")
	add(class{name: "private"}, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
	add(class{name: "unique-local"}, "fc00::/7")
	add(class{name: "site-local"}, "fec0::/10")
	add(class{name: "shared (carrier-grade NAT)"}, "100.64.0.0/10")
	add(class{name: "benchmark"}, "198.18.0.0/15", "2001:2::/48")
	add(class{name: "documentation"}, "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")

	add(class{name: "IPv4-mapped", inner: lastFour}, "::ffff:0:0/96")
	add(class{name: "IPv4-translated", inner: lastFour}, "::ffff:0:0:0/96")
	add(class{name: "IPv4-compatible", inner: lastFour}, "::/96")
	add(class{name: "NAT64", inner: lastFour}, "64:ff9b::/96")
	// Where its IPv4 address lies is each network's own choice, so it can't be looked at.
	add(class{name: "local NAT64", never: true}, "64:ff9b:1::/48")
	add(class{name: "6to4", inner: func(b [16]byte) [4]byte { return [4]byte(b[2:6]) }}, "2002::/16")
	add(class{name: "6to4 relay"}, "192.88.99.0/24")
	add(class{name: "Teredo", inner: teredoClient}, "2001::/32")

	add(class{name: "reserved"}, "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "240.0.0.0/4", "2001::/23", "2620:4f:8000::/48")
	return table
}

// loopback is the class that causeway dev allows.
const loopback = "loopback"

func lastFour(b [16]byte) [4]byte { return [4]byte(b[12:]) }

// teredoClient is the address behind the NAT, which Teredo keeps inverted.
func teredoClient(b [16]byte) [4]byte { return [4]byte{^b[12], ^b[13], ^b[14], ^b[15]} }
