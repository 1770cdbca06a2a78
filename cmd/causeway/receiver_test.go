package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

const receiverSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newTestReceiver(t *testing.T) (*receiver, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	r := newReceiver(out)
	var err error
	if r.scheme, r.keys, err = standardKey(secret.New([]byte(receiverSecret))); err != nil {
		t.Fatal(err)
	}
	return r, out
}

// deliver makes a delivery like causeway's and returns the status of its answer.
func deliver(t *testing.T, r *receiver, id string, attempt int) int {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks", strings.NewReader(`{"n":1}`))
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Causeway-Attempt", fmt.Sprint(attempt))
	m := &signature.Message{Method: req.Method, Header: req.Header, Body: []byte(`{"n":1}`)}
	if err := r.scheme.Sign(m, r.keys, time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code
}

func TestReceiverJoinsFailuresWithTheNextArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newTestReceiver(t)
		r.fail = 2
		var got []int
		for i, id := range []string{"a", "b"} {
			for attempt, wait := range []time.Duration{0, 5 * time.Second, 30 * time.Second, time.Minute} {
				time.Sleep(wait + time.Duration(i)*time.Millisecond)
				got = append(got, deliver(t, r, id, attempt+1))
			}
		}
		if want := "[500 500 200 200 500 500 200 200]"; fmt.Sprint(got) != want {
			t.Errorf("answers %v, want %s", got, want)
		}
		want := "8 deliveries of 2 webhooks: 2 delivered, 2 delivered again, 4 failed, 0 not verified\n" +
			"after failure 1: smallest gap to the next attempt 5s, largest 5.001s (2)\n" +
			"after failure 2: smallest gap to the next attempt 30s, largest 30.001s (2)\n"
		if got := r.summary(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestReceiverRefusesWhatIsNotSignedWithItsSecret(t *testing.T) {
	r, out := newTestReceiver(t)
	signer, _ := newTestReceiver(t)
	var err error
	if r.scheme, r.keys, err = standardKey(secret.New([]byte("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"))); err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hooks", strings.NewReader("x"))
	req.Header.Set("Webhook-Id", "\x1b[2J")
	m := &signature.Message{Method: req.Method, Header: req.Header, Body: []byte("x")}
	if err := signer.scheme.Sign(m, signer.keys, time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("answered %d, want 401", w.Code)
	}
	if got := out.String(); !strings.Contains(got, "BAD SIGNATURE") || strings.Contains(got, "\x1b") {
		t.Errorf("printed %q", got)
	}
	if len(r.known) != 0 {
		t.Error("a stranger's webhook-id is remembered")
	}
}

func TestReceiverAnswers(t *testing.T) {
	next := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if string(body) == `{"n":1}` && req.Header.Get("Webhook-Signature") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer next.Close()
	for name, tc := range map[string]struct {
		set  func(*receiver)
		want []int // of attempts 1, 2, 3
	}{
		"everything is taken":              {func(*receiver) {}, []int{200, 200, 200}},
		"a status for everything":          {func(r *receiver) { r.status = 418 }, []int{418, 418, 418}},
		"a status for the first two":       {func(r *receiver) { r.fail, r.status = 2, 410 }, []int{410, 410, 200}},
		"the answer of who it is for":      {func(r *receiver) { r.forward = next.URL }, []int{418, 418, 418}},
		"nobody there whom it is for":      {func(r *receiver) { r.forward = "http://127.0.0.1:1" }, []int{502, 502, 502}},
		"failures stand above passing on":  {func(r *receiver) { r.fail, r.forward = 1, next.URL }, []int{500, 418, 418}},
		"a redirect is a failure as given": {func(r *receiver) { r.status = 302 }, []int{302, 302, 302}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newTestReceiver(t)
			r.client = plainClient(1)
			defer r.client.CloseIdleConnections()
			tc.set(r)
			var got []int
			for attempt := range 3 {
				got = append(got, deliver(t, r, "a", attempt+1))
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("answers %v, want %v", got, tc.want)
			}
		})
	}
}

func TestReceiverMemoryIsBounded(t *testing.T) {
	r := newReceiver(io.Discard)
	for i := range 3 * maxGaps {
		r.tally.note(i, time.Second)
	}
	if len(r.tally.gaps) > maxGaps {
		t.Errorf("%d gaps", len(r.tally.gaps))
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var due time.Time
		for range 101 {
			due = pace(t.Context(), due, 100)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("101 at 100/s took %v, want 1s", got)
		}
		time.Sleep(time.Hour) // a stall is not made up for by a burst
		start = time.Now()
		for range 111 {
			due = pace(t.Context(), due, 100)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("111 at 100/s after a stall took %v, want 1s", got)
		}
	})
}
