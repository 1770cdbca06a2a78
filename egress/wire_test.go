package egress

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// wire is the network between one egress and its brokers. Cut, it swallows what is
// written and never answers, as a broker that hangs.
type wire struct {
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// through lets all that the options open go through a new wire.
func (b *bed) through(o *Options) *wire {
	w := &wire{dialer: b.bubble.Net().DialContext}
	o.Kafka.Extra = append(o.Kafka.Extra, kgo.Dialer(w.dial))
	return w
}

func (w *wire) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if w.isCut() {
		timeout, cancel := context.WithTimeout(ctx, 10*time.Second) // as kgo's own dialer
		defer cancel()
		<-timeout.Done()
		return nil, timeout.Err()
	}
	conn, err := w.dialer(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conn)
	return &wireConn{conn, w}, nil
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
}

// mend lets new connections through; those from before are closed.
func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

type wireConn struct {
	net.Conn
	w *wire
}

func (c *wireConn) Write(b []byte) (int, error) {
	if c.w.isCut() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.w.isCut() {
			return n, err
		}
	}
}

// quickSessions lets a group notice quickly that a member joined or went.
func quickSessions() []kgo.Opt {
	return []kgo.Opt{kgo.SessionTimeout(10 * time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(time.Minute)}
}
