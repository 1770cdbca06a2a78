package ingress

import (
	"net"
	"testing"
	"time"
)

// TestAConnectionThatWaitsIsAcceptedAndANewOneIsNot, and is refused once the listener is
// closed, on a real listener: a client cannot tell a reset from a request that got lost.
func TestAConnectionThatWaitsIsAcceptedAndANewOneIsNot(t *testing.T) {
	plain := new(net.ListenConfig)
	plain.SetMultipathTCP(false)
	ln, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	waits, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	if !refuseNew(ln) {
		t.Fatal("no filter on a listener of plain TCP")
	}
	if conn, err := net.DialTimeout("tcp", ln.Addr().String(), 200*time.Millisecond); err == nil {
		conn.Close()
		t.Error("a new connection was taken in")
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, err := waits.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := accepted.Read(make([]byte, 1)); n != 1 {
		t.Errorf("nothing came through: %v", err)
	}
}
