package embedded

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestListenRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tc := range map[string]struct{ addr, want string }{
		"a port in use":             {taken.Addr().String(), taken.Addr().String() + " is in use by another program"},
		"all interfaces":            {"0.0.0.0:8703", "0.0.0.0:8703 is not a loopback address"},
		"all interfaces, left out":  {":8703", ":8703 is not a loopback address"},
		"an address in the network": {"192.168.1.7:8703", "use 127.0.0.1, or a real Kafka"},
		"a name":                    {"kafka.example.com:8703", "is not a loopback address"},
		"no port":                   {"127.0.0.1", `listen address "127.0.0.1"`},
		"a port that cannot be":     {"127.0.0.1:99999", "127.0.0.1:99999"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Start(t.Context(), Options{Dir: dir, Listen: tc.addr})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Start = %v, want %q in it", err, tc.want)
			}
			// Nothing is left behind that would stop the next try.
			start(t, Options{Dir: dir})
		})
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.0.0.2:0"} {
		b, err := Start(t.Context(), Options{Dir: t.TempDir(), Listen: addr})
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if err := client(t, b.Addr()).Ping(t.Context()); err != nil {
			t.Errorf("%s, as %s: %v", addr, b.Addr(), err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNobodyIsLetInBeforeTheGateOpens has one client come in early: it waits,
// while the broker's own goes in by the side.
func TestNobodyIsLetInBeforeTheGateOpens(t *testing.T) {
	g, err := listen(t.Context(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	early, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for range 2 {
			conn, err := g.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := g.dial(ctx, "", ""); err != nil {
		t.Fatal(err)
	}
	if got := (<-accepted).RemoteAddr().Network(); got != "pipe" {
		t.Errorf("the first to come in came by %s", got)
	}
	select {
	case conn := <-accepted:
		t.Errorf("%s came in before the gate was open", conn.RemoteAddr())
	default:
	}
	g.open()
	if got := (<-accepted).RemoteAddr().String(); got != early.LocalAddr().String() {
		t.Errorf("%s came in, want %s", got, early.LocalAddr())
	}
}
