package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// receiver is the one fast subscriber, of causeway and of the bare relay alike. It
// notes when each event arrived first, and answers 200 with nothing.
type receiver struct {
	url     string
	arrived []atomic.Int64 // by number, nanoseconds after start; 0: not yet
	start   time.Time
	want    int64 // how many arrivals close all

	distinct, again, strange, badly atomic.Int64
	first, all                      chan struct{}
	earliest, last                  atomic.Int64 // nanoseconds after start

	buffers sync.Pool
	scheme  *signature.Compiled // nil: nothing is signed
	key     signature.Key
	server  *http.Server
}

// receive starts a receiver of so many events, which checks the signature of every
// thousandth delivery if they are signed: all of them would make a slow subscriber.
func (b *bench) receive(events int, signed bool) (*receiver, error) {
	r := &receiver{arrived: make([]atomic.Int64, events), start: time.Now(), want: int64(events), first: make(chan struct{}), all: make(chan struct{})}
	if signed {
		var err error
		if r.scheme, err = signature.Standard().Compile(); err != nil {
			return nil, err
		}
		if r.key, err = r.scheme.Key(secret.New([]byte(subscriptionSecret)), false); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once, and close ends it
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	r.url = "http://" + ln.Addr().String() + "/"
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(ln) }() // ends with close
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	at := int64(time.Since(r.start))
	buf, _ := r.buffers.Get().(*[bodySize + 1]byte)
	if buf == nil {
		buf = new([bodySize + 1]byte)
	}
	defer r.buffers.Put(buf)
	size, _ := io.ReadFull(req.Body, buf[:])
	n := number(buf[:size])
	switch {
	case size != bodySize || n < 0 || n >= len(r.arrived):
		r.strange.Add(1)
		return
	case r.scheme != nil && n%1000 == 0:
		r.verify(req, buf[:size])
	}
	if !r.arrived[n].CompareAndSwap(0, at) {
		r.again.Add(1)
		return
	}
	r.last.Store(at)
	switch r.distinct.Add(1) {
	case 1:
		r.earliest.Store(at)
		close(r.first)
		if r.want == 1 {
			close(r.all)
		}
	case r.want:
		close(r.all)
	}
}

func (r *receiver) verify(req *http.Request, body []byte) {
	m := &signature.Message{Method: req.Method, URL: req.URL.String(), Header: req.Header, Body: body}
	if r.scheme.Verify(m, []signature.Key{r.key}, time.Now()) != nil {
		r.badly.Add(1)
	}
}

// wait waits for a channel of the receiver's, while the programs that deliver live.
func (r *receiver) wait(ctx context.Context, what <-chan struct{}, limit time.Duration, from *program) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-what:
		return nil
	case <-from.process.Done():
		return from.ended()
	case <-ctx.Done():
		return fmt.Errorf("%s: %d of %d events delivered after %s: %w", from.name, r.distinct.Load(), r.want, limit, errors.Join(r.check(), context.Cause(ctx)))
	}
}

// check says what was wrong with the deliveries.
func (r *receiver) check() error {
	if strange, badly := r.strange.Load(), r.badly.Load(); strange+badly > 0 {
		return fmt.Errorf("%d deliveries of nothing that was sent, and %d badly signed", strange, badly)
	}
	return nil
}
