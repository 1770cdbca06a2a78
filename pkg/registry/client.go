// Package registry talks to a schema registry: it registers the schema of events
// for the topics that hold them, and looks up the schemas of other records by id.
package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/sr"

	"causeway/pkg/secret"
	"causeway/schemas"
)

// Options says where the registry is.
type Options struct {
	URLs []string // of a Confluent-compatible API; the next one is asked when one does not answer
	// Credential gives who this is and how it proves it, asked for each request; nil: nobody.
	Credential func() (Credential, error)
	TLS        *tls.Config           // nil: the system's authorities, no client certificate
	Version    string                // for user-agent
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// Credential is sent with each request: the token if there is one, else user name
// and password.
type Credential struct {
	Username string
	Password secret.Secret
	Token    secret.Secret
}

// Client asks a registry. It is safe for concurrent use.
type Client struct {
	sr   *sr.Client
	http *http.Client
	met  *metrics

	mu      sync.Mutex
	quiet   time.Time     // no look-up before
	backOff time.Duration // after the last failure
	failure error
	unknown map[int]bool // ids that the registry was asked for over and over
}

// requestTimeout is how long the registry may take for an answer.
const requestTimeout = 5 * time.Second

// maxAnswer is how much of an answer is read, in bytes. A schema may have a megabyte.
const maxAnswer = 3 << 20

// New makes a client. It does no I/O.
func New(o Options) (*Client, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment, // the operator named the registry, and may have put it behind one
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: requestTimeout,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 4,
	}
	c := &Client{met: newMetrics(o.Registerer), unknown: map[int]bool{}}
	c.http = &http.Client{
		Transport: &authorized{transport, o.Credential},
		Timeout:   requestTimeout,
		// The credentials are for the host that the operator named, and for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var err error
	c.sr, err = sr.NewClient(sr.URLs(o.URLs...), sr.HTTPClient(c.http), sr.UserAgent("causeway/"+cmp.Or(o.Version, "dev")))
	if err != nil {
		return nil, fmt.Errorf("make the client of the schema registry: %w", err)
	}
	return c, nil
}

// CloseIdle closes connections that are not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// authorized adds the credentials, and bounds what an answer may cost.
type authorized struct {
	next       http.RoundTripper
	credential func() (Credential, error)
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.credential != nil {
		who, err := a.credential()
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		if !who.Token.IsZero() {
			r.Header.Set("Authorization", "Bearer "+trimmed(who.Token))
		} else if who.Username != "" {
			r.SetBasicAuth(who.Username, trimmed(who.Password))
		}
	}
	resp, err := a.next.RoundTrip(r)
	if err == nil {
		resp.Body = bounded{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// trimmed gives a secret without the line break at the end of its file.
func trimmed(s secret.Secret) string { return strings.TrimRight(string(s.Reveal()), "\r\n") }

type bounded struct {
	io.Reader
	io.Closer
}

// Ping asks whether the registry answers, and lets schemas be read.
func (c *Client) Ping(ctx context.Context) error {
	// An id that no registry gives away: its own word that it has none is an answer.
	if _, err := c.sr.SchemaByID(ctx, 0); err != nil && !isUnknown(err) {
		return explain(err)
	}
	return nil
}

// Schema looks up what the registry knows under an id: a [schemas.Lookup].
//
// A registry that fails is left alone for a while, during which every look-up
// fails at once: whoever waits for it asks again, and nobody else is held up. One
// that does not know an id is asked several times before that is believed, since
// its nodes may hear of a new schema one after the other.
func (c *Client) Schema(ctx context.Context, id int) (schemas.RegisteredSchema, error) {
	if err := c.resting(); err != nil {
		return schemas.RegisteredSchema{}, err
	}
	s, err := c.schema(ctx, id)
	for _, pause := range c.doubts(id) {
		if !errors.Is(err, schemas.ErrUnknownID) {
			break
		}
		if e := sleep(ctx, pause); e != nil {
			return schemas.RegisteredSchema{}, e
		}
		s, err = c.schema(ctx, id)
	}
	c.note(ctx, id, err)
	return s, err
}

// schema asks once, for the schema and all that it refers to.
func (c *Client) schema(ctx context.Context, id int) (schemas.RegisteredSchema, error) {
	found, err := c.sr.SchemaByID(ctx, id)
	if err != nil {
		if isUnknown(err) {
			return schemas.RegisteredSchema{}, schemas.ErrUnknownID
		}
		return schemas.RegisteredSchema{}, explain(err)
	}
	s := schemas.RegisteredSchema{Type: found.Type.String(), Text: found.Schema}
	r := references{client: c.sr, seen: map[sr.SchemaReference]bool{}}
	if err := r.add(ctx, found.References); err != nil {
		return schemas.RegisteredSchema{}, err
	}
	s.References = r.texts
	return s, nil
}

// references collects what a schema refers to, each after what it needs itself.
type references struct {
	client *sr.Client
	seen   map[sr.SchemaReference]bool
	texts  []string
}

// maxReferences is how many schemas one may be made of.
const maxReferences = 100

func (r *references) add(ctx context.Context, list []sr.SchemaReference) error {
	for _, ref := range list {
		ref.Name = "" // what it is called here
		if r.seen[ref] {
			continue
		}
		if r.seen[ref] = true; len(r.seen) > maxReferences {
			return nil // the schema is then refused, for a type is missing
		}
		found, err := r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
		if err != nil {
			return fmt.Errorf("version %d of %s, which the schema refers to: %w", ref.Version, ref.Subject, explain(err))
		}
		if err := r.add(ctx, found.References); err != nil {
			return err
		}
		r.texts = append(r.texts, found.Schema.Schema)
	}
	return nil
}

// resting gives the last failure while the registry is left alone.
func (c *Client) resting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil && time.Now().Before(c.quiet) {
		return c.failure
	}
	return nil
}

// doubts are the pauses between one answer that the id is unknown and the next.
func (c *Client) doubts(id int) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unknown[id] {
		return nil // it has been asked for over and over; this answer says that it still is
	}
	return []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
}

// note remembers what became of a look-up. One that was called off says nothing.
func (c *Client) note(ctx context.Context, id int, err error) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.met.found.Inc()
		delete(c.unknown, id)
	case errors.Is(err, schemas.ErrUnknownID):
		c.met.unknown.Inc()
		if len(c.unknown) >= 1000 {
			clear(c.unknown)
		}
		c.unknown[id] = true
	default:
		c.met.failed.Inc()
		c.failure = err
		c.backOff = min(max(2*c.backOff, time.Second), 30*time.Second)
		c.quiet = time.Now().Add(c.backOff)
		return
	}
	c.failure, c.backOff = nil, 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
