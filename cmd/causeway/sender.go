package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/pkg/provider"
	"causeway/pkg/signature"
)

// sender sends samples to one source.
type sender struct {
	options        sendOptions
	provider       *provider.Provider
	keys           []signature.Key
	tamper         tampering
	url, signedURL string
	want           int // status
	client         *http.Client
	out            io.Writer

	mu         sync.Mutex
	unexpected int
	unreached  int            // there was no connection
	answers    map[string]int // by status and word
	took       []time.Duration
}

// answer is what became of one webhook.
type answer struct {
	status int    // 0: none came
	word   string // causeway's status or its problem's code, or why none came
	detail string // the event's ID, or what the problem says
}

func (a answer) String() string {
	if a.status == 0 {
		return a.word
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.word))
}

// sendAll sends all of them, at most so many at once and per second.
func (s *sender) sendAll(ctx context.Context) {
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range min(s.options.concurrency, s.options.count) {
		wg.Go(func() {
			for n := range numbers {
				s.send(ctx, n)
			}
		})
	}
	defer wg.Wait()
	defer close(numbers)
	var due time.Time
	for n := range s.options.count {
		if s.options.rate > 0 {
			due = pace(ctx, due, float64(s.options.rate))
		}
		select {
		case numbers <- n + 1:
		case <-ctx.Done():
			return
		}
	}
}

// pace waits until the next one is due and returns when the one after it is.
// What could not be sent in time is made up for by a tenth of a second's worth
// at most, not by a burst.
func pace(ctx context.Context, due time.Time, rate float64) time.Time {
	now := time.Now()
	step := time.Duration(float64(time.Second) / rate)
	if oldest := now.Add(-max(step, 100*time.Millisecond)); due.IsZero() {
		due = now
	} else if due.Before(oldest) {
		due = oldest
	}
	select {
	case <-time.After(due.Sub(now)):
	case <-ctx.Done():
	}
	return due.Add(step)
}

// send sends one and notes what became of it.
func (s *sender) send(ctx context.Context, n int) {
	started := time.Now()
	a, err := s.post(ctx, n)
	took := time.Since(started)
	if ctx.Err() != nil {
		return // stopped by the user: no outcome of the webhook's
	}
	if err != nil {
		a = answer{word: cause(err)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		s.unreached++
	}
	s.took = append(s.took, took)
	s.answers[a.String()]++
	if a.status != s.want {
		s.unexpected++
	}
	if s.options.count <= fewLines {
		fmt.Fprintf(s.out, "%s  %s  %s  %s\n", s.options.name, printable(a.String(), 200), printable(a.detail, 200), took.Round(time.Millisecond/10))
	}
}

func (s *sender) post(ctx context.Context, n int) (answer, error) {
	m, err := s.provider.Sample(s.options.typ, n)
	if err != nil {
		return answer{}, err
	}
	m.URL = s.signedURL
	if !s.tamper.unsigned {
		if err := s.provider.Sign(m, s.keys, time.Now().Add(s.tamper.shift)); err != nil {
			return answer{}, fmt.Errorf("sign: %w", err)
		}
	}
	if s.tamper.body {
		m.Body = append(m.Body, ' ')
	}
	req, err := http.NewRequestWithContext(ctx, m.Method, s.url, bytes.NewReader(m.Body))
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	req.Header = m.Header
	req.Header.Set("User-Agent", "causeway-send")
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return readAnswer(resp.StatusCode, body), nil
}

// readAnswer finds causeway's words in an answer. A provider's own kind of
// answer has none, and is as good.
func readAnswer(status int, body []byte) answer {
	var fields map[string]any
	_ = json.Unmarshal(body, &fields)
	text := func(key string) string { s, _ := fields[key].(string); return s }
	if code := text("code"); code != "" {
		return answer{status, code, text("detail")}
	}
	return answer{status, text("status"), text("id")}
}

// cause is an error without the address and port that make each one different,
// and without the URL, whose query may hold a secret.
func cause(err error) string {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// host is where it sends to, without a path that may hold a secret.
func (s *sender) host() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return "the address"
	}
	return u.Host
}

// summary says how many got which answer, and how fast.
func (s *sender) summary(took time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent in %s (%.0f/s)", len(s.took), took.Round(time.Millisecond), float64(len(s.took))/took.Seconds())
	if slices.Sort(s.took); len(s.took) > 0 {
		at := func(q float64) time.Duration {
			return s.took[int(q*float64(len(s.took)-1))].Round(time.Millisecond / 10)
		}
		fmt.Fprintf(&b, ", answered in p50 %s, p99 %s, at most %s", at(0.5), at(0.99), at(1))
	}
	b.WriteString("\n")
	for _, words := range slices.Sorted(maps.Keys(s.answers)) {
		fmt.Fprintf(&b, "%8d  %s\n", s.answers[words], printable(words, 200))
	}
	if s.unexpected > 0 {
		fmt.Fprintf(&b, "%d of them were not answered with %d\n", s.unexpected, s.want)
	}
	return b.String()
}
