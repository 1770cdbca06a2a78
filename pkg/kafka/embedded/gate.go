package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// gate is the broker's listener. It holds its port from the start, so that a
// port in use is known before anything is touched, but lets nobody in until the
// data is checked: a group that reads before that could skip what is missing.
// The broker's own client comes in by the side, without a socket.
type gate struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
}

// listen takes the port. The broker knows neither passwords nor TLS, and tells
// clients the address that it listens on, so that is loopback or nothing.
func listen(ctx context.Context, addr string, network *kfake.VirtualNetwork) (*gate, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not a loopback address, and this broker knows no passwords: use 127.0.0.1, or a real Kafka", addr)
	}
	g := &gate{conns: make(chan net.Conn), closed: make(chan struct{})}
	if network != nil {
		g.Listener, err = network.Listen("tcp", addr)
	} else {
		g.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", addr)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program (another causeway dev?): stop that one, or choose another port: %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return g, nil
}

// open lets clients in.
func (g *gate) open() {
	g.wg.Go(func() {
		for {
			conn, err := g.Listener.Accept()
			if err != nil {
				// Out of file descriptors, say: that passes.
				select {
				case <-time.After(50 * time.Millisecond):
					continue
				case <-g.closed:
					return
				}
			}
			select {
			case g.conns <- conn:
			case <-g.closed:
				_ = conn.Close()
				return
			}
		}
	})
}

// dial is for the broker's own client.
func (g *gate) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case g.conns <- server:
		return client, nil
	case <-g.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept is called by kfake.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case conn := <-g.conns:
		return conn, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close is called by kfake, and once more by the broker.
func (g *gate) Close() (err error) {
	g.once.Do(func() {
		close(g.closed)
		err = g.Listener.Close()
		g.wg.Wait()
	})
	return err
}
