package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"causeway/pkg/signature"
)

const (
	maxDelivery = 64 << 20  // bytes of a body that a receiver takes
	maxKnownIDs = 1_000_000 // webhook-ids that a receiver remembers
)

// receiver is an HTTP handler that takes deliveries: it verifies them, prints a
// line for each, and can play a bad subscriber.
type receiver struct {
	scheme *signature.Compiled // nil: signatures are not verified
	keys   []signature.Key

	fail    int           // attempts of each webhook that are failed on purpose
	status  int           // of a failure on purpose; with fail 0 and status set, of every answer
	delay   time.Duration // before each answer
	forward string        // where deliveries go on to, whose answer is theirs
	client  *http.Client  // for forward

	mu    sync.Mutex
	out   io.Writer
	known map[string]*history
	tally tally
}

// history is what happened to one webhook-id.
type history struct {
	failures  int
	failed    time.Time // the latest failure
	delivered bool
}

// tally is the sum of what happened to all of them.
type tally struct {
	deliveries, delivered, again, failed, unverified int
	gaps                                             []gap // after the 1st failure, the 2nd, ...
}

// gap is the time from a failure to the next arrival of the same webhook-id.
type gap struct {
	smallest, largest time.Duration
	count             int
}

// maxGaps bounds the failures that are told apart.
const maxGaps = 20

func newReceiver(out io.Writer) *receiver {
	return &receiver{out: out, known: map[string]*history{}}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	arrived := time.Now()
	if req.Method != http.MethodPost {
		http.Error(w, "deliveries are POSTs", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxDelivery))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	verified, verdict := r.verify(req, body, arrived)
	failures := r.arrive(req.Header.Get("Webhook-Id"), verified, arrived)
	if r.delay > 0 {
		select {
		case <-time.After(r.delay):
		case <-req.Context().Done():
		}
	}
	status := r.answer(req, body, verified, failures)
	r.settle(req, len(body), status, verified, verdict, arrived)
	w.WriteHeader(status)
}

// verify says whether the signature is good, and that in a word for the line.
func (r *receiver) verify(req *http.Request, body []byte, now time.Time) (bool, string) {
	if r.scheme == nil {
		return true, "not checked"
	}
	m := &signature.Message{Method: req.Method, URL: req.URL.String(), Header: req.Header, Body: body}
	if err := r.scheme.Verify(m, r.keys, now); err != nil {
		return false, "BAD SIGNATURE: " + err.Error()
	}
	return true, "verified"
}

// arrive notes an arrival and returns how often this webhook-id failed before.
func (r *receiver) arrive(id string, verified bool, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.deliveries++
	if !verified {
		return 0
	}
	h := r.known[id]
	if h == nil {
		if len(r.known) >= maxKnownIDs {
			return 0
		}
		h = &history{}
		r.known[id] = h
	}
	if !h.failed.IsZero() {
		r.tally.note(h.failures, now.Sub(h.failed))
		h.failed = time.Time{}
	}
	return h.failures
}

func (t *tally) note(failures int, took time.Duration) {
	if failures < 1 || failures > maxGaps {
		return
	}
	for len(t.gaps) < failures {
		t.gaps = append(t.gaps, gap{})
	}
	g := &t.gaps[failures-1]
	if g.count == 0 || took < g.smallest {
		g.smallest = took
	}
	g.largest = max(g.largest, took)
	g.count++
}

func (r *receiver) answer(req *http.Request, body []byte, verified bool, failures int) int {
	switch {
	case !verified:
		return http.StatusUnauthorized
	case r.fail > 0 && failures < r.fail:
		return r.failure()
	case r.fail == 0 && r.status != 0:
		return r.status
	case r.forward != "":
		return r.pass(req, body)
	default:
		return http.StatusOK
	}
}

func (r *receiver) failure() int {
	if r.status != 0 {
		return r.status
	}
	return http.StatusInternalServerError
}

// pass sends a delivery on as it came and returns the status of the answer.
func (r *receiver) pass(req *http.Request, body []byte) int {
	next, err := http.NewRequestWithContext(req.Context(), http.MethodPost, r.forward, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadGateway
	}
	for name, values := range req.Header {
		if !slices.Contains([]string{"Connection", "Accept-Encoding", "Content-Length"}, name) {
			next.Header[name] = values
		}
	}
	resp, err := r.client.Do(next)
	if err != nil {
		return http.StatusBadGateway
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode
}

// settle notes how a delivery ended and prints its line. The time of a failure
// is taken before the answer leaves: the sender's wait begins later, so that a
// gap can only look longer than it was by what the answer took.
func (r *receiver) settle(req *http.Request, size, status int, verified bool, verdict string, arrived time.Time) {
	id := req.Header.Get("Webhook-Id")
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.known[id]
	switch ok := status >= 200 && status < 300; {
	case !verified:
		r.tally.unverified++
	case h == nil:
	case ok && h.delivered:
		r.tally.again++
	case ok:
		h.delivered = true
		r.tally.delivered++
	default:
		h.failures++
		h.failed = time.Now()
		r.tally.failed++
	}
	attempt := "attempt " + column(req.Header.Get("Causeway-Attempt"))
	fmt.Fprintf(r.out, "%s  %d  %s  %s  %s  %s  %s  %s\n", arrived.Format("15:04:05.000"), status, attempt,
		column(req.Header.Get("Causeway-Source")), column(req.Header.Get("Causeway-Type")), column(id), byteSize(int64(size)), printable(verdict, 80))
}

// summary says in a few lines what happened so far.
func (r *receiver) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tally
	var b strings.Builder
	fmt.Fprintf(&b, "%d deliveries of %d webhooks: %d delivered, %d delivered again, %d failed, %d not verified\n",
		t.deliveries, len(r.known), t.delivered, t.again, t.failed, t.unverified)
	waiting := 0
	for _, h := range r.known {
		if !h.failed.IsZero() {
			waiting++
		}
	}
	if waiting > 0 {
		fmt.Fprintf(&b, "%d failed last and may come again\n", waiting)
	}
	for i, g := range t.gaps {
		if g.count > 0 {
			fmt.Fprintf(&b, "after failure %d: smallest gap to the next attempt %s, largest %s (%d)\n",
				i+1, g.smallest.Round(time.Millisecond/10), g.largest.Round(time.Millisecond/10), g.count)
		}
	}
	return b.String()
}

// count is how many deliveries came so far.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.deliveries
}

// plainClient is for places that the user of this command line has named:
// unlike deliveries to strangers' addresses they need no guard.
func plainClient(conns int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxIdleConns:        conns,
			MaxIdleConnsPerHost: conns,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
}

// checkURL checks a URL from the command line.
func checkURL(flag, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s: this is not a URL: write it like http://localhost:3000/hooks", flag)
	}
	return nil
}

// serveUntil runs a handler on a listener until ctx ends, then gives requests
// under way a moment.
func serveUntil(ctx context.Context, server *http.Server, serve func() error, grace time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- serve() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // what is still under way has had its time
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
