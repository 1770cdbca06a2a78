package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/outbound"
)

// fakeDoer answers without a network.
type fakeDoer func(*http.Request) (*http.Response, error)

func (f fakeDoer) Do(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header, body string) fakeDoer {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func TestStatusesAreSorted(t *testing.T) {
	for status, want := range map[int]Class{
		200: OK, 204: OK, 299: OK,
		301: Failed, 304: Failed, 400: Failed, 404: Failed, 408: Failed, 500: Failed, 501: Failed,
		410: Gone,
		429: Throttled, 502: Throttled, 503: Throttled, 504: Throttled,
	} {
		res := NewHTTP(answer(status, nil, "")).Send(t.Context(), Request{URL: "https://x", Header: http.Header{}, Timeout: time.Second})
		if res.Class != want || res.Status != status {
			t.Errorf("status %d: class %s, status %d; want %s", status, res.Class, res.Status, want)
		}
	}
}

func TestRetryAfterIsReadOrLeft(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"0":                             0,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999999":          0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0, // in the past
		"Fri, 02-Jan-26 03:05:05 GMT":   0, // a form that HTTP does not have
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", text, got, want)
		}
	}
}

func TestOnlyTheBeginningOfTheAnswerIsKept(t *testing.T) {
	for _, size := range []int{0, MaxResponse - 1, MaxResponse, MaxResponse + 1, 10 * MaxResponse} {
		res := NewHTTP(answer(200, nil, strings.Repeat("x", size))).Send(t.Context(), Request{URL: "https://x", Header: http.Header{}, Timeout: time.Second})
		if len(res.Response) != min(size, MaxResponse) {
			t.Errorf("%d of %d bytes were kept", len(res.Response), size)
		}
	}
}

func TestWhatIsNotSentIsOurFault(t *testing.T) {
	refused := fakeDoer(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("dial: %w: loopback", outbound.ErrRefused)
	})
	if res := NewHTTP(refused).Send(t.Context(), Request{URL: "https://x", Header: http.Header{}, Timeout: time.Second}); res.Class != Refused {
		t.Errorf("a refused address: %s, want refused", res.Class)
	}
	reset := fakeDoer(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") })
	if res := NewHTTP(reset).Send(t.Context(), Request{URL: "https://x", Header: http.Header{}, Timeout: time.Second}); res.Class != Failed {
		t.Errorf("a reset connection: %s, want failed", res.Class)
	}
	if res := NewHTTP(reset).Send(t.Context(), Request{URL: "https://x\x7f", Header: http.Header{}, Timeout: time.Second}); res.Class != Refused {
		t.Errorf("a URL that is none: %s, want refused", res.Class)
	}
}

func TestTimeoutIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := fakeDoer(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		res := NewHTTP(hang).Send(t.Context(), Request{URL: "https://x", Header: http.Header{}, Timeout: 15 * time.Second})
		if res.Class != Failed || res.Took != 15*time.Second || res.Err.Error() != "no answer within 15s" {
			t.Errorf("class %s after %v: %v", res.Class, res.Took, res.Err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if res := NewHTTP(hang).Send(ctx, Request{URL: "https://x", Header: http.Header{}, Timeout: time.Second}); res.Took != 0 {
			t.Errorf("an attempt whose context has ended took %v", res.Took)
		}
	})
}

// What is in a subscriber's URL may be a secret: nothing of it may be in an error.
func TestErrorsDoNotShowTheURL(t *testing.T) {
	client := outbound.New(outbound.Options{AllowHTTP: true, AllowLoopback: true, ConnectTimeout: time.Second})
	defer client.CloseIdle()
	closed := httptest.NewServer(http.NotFoundHandler())
	url := closed.URL
	closed.Close()
	for _, u := range []string{url + "/hook/topsecret?token=topsecret", "http://10.0.0.1/topsecret", "http://topsecret\x7f"} {
		res := NewHTTP(client).Send(t.Context(), Request{URL: u, Header: http.Header{}, Timeout: 2 * time.Second})
		if res.Err == nil || strings.Contains(res.Err.Error(), "topsecret") {
			t.Errorf("%.20q: %v", u, res.Err)
		}
	}
}

// Between two attempts the receiver closes its idle connection. The next attempt
// must find that out and connect anew instead of failing.
func TestAClosedIdleConnectionIsNoFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	client := outbound.New(outbound.Options{AllowHTTP: true, AllowLoopback: true})
	defer client.CloseIdle()
	h := NewHTTP(client)
	for i := range 50 {
		header := http.Header{}
		res := h.Send(t.Context(), Request{URL: server.URL, Header: header, Body: []byte("x"), Timeout: 5 * time.Second})
		if res.Class != OK {
			t.Fatalf("attempt %d: %v", i, res.Err)
		}
		server.CloseClientConnections()
	}
}
