package ingress

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/signature"
)

// TestTheDoorBeforeKafka: until Kafka was reached a webhook waits, and gets a 503 in time;
// a process that stops then has nobody to drain.
func TestTheDoorBeforeKafka(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.server.options.Started = make(chan struct{})
		began := time.Now()
		r := w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "kafka_unavailable")
		if took := time.Since(began); took > 6*time.Second || r.header.Get("Retry-After") == "" {
			w.t.Errorf("the answer took %v and says Retry-After %q", took, r.header.Get("Retry-After"))
		}
		started := time.Now()
		if err := w.stop(); err != nil {
			w.t.Errorf("Run ended with %v", err)
		}
		if took := time.Since(started); took > time.Second {
			w.t.Errorf("stopping took %v although nothing was ever taken in", took)
		}
	})
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		started := make(chan struct{})
		w.server.options.Started = started
		early := w.send(w.signed(src, `{"id":"evt_1"}`))
		time.Sleep(3 * time.Second)
		w.still(early, "Kafka was not reached yet")
		close(started)
		w.answered(early, 200, "received")
	})
}

// TestARestartThatNobodyNotices: not ready, but accepting; then no new connections, but
// every request to its end.
func TestARestartThatNobodyNotices(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		time.Sleep(2 * time.Second)
		ended := make(chan error, 1)
		started := time.Now()
		go func() { ended <- w.stop() }()
		synctest.Wait()
		if ready, failing := w.health.Ready(); ready || failing[0].Code != "ingress_serving" {
			w.t.Errorf("ready %v while stopping: %v", ready, failing)
		}
		time.Sleep(4 * time.Second)
		r := w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		if !r.closed {
			w.t.Error("the client was not told to go elsewhere")
		}
		release := w.hold()
		late := w.send(w.signed(src, `{"id":"evt_2"}`))
		time.Sleep(2 * time.Second)
		w.still(late, "the broker has not acknowledged")
		if _, err := w.bubble.Net().DialContext(w.t.Context(), "tcp", listenAddr); err == nil {
			w.t.Error("a new connection was accepted after the drain delay")
		}
		release()
		w.answered(late, 200, "received")
		if err := <-ended; err != nil {
			w.t.Errorf("Run ended with %v", err)
		}
		if took := time.Since(started); took < 6*time.Second || took > 8*time.Second {
			w.t.Errorf("stopping took %v", took)
		}
	})
}

// TestAStopWaitsForRecordsThatNobodyWaitsFor: who was told 503 may find it stored.
func TestAStopWaitsForRecordsThatNobodyWaitsFor(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{DrainDelay: -1}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		w.expect(w.signed(src, `{"id":"evt_1"}`), 503, "not_acknowledged")
		ended := make(chan error, 1)
		go func() { ended <- w.stop() }()
		time.Sleep(2 * time.Second)
		select {
		case err := <-ended:
			w.t.Errorf("Run ended with a record in flight, with %v", err)
			ended <- nil
		default:
		}
		release()
		if err := <-ended; err != nil {
			w.t.Errorf("Run ended with %v", err)
		}
		if events := w.events(src); len(events) != 1 {
			w.t.Errorf("%d records, want 1", len(events))
		}
	})
}

// TestAStopIsBounded: a request that does not end is cut off, and said to be.
func TestAStopIsBounded(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{ReplyTimeout: time.Hour, ShutdownTimeout: 10 * time.Second}, []*catalog.Source{src}, func(w *world) {
		defer w.hold()()
		m := signedMessage(w.t, src, `{"id":"evt_1"}`)
		c := w.dial("192.0.2.9:1")
		defer c.Close()
		if _, err := io.WriteString(c, head("Content-Length: 14", "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))+`{"id":"evt_1"}`); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		started := time.Now()
		err := w.stop()
		if took := time.Since(started); took > 11*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("stopped after %v with %v, want 10s and an error that says so", took, err)
		}
	})
}

func TestAListenerThatBreaks(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		ln := w.bubble.Listen(w.t, "127.0.0.1:9999")
		ln.Close()
		if err := w.server.Run(w.t.Context(), ln); err == nil || !strings.Contains(err.Error(), "accept webhooks on") {
			w.t.Errorf("Run on a closed listener: %v", err)
		}
		w.server.draining.Store(false)
	})
}

