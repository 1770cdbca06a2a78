package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load sends signed webhooks over a number of connections, each sending the next one
// when the last is answered. It speaks HTTP/1.1 itself: a client that cost more than
// the programs under test would measure itself.
type load struct {
	path        string
	connections int
	rate        int       // per second, of all connections; 0: as many as are answered
	from, to    time.Time // what lies wholly within counts

	next atomic.Int64 // event number
	sent []sending    // by number; nil: not asked for
}

// sending is when an event was sent, and whether that was in a measured window.
type sending struct {
	when   time.Time
	counts bool
}

// answers are what a load got.
type answers struct {
	took []time.Duration // of those that count, sorted
	ok   int             // 2xx in all, the warm-up included
}

// run sends until the end of the window. An answer that is not 200 is an error: it
// would not cost what the others do.
func (l *load) run(ctx context.Context, address string) (answers, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var due chan time.Time
	var wg sync.WaitGroup
	if l.rate > 0 {
		due = make(chan time.Time, l.rate) // up to a second late without slowing the pace
		wg.Go(func() { l.pace(ctx, due) })
	}
	var mu sync.Mutex
	var all answers
	var errs []error
	for range l.connections {
		wg.Go(func() {
			a, err := l.connection(ctx, address, due)
			mu.Lock()
			defer mu.Unlock()
			all.took = append(all.took, a.took...)
			all.ok += a.ok
			if err != nil && ctx.Err() == nil {
				errs = append(errs, err)
				cancel() // one is enough
			}
		})
	}
	wg.Wait()
	slices.Sort(all.took)
	return all, errors.Join(errs...)
}

// track notes when each of the first so many events is sent.
func (l *load) track(events int) { l.sent = make([]sending, events) }

// pace says when each event is due, until the end of the window.
func (l *load) pace(ctx context.Context, due chan<- time.Time) {
	defer close(due)
	step := time.Second / time.Duration(l.rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for at := time.Now(); at.Before(l.to); at = at.Add(step) {
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		due <- time.Now()
	}
}

func (l *load) connection(ctx context.Context, address string, due <-chan time.Time) (answers, error) {
	var a answers
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if err := conn.SetDeadline(l.to.Add(30 * time.Second)); err != nil {
		return a, err
	}
	w, buf := newWebhook(address, l.path), make([]byte, 4<<10)
	for {
		start := time.Now()
		if due != nil {
			at, more := <-due
			if !more {
				return a, nil
			}
			start = at // waiting for a free connection counts
		} else if !start.Before(l.to) {
			return a, nil
		}
		n := int(l.next.Add(1) - 1)
		if n < len(l.sent) {
			l.sent[n] = sending{start, !start.Before(l.from)}
		}
		if _, err := conn.Write(w.sign(n, start)); err != nil {
			return a, fmt.Errorf("send: %w", err)
		}
		if err := readAnswer(conn, buf); err != nil {
			return a, err
		}
		a.ok++
		if end := time.Now(); !start.Before(l.from) && !end.After(l.to) {
			a.took = append(a.took, end.Sub(start))
		}
	}
}

// readAnswer reads one response, of a few hundred bytes, and says what is wrong with it.
func readAnswer(conn net.Conn, buf []byte) error {
	n, need := 0, -1
	for need < 0 || n < need {
		if n == len(buf) {
			return errors.New("an answer of more than 4 KiB")
		}
		m, err := conn.Read(buf[n:])
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		n += m
		if need >= 0 {
			continue
		}
		if end := bytes.Index(buf[:n], []byte("\r\n\r\n")); end >= 0 {
			length, err := contentLength(buf[:end+2])
			if err != nil {
				return err
			}
			need = end + 4 + length
		}
	}
	if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %.500q", buf[:n])
	}
	return nil
}

func contentLength(head []byte) (int, error) {
	const name = "\r\nContent-Length: "
	_, rest, found := bytes.Cut(head, []byte(name))
	text, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err := strconv.Atoi(string(text))
	if !found || err != nil || length < 0 {
		return 0, fmt.Errorf("an answer without a length: %.500q", head)
	}
	return length, nil
}
