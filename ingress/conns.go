package ingress

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conns bounds the connections that strangers may hold open, in all and per address.
//
// When all are taken, or all of an address, the one of them that has been idle longest
// makes room for the new one: ten thousand connections on which nothing happens keep
// nobody out, not even whoever comes from the same address. Only while each of them has
// a request on it is a new one closed.
type conns struct {
	limit, perAddress int
	trusted           proxies // may have any number: many clients are behind each
	refused           func(addr netip.Addr, why string)

	serving sync.WaitGroup // net/http's goroutines
	allIn   chan struct{}  // closed when whoever accepts has met the listener's deadline

	mu    sync.Mutex
	open  int
	idle  ring // of all
	hosts map[netip.Addr]*host
}

// host is an address that has connections.
type host struct {
	open int
	idle ring
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	set       *conns
	addr      netip.Addr
	begun     atomic.Bool // something was read since the last answer
	gone      bool        // does not count any more; under set.mu, as the rest
	answered  bool        // had a request
	rests     time.Time   // since when it has been idle
	all, same link        // places among the idle ones of all and of its address
}

func newConns(limit, perAddress int, trusted proxies, refused func(netip.Addr, string)) *conns {
	return &conns{limit: limit, perAddress: perAddress, trusted: trusted, refused: refused, allIn: make(chan struct{}), hosts: make(map[netip.Addr]*host)}
}

// listener lets through the connections that conns admits.
type listener struct {
	net.Listener
	conns *conns
}

// withDeadline is a listener that can stop waiting.
type withDeadline interface{ SetDeadline(time.Time) error }

// Accept waits for a connection there is room for.
func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if dated, ok := l.Listener.(withDeadline); ok && errors.Is(err, os.ErrDeadlineExceeded) && dated.SetDeadline(time.Time{}) == nil {
			close(l.conns.allIn) // there is one deadline only
			continue
		}
		if err != nil {
			return nil, err // as it is: net/http looks at its type
		}
		c, why := l.conns.admit(raw)
		if why == "" {
			return c, nil
		}
		_ = raw.Close() // nothing was written that could be lost
		l.conns.refused(c.addr, why)
	}
}

// admit counts a new connection, or says why there is no room for it.
func (set *conns) admit(raw net.Conn) (c *conn, why string) {
	c = &conn{Conn: raw, set: set, addr: hostAddr(raw.RemoteAddr().String())}
	oldest, why := set.enter(c)
	if oldest != nil {
		// The connection beneath TLS: a goodbye to one who does not read could
		// hold up everybody. net/http notices and ends its part.
		_ = oldest.Conn.Close()
	}
	return c, why
}

// enter gives c a place, and the connection that had to go for it.
func (set *conns) enter(c *conn) (oldest *conn, why string) {
	set.mu.Lock()
	defer set.mu.Unlock()
	own := set.hosts[c.addr]
	if own == nil {
		own = &host{}
	}
	switch {
	case own.open >= set.perAddress && !set.trusted.trust(c.addr):
		if oldest = own.idle.first(); oldest == nil {
			return nil, "max_connections_per_address"
		}
	case set.open >= set.limit:
		if oldest = set.idle.first(); oldest == nil {
			return nil, "max_connections"
		}
	}
	if oldest != nil {
		set.forget(oldest)
	}
	set.hosts[c.addr] = own // which forget may have dropped
	own.open++
	set.open++
	set.rest(c)
	return oldest, ""
}

// state hears from net/http what each connection does.
func (set *conns) state(c net.Conn, state http.ConnState) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	own, ok := c.(*conn)
	if !ok {
		return
	}
	switch state {
	case http.StateNew:
		set.serving.Add(1) // it rests since admit: nothing has come yet
	case http.StateActive: // all headers of a request have come
		set.mu.Lock()
		own.unlink()
		set.mu.Unlock()
	case http.StateIdle:
		own.begun.Store(false)
		set.mu.Lock()
		own.answered = true
		if !own.gone {
			set.rest(own)
		}
		set.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		set.serving.Done()
	}
}

// dismiss closes the connections that had an answer, at the moment or earlier, and on
// which nothing has come since, and says how many are left.
func (set *conns) dismiss(moment time.Time) (left int) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for c := range set.idle.all() {
		if c.answered && !c.rests.After(moment) && !c.begun.Load() && !unread(c.Conn) {
			set.forget(c)
			_ = c.Conn.Close() // at once: the next request may be on its way
		}
	}
	return set.open
}

// Read notes that something came.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.begun.Store(true)
	}
	return n, err
}

// Close closes the connection and gives its place back.
func (c *conn) Close() error {
	c.set.mu.Lock()
	c.set.forget(c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end a refused request so that the answer still arrives.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// forget gives a connection's place back, once.
func (set *conns) forget(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	c.unlink()
	set.open--
	own := set.hosts[c.addr]
	if own.open--; own.open == 0 {
		delete(set.hosts, c.addr)
	}
}

// rest puts a connection behind those that have been idle longer.
func (set *conns) rest(c *conn) {
	c.unlink()
	c.rests = time.Now()
	set.idle.push(&c.all, c)
	set.hosts[c.addr].idle.push(&c.same, c)
}

func (c *conn) unlink() {
	c.all.remove()
	c.same.remove()
}
