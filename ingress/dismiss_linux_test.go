package ingress

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lateListener hands out connections of which nothing is read while they are held: the
// goroutine that would has no processor.
type lateListener struct {
	net.Listener
	held *sync.RWMutex
}

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lateConn{c.(*net.TCPConn), l.held}, nil
}

type lateConn struct {
	*net.TCPConn
	held *sync.RWMutex
}

func (c lateConn) Read(b []byte) (int, error) {
	if err := c.readable(); err != nil {
		return 0, err
	}
	c.held.RLock()
	defer c.held.RUnlock()
	return c.TCPConn.Read(b)
}

// readable waits until there is something to read, and leaves it there.
func (c lateConn) readable() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	})
}

// TestWhatHasComeIsNotDismissed lets go of connections while a request waits on one that
// net/http still takes for idle: all of it unread, or half of its headers read.
func TestWhatHasComeIsNotDismissed(t *testing.T) {
	const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
	for name, tc := range map[string]struct {
		before, after string // it is let go
		unread        bool
	}{
		"nothing of it read":   {request, "", true},
		"half of its headers":  {request[:20], request[20:], false},
		"its first byte only":  {request[:1], request[1:], false},
		"unread, body to come": {request[:len(request)-2], request[len(request)-2:], true},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var held sync.RWMutex
			set := newConns(10, 10, nil, nil)
			idle := make(chan struct{}, 10)
			server := &http.Server{
				ReadHeaderTimeout: time.Minute,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					_, _ = w.Write(body)
				}),
				ConnState: func(c net.Conn, s http.ConnState) {
					set.state(c, s)
					if s == http.StateIdle {
						idle <- struct{}{}
					}
				},
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener{lateListener{ln, &held}, set}) }()

			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			answers := bufio.NewReader(client)
			send := func(text string) {
				if _, err := io.WriteString(client, text); err != nil {
					t.Fatal(err)
				}
			}
			send(request)
			answered(t, answers)
			<-idle

			if tc.unread {
				held.Lock()
			}
			send(tc.before)
			if !tc.unread {
				awaitRead(t, set)
			}
			if n := set.dismiss(time.Now()); n != 1 {
				t.Fatalf("%d connections are left, want the one with a request on it", n)
			}
			if tc.unread {
				held.Unlock()
			}
			send(tc.after)
			answered(t, answers)
			<-idle
			if n := set.dismiss(time.Now()); n != 0 {
				t.Errorf("%d connections are left, want none", n)
			}
			if _, err := answers.ReadByte(); err != io.EOF {
				t.Errorf("after its answer the connection is %v, want closed", err)
			}
			if err := server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}

func answered(t *testing.T, r *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || string(body) != "hi" || err != nil {
		t.Fatalf("%s %q %v", resp.Status, body, err)
	}
}

// awaitRead waits until the one connection has read something.
func awaitRead(t *testing.T, set *conns) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		set.mu.Lock()
		first := set.idle.first()
		set.mu.Unlock()
		if first != nil && first.begun.Load() {
			return
		}
	}
	t.Fatal("nothing was read")
}
