package admin

import (
	"net"
	"net/netip"
	"sync"

	"causeway/pkg/limit"
)

// mostOfAddress is how many connections one address may have: a quarter of all, so that
// nobody shuts the API by himself, and enough for a load balancer.
const mostOfAddress = mostConnections / 4

// perAddress is a listener that closes what is more than an address may have.
type perAddress struct {
	net.Listener
	most    int
	refused func(netip.Addr)

	mu   sync.Mutex
	open map[netip.Addr]int
}

func newPerAddress(l net.Listener, most int, refused func(netip.Addr)) *perAddress {
	return &perAddress{Listener: l, most: most, refused: refused, open: map[netip.Addr]int{}}
}

// Accept waits for a connection there is room for.
func (l *perAddress) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err // as it is: net/http looks at its type
		}
		addr, _ := peer(c.RemoteAddr().String()) // none is one, too
		from := limit.Peer(addr)
		if l.enter(from) {
			return &counted{Conn: c, left: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = c.Close() // nothing was written that could be lost
		l.refused(from)
	}
}

func (l *perAddress) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.most {
		return false
	}
	l.open[from]++
	return true
}

func (l *perAddress) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

type counted struct {
	net.Conn
	left func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.left()
	return err
}
