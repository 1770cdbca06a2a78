package ingress

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

// TestConnsCountRight opens, uses, rests and closes connections at random, and counts
// beside it.
func TestConnsCountRight(t *testing.T) {
	for _, perAddress := range []int{1, 2, 7} {
		set := newConns(10, perAddress, nil, func(netip.Addr, string) {})
		random := rand.New(rand.NewPCG(1, uint64(perAddress)))
		var live []*conn
		for range 20_000 {
			i := random.IntN(max(len(live), 1))
			switch op := random.IntN(4); {
			case op == 0 || len(live) == 0:
				here, there := net.Pipe()
				defer there.Close()
				c, why := set.admit(fromConn{here, fakeAddr(fmt.Sprintf("192.0.2.%d:1", random.IntN(8)))})
				if why == "" {
					set.state(c, http.StateNew)
					live = append(live, c)
				}
			case op == 1:
				set.state(live[i], http.StateActive)
			case op == 2:
				set.state(live[i], http.StateIdle)
			default:
				live[i].Close()
				live[i].Close() // as net/http may
				set.state(live[i], http.StateClosed)
				live = append(live[:i], live[i+1:]...)
			}
			open, byAddr := 0, map[netip.Addr]int{}
			for _, c := range live {
				if !c.gone {
					open++
					byAddr[c.addr]++
				}
			}
			if set.open != open || open > 10 || len(set.hosts) != len(byAddr) {
				t.Fatalf("%d open at %d addresses, want %d at %d", set.open, len(set.hosts), open, len(byAddr))
			}
			for addr, n := range byAddr {
				if set.hosts[addr].open != n || n > perAddress {
					t.Fatalf("%d open of %v, want %d, at most %d", set.hosts[addr].open, addr, n, perAddress)
				}
			}
		}
		for _, c := range live {
			c.Close()
			set.state(c, http.StateClosed)
		}
		set.serving.Wait()
		if set.open != 0 || len(set.hosts) != 0 || set.idle.first() != nil {
			t.Errorf("after all were closed: %d open, %d addresses, idle %v", set.open, len(set.hosts), set.idle.first())
		}
	}
}
