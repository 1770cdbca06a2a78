// Package outbound is the only constructor of HTTP clients to addresses that strangers choose.
package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// maxResponseHeader bounds what a receiver's response header may take; net/http's own
	// limit is 10 MiB, times thousands of attempts at once.
	maxResponseHeader = 64 << 10

	// maxIdle bounds the idle connections to all receivers together.
	maxIdle = 2048

	// idleTimeout is below the 60 s after which common load balancers close: a request
	// that meets a connection while it is being closed is a failed attempt.
	idleTimeout = 55 * time.Second

	// pingAfter and pingTimeout find an HTTP/2 connection that died without a word;
	// otherwise each request on it would wait out its own deadline.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second

	// resumable is for how many TLS sessions the client keeps tickets, so that a new
	// connection to a known receiver skips most of the handshake.
	resumable = 1024
)

// Options of a Client. The zero value refuses all that is not https to a public address.
type Options struct {
	AllowNetworks   []netip.Prefix            // private networks that may be reached after all: egress.allow_networks
	AllowLoopback   bool                      // causeway dev
	AllowHTTP       bool                      // plain http as well as https
	ConnectTimeout  time.Duration             // from the name to a TCP connection, and once more for TLS: 5s
	MaxConnsPerHost int                       // 0: no limit
	MaxIdlePerHost  int                       // 64
	Forbidden       func(netip.AddrPort) bool // causeway's own listeners and brokers: never, whatever else is allowed
	RootCAs         *x509.CertPool            // nil: the system's

	// Dial connects to an address that passed the check; nil: the network. For tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Lookup finds the addresses of a name; nil: DNS. For tests.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

func (o Options) withDefaults() Options {
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.MaxIdlePerHost = cmp.Or(o.MaxIdlePerHost, 64)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Lookup == nil {
		o.Lookup = lookup
	}
	return o
}

// Client sends requests to addresses that strangers choose. It is safe for concurrent use.
type Client struct {
	allowHTTP bool
	transport *http.Transport
}

// New returns a Client. It does no I/O.
func New(o Options) *Client {
	o = o.withDefaults()
	d := &dialer{guard: newGuard(o), timeout: o.ConnectTimeout, lookup: o.Lookup, dial: o.Dial}
	return &Client{
		allowHTTP: o.AllowHTTP,
		transport: &http.Transport{
			Proxy:                  nil, // deliberate: a proxy from the environment would do the connecting, unchecked
			DialContext:            d.dialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(resumable)},
			TLSHandshakeTimeout:    o.ConnectTimeout,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
			MaxConnsPerHost:        o.MaxConnsPerHost,
			MaxIdleConnsPerHost:    o.MaxIdlePerHost,
			MaxIdleConns:           max(maxIdle, o.MaxIdlePerHost),
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxResponseHeader,
			DisableCompression:     true, // nobody asked for gzip, and 4 KiB of it can be 4 MiB
		},
	}
}

// Do sends r and returns the response as it came: redirects are not followed, nothing is
// decompressed, no cookie is kept, no credentials are made from the URL. The caller
// bounds the whole by r's context and must close the body; a body not read to its end
// costs the connection.
//
// A request that cannot or must not be sent fails with ErrRefused; every other error is
// the receiver's or the network's.
//
// It goes to the transport directly: what http.Client does beyond that is what must not
// be done here, and its errors carry the URL, whose query may hold a secret.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if err := c.check(r); err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close())
		}
		return nil, err
	}
	resp, err := c.transport.RoundTrip(r)
	err = hideAddresses(err)
	if err != nil && !sendable(r.Header) {
		// The transport refuses such a header before it connects, and says so in words
		// only. Looked for after the fact, it costs the requests that are sent nothing.
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return resp, err
}

// CloseIdle closes the connections that are not in use.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// check is the part of CheckURL that a request must hold to whoever made it. It runs for
// each request, the check of the address only for each connection.
func (c *Client) check(r *http.Request) error {
	switch {
	case r.URL == nil:
		return fmt.Errorf("%w: a request without a URL", ErrRefused)
	case r.URL.User != nil:
		return fmt.Errorf("%w: %s", ErrRefused, faultUser)
	case r.URL.Scheme == "https", c.allowHTTP && r.URL.Scheme == "http":
		return nil
	case r.URL.Scheme == "http":
		return fmt.Errorf("%w: %s", ErrRefused, faultHTTP)
	default:
		return fmt.Errorf("%w: scheme %q; use https", ErrRefused, r.URL.Scheme)
	}
}
