package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// unansweredError is a call that the API did not answer.
type unansweredError struct {
	sent bool // a change, which the API has whole: it may have been made
	err  error
}

func (e *unansweredError) Error() string { return e.err.Error() }
func (e *unansweredError) Unwrap() error { return e.err }

// apiTransport tells apart what was never sent and what was sent without an answer.
type apiTransport struct{ http.RoundTripper }

// newAPITransport makes the client for the API. It follows no redirect: the key would
// go along.
func newAPITransport() *http.Client {
	return &http.Client{
		Transport:     apiTransport{&http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 4}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (t apiTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	changes := req.Method != http.MethodGet && req.Method != http.MethodHead
	var sent atomic.Bool // the trace is called by another goroutine
	// A request with an Idempotency-Key is sent again by net/http when a connection that it
	// had kept breaks: what counts is whether any of them was sent.
	trace := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		if i.Err == nil {
			sent.Store(true)
		}
	}}
	resp, err := t.RoundTripper.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		return nil, &unansweredError{changes && sent.Load(), err}
	}
	resp.Body = answerBody{resp.Body, changes}
	return resp, nil
}

// answerBody is a body that may break off: what it was the answer to has been done then,
// or has not.
type answerBody struct {
	io.ReadCloser
	changes bool
}

func (a answerBody) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &unansweredError{a.changes, fmt.Errorf("the answer broke off: %w", err)}
	}
	return n, err
}
