package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/outbound"
)

// fakeDoer answers instead of a client.
type fakeDoer func(*http.Request) (*http.Response, error)

func (f fakeDoer) Do(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header, body string) fakeDoer {
	return func(*http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func address(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

func request() Request {
	return Request{URL: address("http://127.0.0.1/hook"), Header: http.Header{"Webhook-Id": {"evt-1"}}, Body: []byte("hello"), Timeout: 15 * time.Second}
}

func TestStatusesAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		want   Class
	}{
		"200 is ok":                      {200, OK},
		"204 is ok":                      {204, OK},
		"299 is ok":                      {299, OK},
		"300 is no success":              {300, Failed},
		"a redirect is a failure":        {302, Failed},
		"400 may be mended":              {400, Failed},
		"401 may be mended":              {401, Failed},
		"404 may be mended":              {404, Failed},
		"408 is a failure":               {408, Failed},
		"410 wants no more":              {410, Gone},
		"422 is a failure":               {422, Failed},
		"429 wants fewer":                {429, Throttled},
		"500 is a failure":               {500, Failed},
		"501 is a failure":               {501, Failed},
		"502 wants fewer":                {502, Throttled},
		"503 wants fewer":                {503, Throttled},
		"504 wants fewer":                {504, Throttled},
		"599 is a failure":               {599, Failed},
		"a status nobody has is failure": {999, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			res := NewHTTP(answer(tc.status, nil, "")).Send(t.Context(), request())
			if res.Class != tc.want || res.Status != tc.status || res.Err != nil {
				t.Errorf("Send = %s, %d, %v; want %s", res.Class, res.Status, res.Err, tc.want)
			}
		})
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		text string
		want time.Duration
	}{
		"seconds":                        {"120", 2 * time.Minute},
		"none":                           {"", 0},
		"zero":                           {"0", 0},
		"a date":                         {"Sun, 01 Mar 2026 12:05:00 GMT", 5 * time.Minute},
		"a date of RFC 850":              {"Sunday, 01-Mar-26 12:05:00 GMT", 5 * time.Minute},
		"a date of asctime":              {"Sun Mar  1 12:05:00 2026", 5 * time.Minute},
		"a date in the past":             {"Sun, 01 Mar 2026 11:00:00 GMT", 0},
		"a negative number is no number": {"-5", 0},
		"a fraction is no number":        {"1.5", 0},
		"garbage":                        {"soon", 0},
		"more than there are seconds":    {"99999999999999999999999", (1<<31 - 1) * time.Second},
		"just more than an int":          {"4294967296", (1<<31 - 1) * time.Second},
		"hex is garbage":                 {"0x10", 0},
		"a number with a tail":           {"10s", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(tc.text, now); got != tc.want {
				t.Errorf("retryAfter(%q) = %v, want %v", tc.text, got, tc.want)
			}
		})
	}
}

func TestTheBeginningOfTheResponseIsKept(t *testing.T) {
	for name, tc := range map[string]struct{ size, want int }{
		"nothing":          {0, 0},
		"a byte":           {1, 1},
		"just 4 KiB":       {MaxResponse, MaxResponse},
		"a byte more":      {MaxResponse + 1, MaxResponse},
		"far too much":     {1 << 20, MaxResponse},
		"a byte less":      {MaxResponse - 1, MaxResponse - 1},
		"several reads":    {3000, 3000},
		"twice the buffer": {2 * MaxResponse, MaxResponse},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"Content-Type": {"text/plain"}}
			res := NewHTTP(answer(200, header, strings.Repeat("x", tc.size))).Send(t.Context(), request())
			if len(res.Response) != tc.want || res.ContentType != "text/plain" {
				t.Errorf("kept %d bytes of %q, want %d", len(res.Response), res.ContentType, tc.want)
			}
		})
	}
}

func TestAnAttemptEndsAtItsTimeout(t *testing.T) {
	hang := fakeDoer(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: r.Context().Err()}
	})
	drip := fakeDoer(func(r *http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			<-r.Context().Done()
			_ = w.CloseWithError(r.Context().Err())
		}()
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
	})
	for name, tc := range map[string]struct {
		client fakeDoer
		want   Class
		text   string
	}{
		"without an answer":                          {hang, Failed, "no answer within 15s"},
		"with an answer whose body comes too slowly": {drip, OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				res := NewHTTP(tc.client).Send(t.Context(), request())
				if res.Class != tc.want || res.Took != 15*time.Second {
					t.Errorf("Send = %s after %v, want %s after 15s", res.Class, res.Took, tc.want)
				}
				if got := fmt.Sprint(res.Err); tc.text != "" && got != tc.text {
					t.Errorf("error %q, want %q", got, tc.text)
				}
			})
		})
	}
}

func TestAStopIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stopping")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stop) })
		res := NewHTTP(fakeDoer(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})).Send(ctx, request())
		if res.Took != time.Second || res.Err == nil || strings.Contains(res.Err.Error(), "no answer") {
			t.Errorf("after %v: %v", res.Took, res.Err)
		}
	})
}

