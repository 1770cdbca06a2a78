package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"causeway/pkg/signature"
)

// fleetLoad sends webhooks at a steady rate, whatever the answers take, to the
// fleet's ingress processes in turn: what a load balancer does that goes on to the
// next one only when a connection is refused.
type fleetLoad struct {
	f    *fleet
	name string
	stop func()

	refused atomic.Int64 // connections that were, and went to the other

	mu      sync.Mutex
	acked   map[string]time.Time // id -> when its 200 came
	answers map[string]int
	faults  []string // of answers that no provider should see
	slowest time.Duration
	hurried int // 503s without Retry-After
}

// load starts it; stop ends it and waits for the last answers.
func (f *fleet) load(rate float64) *fleetLoad {
	l := &fleetLoad{f: f, name: fmt.Sprintf("%s-%d", f.source, time.Now().UnixNano()), acked: map[string]time.Time{}, answers: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		var due time.Time
		for n := 0; ctx.Err() == nil; n++ {
			due = pace(ctx, due, rate)
			sending.Go(func() { l.send(n) })
		}
	})
	l.stop = func() {
		cancel()
		sending.Wait()
	}
	f.t.Cleanup(l.stop)
	return l
}

func (l *fleetLoad) send(n int) {
	id := fmt.Sprintf("%s-%d", l.name, n)
	started := time.Now()
	word, retryAfter, door, err := "", "", "", error(nil)
	doors := l.f.ingresses()
	for try := range 2 * len(doors) {
		door = doors[(n+try)%len(doors)]
		word, retryAfter, err = l.f.post(door, id)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		l.refused.Add(1)
	}
	took := time.Since(started)
	if err != nil {
		word = cause(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[word]++
	l.slowest = max(l.slowest, took)
	switch {
	case err == nil && strings.HasPrefix(word, "200"):
		l.acked[id] = time.Now()
	case err == nil && strings.HasPrefix(word, "503"):
		if retryAfter == "" {
			l.hurried++
		}
	default:
		l.faults = append(l.faults, fmt.Sprintf("%s at %s, begun %s, after %s: %s", id, door, started.Format("15:04:05.000"), took, word))
	}
}

// post sends one webhook and gives status and code of the answer.
func (f *fleet) post(door, id string) (word, retryAfter string, err error) {
	body := []byte(`{"id":"` + id + `","type":"order.paid"}`)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+door+"/webhooks/"+f.source, bytes.NewReader(body))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Webhook-Id", id)
	m := &signature.Message{Method: http.MethodPost, Header: req.Header, Body: body}
	if err := f.scheme.Sign(m, []signature.Key{f.key}, time.Now()); err != nil {
		return "", "", err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return readAnswer(resp.StatusCode, text).String(), resp.Header.Get("Retry-After"), err
}

func (l *fleetLoad) acknowledged() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// all says whether every answer was a 200; the others are in the test's output.
func (l *fleetLoad) all() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers) == 1 && l.answers["200 received"] > 0
}

// honest fails the test when an answer was neither a 200 nor a 503 that says when to
// come again, or was not there in time.
func (l *fleetLoad) honest(within time.Duration) {
	l.f.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fault := range l.faults[:min(5, len(l.faults))] {
		l.f.t.Errorf("neither stored nor told to come again: %s", fault)
	}
	if l.hurried > 0 {
		l.f.t.Errorf("%d answers of 503 without Retry-After", l.hurried)
	}
	if l.slowest > within {
		l.f.t.Errorf("the slowest answer took %s, the provider would not have waited", l.slowest)
	}
}

func (l *fleetLoad) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := 0
	var words []string
	for _, word := range slices.Sorted(maps.Keys(l.answers)) {
		sum += l.answers[word]
		words = append(words, fmt.Sprintf("%d %s", l.answers[word], word))
	}
	return fmt.Sprintf("%d sent: %s; slowest answer %s; %d connections refused and sent elsewhere",
		sum, strings.Join(words, ", "), l.slowest.Round(time.Millisecond), l.refused.Load())
}
