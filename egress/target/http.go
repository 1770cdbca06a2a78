package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"causeway/pkg/deadline"
	"causeway/pkg/outbound"
)

// MaxResponse is how much of a response's body is read, in bytes.
const MaxResponse = 4 << 10

// Doer sends one request; *outbound.Client does.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

// HTTP posts deliveries.
type HTTP struct {
	client    doer
	deadlines deadline.Shared
}

// NewHTTP posts through the client, which must be one of pkg/outbound.
func NewHTTP(client doer) *HTTP { return &HTTP{client: client} }

// Request is one POST. The header is sent as it is.
type Request struct {
	URL     *url.URL
	Header  http.Header
	Body    []byte
	Timeout time.Duration // from connecting to the end of the response; an attempt may end up to 1 % earlier
}

// Send makes one attempt. It never returns later than the timeout or the end of ctx.
func (h *HTTP) Send(ctx context.Context, r Request) Result {
	start := time.Now()
	ctx = h.deadlines.Context(ctx, r.Timeout, errTimeout, start)
	res := h.post(ctx, r)
	res.Took = time.Since(start)
	if res.Err != nil && errors.Is(context.Cause(ctx), errTimeout) {
		res.Err = fmt.Errorf("no answer within %s", r.Timeout)
	}
	return res
}

var errTimeout = errors.New("attempt timed out")

func (h *HTTP) post(ctx context.Context, r Request) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(r.Body))
	if err != nil {
		return Result{Class: Refused, Err: err}
	}
	req.URL, req.Header = r.URL, r.Header
	// An idle connection that the receiver closes at this very moment would count
	// as a failed attempt. The empty key, which is never sent, lets net/http try the
	// next connection: a second copy is within what at-least-once allows.
	req.Header["Idempotency-Key"] = nil
	resp, err := h.client.Do(req)
	if err != nil {
		return Result{Class: classOf(err), Err: bare(err)}
	}
	defer resp.Body.Close()
	// Only the beginning is kept. A body that ends there is read to its end, so
	// that the connection can be used again; a longer one costs the connection.
	var body []byte
	if resp.Body != http.NoBody {
		body, _ = io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	}
	if len(body) > MaxResponse {
		body = body[:MaxResponse]
	}
	return Result{
		Class:       ClassOfStatus(resp.StatusCode),
		Status:      resp.StatusCode,
		RetryAfter:  retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Response:    body,
		ContentType: resp.Header.Get("Content-Type"),
	}
}

// bare takes the URL out of an error, for its query or user part may hold a
// subscriber's secret, and errors end up in logs, records and dead letters.
func bare(err error) error {
	if withURL, ok := errors.AsType[*url.Error](err); ok {
		return withURL.Err
	}
	return err
}

// classOf tells a request that never left from one that the other side failed.
func classOf(err error) Class {
	if errors.Is(err, outbound.ErrRefused) {
		return Refused
	}
	return Failed
}

// ClassOfStatus sorts a response by its status.
func ClassOfStatus(status int) Class {
	switch {
	case status >= 200 && status < 300:
		return OK
	case status == http.StatusGone:
		return Gone
	case status == http.StatusTooManyRequests, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return Throttled
	default:
		return Failed
	}
}

// retryAfter reads RFC 9110's Retry-After: seconds or a date. What it cannot
// read it takes as absent.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) { // then it is the largest that fits
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