func TestErrorsAreSorted(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want Class
	}{
		"refused by the guard":        {fmt.Errorf("dial: %w", outbound.ErrRefused), Refused},
		"refused, inside a url.Error": {&url.Error{Op: "Post", URL: "http://x", Err: outbound.ErrRefused}, Refused},
		"connection refused":          {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, Failed},
		"anything else":               {io.ErrUnexpectedEOF, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			res := NewHTTP(fakeDoer(func(*http.Request) (*http.Response, error) { return nil, tc.err })).Send(t.Context(), request())
			if res.Class != tc.want || res.Err == nil {
				t.Errorf("Send = %s, %v; want %s", res.Class, res.Err, tc.want)
			}
		})
	}
}

// What a subscriber's URL holds beside the host is the subscriber's secret.
func TestErrorsDoNotHoldTheURL(t *testing.T) {
	const secret = "s3cr3t"
	for name, tc := range map[string]struct {
		url    string
		client doer
	}{
		"from a client that wraps": {"http://127.0.0.1/hook?token=" + secret, fakeDoer(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: io.EOF}
		})},
		"from the guarded client":       {"http://127.0.0.1:1/hook?token=" + secret, outbound.New(outbound.Options{AllowLoopback: true, AllowHTTP: true})},
		"from the guard itself":         {"http://10.0.0.1/hook?token=" + secret, outbound.New(outbound.Options{AllowHTTP: true})},
		"from the guard, with a user":   {"http://u:" + secret + "@127.0.0.1/hook", outbound.New(outbound.Options{AllowHTTP: true})},
		"from the guard, without https": {"http://127.0.0.1/hook?token=" + secret, outbound.New(outbound.Options{})},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			r.URL = address(tc.url)
			res := NewHTTP(tc.client).Send(t.Context(), r)
			if res.Err == nil || strings.Contains(res.Err.Error(), secret) {
				t.Errorf("error: %v", res.Err)
			}
		})
	}
}

func TestOverTheWire(t *testing.T) {
	type arrived struct {
		method, path, body string
		header             http.Header
	}
	got := make(chan arrived, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- arrived{r.Method, r.URL.RequestURI(), string(body), r.Header}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/cookie":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		}
	}))
	t.Cleanup(srv.Close)
	client := outbound.New(outbound.Options{AllowLoopback: true, AllowHTTP: true})
	t.Cleanup(client.CloseIdle)
	send := func(path string, header http.Header) Result {
		return NewHTTP(client).Send(t.Context(), Request{URL: address(srv.URL + path), Header: header, Body: []byte("hello"), Timeout: 5 * time.Second})
	}

	t.Run("method, header and body arrive as given", func(t *testing.T) {
		res := send("/ok?a=b", http.Header{"Content-Type": {"text/plain"}, "Webhook-Id": {"evt-1"}, "User-Agent": {"causeway/test"}})
		a := <-got
		if res.Class != OK || a.method != "POST" || a.path != "/ok?a=b" || a.body != "hello" || a.header.Get("Webhook-Id") != "evt-1" {
			t.Errorf("Send = %s, %v; arrived %+v", res.Class, res.Err, a)
		}
		for name := range a.header {
			switch name {
			case "Content-Type", "Webhook-Id", "User-Agent", "Content-Length":
			default:
				t.Errorf("header %s was added", name)
			}
		}
	})
	t.Run("a redirect is not followed", func(t *testing.T) {
		res := send("/moved", http.Header{})
		<-got
		if res.Class != Failed || res.Status != 302 || len(got) != 0 {
			t.Errorf("Send = %s, %d; %d more requests", res.Class, res.Status, len(got))
		}
	})
	t.Run("a header that cannot be sent is our fault", func(t *testing.T) {
		for _, header := range []http.Header{{"Causeway-Type": {"a\r\nb"}}, {"Bad Name": {"x"}}, {"Causeway-Type": {"\x00"}}} {
			if res := send("/ok", header); res.Class != Refused || res.Err == nil {
				t.Errorf("%q: Send = %s, %v; want refused", header, res.Class, res.Err)
			}
		}
		if len(got) != 0 {
			t.Error("such a request arrived")
		}
	})
	t.Run("a connection that is refused is a failure", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		res := NewHTTP(client).Send(t.Context(), Request{URL: address(gone.URL), Header: http.Header{}, Timeout: 5 * time.Second})
		if res.Class != Failed || res.Status != 0 || res.Err == nil {
			t.Errorf("Send = %s, %d, %v", res.Class, res.Status, res.Err)
		}
	})
}

func TestEveryClassHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Classes() {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("class %d is called %q", c, c)
		}
		seen[c.String()] = true
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
		res := h.Send(t.Context(), Request{URL: address(server.URL), Header: header, Body: []byte("x"), Timeout: 5 * time.Second})
		if res.Class != OK {
			t.Fatalf("attempt %d: %v", i, res.Err)
		}
		server.CloseClientConnections()
	}
}
