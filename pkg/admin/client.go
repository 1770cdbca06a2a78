package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"causeway/pkg/secret"
)

// BasePath is where the API begins.
const BasePath = "/api/v1"

// AnyVersion takes the place of a version where it does not matter which one is
// changed: no If-Match is sent.
const AnyVersion int64 = 0

// ClientOptions say where the API is.
type ClientOptions struct {
	URL       string        // like http://127.0.0.1:8701
	Key       secret.Secret // zero: none, which only a loopback listener may let in
	HTTP      *http.Client  //nolint:forbidigo // whoever calls names the API
	UserAgent string
}

// Client calls the API. It is safe for concurrent use.
type Client struct {
	base  string
	o     ClientOptions
	plain *http.Client //nolint:forbidigo // see ClientOptions
}

// NewClient makes a Client; it asks nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("this is not the URL of an admin API: write it like https://causeway.example.com or http://127.0.0.1:8701")
	}
	plain := cmp.Or(o.HTTP, http.DefaultClient) //nolint:forbidigo // see ClientOptions
	return &Client{base: strings.TrimSuffix(o.URL, "/") + BasePath, o: o, plain: plain}, nil
}

// Problem is an error as the API gives it (RFC 9457).
type Problem struct {
	Status int           `json:"status" doc:"The answer's status again."`
	Title  string        `json:"title" doc:"The status in words."`
	Code   string        `json:"code" doc:"What is wrong, as a name that stays the same: for programs."`
	Detail string        `json:"detail" doc:"What is wrong, and what to do about it: for people."`
	Errors []ProblemItem `json:"errors,omitempty" doc:"Each thing that is wrong, when there are several or they have a place."`

	headers http.Header
}

// ProblemItem is one of several things wrong.
type ProblemItem struct {
	Location string `json:"location"` // like body.spec.url
	Message  string `json:"message"`
}

func (p *Problem) Error() string {
	var text strings.Builder
	text.WriteString(cmp.Or(p.Detail, p.Title, http.StatusText(p.Status)))
	for _, item := range p.Errors {
		text.WriteString("\n  " + strings.TrimPrefix(strings.TrimPrefix(item.Location, "body."), "spec.") + ": " + item.Message)
	}
	return text.String()
}

// call is one request.
type call struct {
	method, path string
	query        url.Values
	version      int64 // If-Match, unless AnyVersion
	in, out      any
}

// do makes a call. One that makes something carries an Idempotency-Key, so that it can
// be sent again when its answer is lost.
func (c *Client) do(ctx context.Context, k call) error {
	var body io.Reader
	if k.in != nil {
		text, err := json.Marshal(k.in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := c.base + k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if k.in != nil || k.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", cmp.Or(c.o.UserAgent, "causeway-client"))
	if !c.o.Key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+string(c.o.Key.Reveal()))
	}
	if k.version != AnyVersion {
		req.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(k.version, 10)))
	}
	if k.method == http.MethodPost {
		req.Header.Set("Idempotency-Key", uuid.NewString())
	}
	resp, err := c.plain.Do(req)
	if err != nil {
		return fmt.Errorf("ask the admin API at %s: %w", c.o.URL, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the admin API's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		p := &Problem{}
		if json.Unmarshal(text, p) != nil || p.Status == 0 {
			return fmt.Errorf("%s answered %s, which is no answer of an admin API", c.o.URL, resp.Status)
		}
		return p
	}
	if k.out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, k.out); err != nil {
		return fmt.Errorf("read the admin API's answer: %w", err)
	}
	return nil
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"cursor": o.Cursor, "tenant": o.Tenant, "set": o.Set, "prefix": o.Prefix} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	return q
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	var out T
	err := c.do(ctx, call{method: http.MethodGet, path: path, query: q, out: &out})
	return out, err
}

func send[T any](ctx context.Context, c *Client, method, path string, version int64, in any) (T, error) {
	var out T
	err := c.do(ctx, call{method: method, path: path, version: version, in: in, out: &out})
	return out, err
}

func (c *Client) remove(ctx context.Context, path string, version int64) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path, version: version})
}

// at is a path with a name or uid in it.
func at(collection, id string, more ...string) string {
	return strings.Join(append([]string{"", collection, url.PathEscape(id)}, more...), "/")
}

// Each walks through all pages of a list; after an error it ends.
func Each[T any](ctx context.Context, o ListOptions, list func(context.Context, ListOptions) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := list(ctx, o)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if o.Cursor = page.Next; o.Cursor == "" {
				return
			}
		}
	}
}