// TestIdleConnectionsKeepNobodyOut opens as many as there may be, and more.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{MaxConns: 8192}, []*catalog.Source{src}, func(w *world) {
		var open []net.Conn
		for i := range 10_000 {
			c := w.dial(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
			open = append(open, c)
			if i%2 == 0 { // half of them have begun a request
				go func() { _, _ = io.WriteString(c, "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX-A: ") }()
			}
		}
		synctest.Wait()
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		// The oldest made room, and only they.
		for i, wantGone := range map[int]bool{0: true, 1000: true, 9999: false} {
			_ = open[i].SetReadDeadline(time.Now().Add(time.Second))
			_, err := open[i].Read(make([]byte, 1))
			if gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe); gone != wantGone {
				w.t.Errorf("connection %d: %v, want gone: %v", i, err, wantGone)
			}
		}
		time.Sleep(2 * time.Minute)
		for _, c := range open {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				continue // an answer: 408 or so
			}
			c.Close()
		}
	})
}

func TestConnectionsOfOneAddress(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{MaxConnsPerAddress: 3, TrustedProxies: prefixes("198.51.100.7/32")}, []*catalog.Source{src}, func(w *world) {
		closed := func(c net.Conn) bool {
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, err := c.Read(make([]byte, 1))
			return err != nil && !errors.Is(err, errTimeout(err))
		}
		dial := func(from string, n int) []net.Conn {
			var open []net.Conn
			for i := range n {
				open = append(open, w.dial(fmt.Sprintf("%s:%d", from, i)))
			}
			synctest.Wait()
			return open
		}
		other := dial("203.0.113.6", 1)
		own := dial("203.0.113.5", 5)
		proxy := dial("198.51.100.7", 5)
		for i, want := range []bool{true, true, false, false, false} {
			if got := closed(own[i]); got != want {
				w.t.Errorf("connection %d of five, idle all, is closed: %v, want %v: its oldest make room", i+1, got, want)
			}
		}
		for i, c := range append(other, proxy...) {
			if closed(c) {
				w.t.Errorf("connection %d of another address or a trusted proxy was closed", i)
			}
			c.Close()
		}
		// With a request on each, there is no room.
		release := w.hold()
		m := signedMessage(w.t, src, `{"id":"evt_1"}`)
		for _, c := range own[2:] {
			if _, err := io.WriteString(c, head("Content-Length: 14", "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))+`{"id":"evt_1"}`); err != nil {
				w.t.Fatal(err)
			}
		}
		synctest.Wait()
		if c := dial("203.0.113.5", 1)[0]; !closed(c) {
			w.t.Error("a fourth beside three that are busy was let in")
		}
		if got := w.logs.FilterMessage("connection refused: max_connections_per_address").Len(); got != 1 {
			w.t.Errorf("%d lines about it, want 1", got)
		}
		own[2].Close()
		synctest.Wait()
		c := dial("203.0.113.5", 1)[0]
		defer c.Close()
		if closed(c) {
			w.t.Error("a place that was given back is not there")
		}
		for _, c := range own[2:] {
			c.Close()
		}
		release()
	})
}

// errTimeout is err if it is a timeout, so that errors.Is holds for one.
func errTimeout(err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return err
	}
	return errors.New("no timeout")
}

// TestBusyConnectionsAreNotClosed: only what is idle makes room.
func TestBusyConnectionsAreNotClosed(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{MaxConns: 2}, []*catalog.Source{src}, func(w *world) {
		release := w.hold()
		one := w.send(w.signed(src, `{"id":"1"}`))
		two := w.send(w.signed(src, `{"id":"2"}`))
		c := w.dial("203.0.113.5:1")
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			w.t.Errorf("a third connection: %v, want it closed", err)
		}
		synctest.Wait()
		if got := w.logs.FilterMessage("connection refused: max_connections").Len(); got != 1 {
			w.t.Errorf("%d lines about it, want 1", got)
		}
		release()
		w.answered(one, 200, "received")
		w.answered(two, 200, "received")
		synctest.Wait()
		third := w.dial("203.0.113.5:1") // the longest idle makes room
		defer third.Close()
		resp, _ := talk(w.t, third, 0, head("Content-Length: 0"))
		if got := readReply(w.t, resp); got.status != 401 {
			w.t.Errorf("after the two were done: %d", got.status)
		}
	})
}

func TestIdleTimes(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want time.Duration
	}{
		"nothing comes":             {"", 10 * time.Second},
		"headers do not end":        {"POST / HTTP/1.1\r\nHost: x\r\n", 10 * time.Second},
		"nothing after one request": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, []*catalog.Source{stripe(t)}, func(w *world) {
				c := w.dial("203.0.113.5:1")
				defer c.Close()
				started := time.Now()
				go func() { _, _ = io.WriteString(c, tc.text) }()
				_, _ = io.Copy(io.Discard, c)
				if took := time.Since(started); took != tc.want {
					w.t.Errorf("closed after %v, want %v", took, tc.want)
				}
			})
		})
	}
}

func TestTLS(t *testing.T) {
	src := stripe(t)
	certificate, pool := selfSigned(t)
	o := Options{MaxConns: 2, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	inWorld(t, o, []*catalog.Source{src}, func(w *world) {
		var last net.Conn
		for i := range 5 { // more than there may be: idle ones make room
			raw := w.dial(fmt.Sprintf("203.0.113.%d:1", i))
			defer raw.Close()
			c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "hooks.example.com", NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
			if err := c.HandshakeContext(w.t.Context()); err != nil {
				w.t.Fatalf("handshake: %v", err)
			}
			if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
				w.t.Errorf("protocol %q, want http/1.1", got)
			}
			m := signedMessage(w.t, src, fmt.Sprintf(`{"id":"%d"}`, i))
			resp, _ := talk(w.t, c, 0, head("Content-Length: 10", "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))+fmt.Sprintf(`{"id":"%d"}`, i))
			if got := readReply(w.t, resp); got.status != 200 {
				w.t.Errorf("over TLS: %d %s", got.status, got.what())
			}
			last = c
		}
		// Which connection is idle is seen through TLS too: a busy one stays.
		release := w.hold()
		m := signedMessage(w.t, src, `{"id":"b"}`)
		busy := make(chan reply, 1)
		go func() {
			resp, _ := talk(w.t, last, 0, head("Content-Length: 10", "Stripe-Signature: "+m.Header.Get("Stripe-Signature"))+`{"id":"b"}`)
			busy <- readReply(w.t, resp)
		}()
		synctest.Wait()
		for i := range 3 {
			defer w.dial(fmt.Sprintf("203.0.113.1%d:1", i)).Close()
		}
		synctest.Wait()
		release()
		w.answered(busy, 200, "received")
		// Somebody who speaks no TLS gets no further than the header timeout.
		raw := w.dial("203.0.113.9:1")
		defer raw.Close()
		go func() { _, _ = io.WriteString(raw, head("Content-Length: 0")) }()
		resp, err := http.ReadResponse(bufio.NewReader(raw), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			w.t.Errorf("plain HTTP to TLS: %d", resp.StatusCode)
		}
		last.Close()
	})
}

// TestHTTP2 has many requests on one connection. One whose body stops half way ends
// alone.
func TestHTTP2(t *testing.T) {
	src := stripe(t)
	certificate, pool := selfSigned(t)
	o := Options{MaxConns: 1, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	inWorld(t, o, []*catalog.Source{src}, func(w *world) {
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "hooks.example.com", MinVersion: tls.VersionTLS12},
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return w.dial("203.0.113.1:1"), nil },
		}
		defer transport.CloseIdleConnections()
		post := func(body io.Reader, m *signature.Message) (reply, error) {
			r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://hooks.example.com/webhooks/stripe", body)
			if err != nil {
				return reply{}, err
			}
			r.Header = m.Header.Clone()
			resp, err := transport.RoundTrip(r)
			if err != nil {
				return reply{}, err
			}
			if resp.ProtoMajor != 2 {
				w.t.Errorf("answered by %s", resp.Proto)
			}
			return readReply(w.t, resp), nil
		}
		half, rest := io.Pipe()
		defer rest.Close()
		stopped := make(chan reply, 1)
		go func() {
			got, err := post(half, signedMessage(w.t, src, `{"id":"half"}`))
			if err != nil {
				w.t.Errorf("a body that stops: %v", err)
			}
			stopped <- got
		}()
		_, _ = io.WriteString(rest, `{"id"`)
		synctest.Wait() // there is the connection, and no other may be
		var wg sync.WaitGroup
		for i := range streams - 1 {
			body := fmt.Sprintf(`{"id":"%d"}`, i)
			m := signedMessage(w.t, src, body)
			wg.Go(func() {
				if got, err := post(strings.NewReader(body), m); err != nil || got.status != 200 {
					w.t.Errorf("request %d: %d %v", i, got.status, err)
				}
			})
		}
		wg.Wait()
		w.answered(stopped, 408, "body_incomplete")
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// The bubble's clock begins in the year 2000.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"hooks.example.com"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
