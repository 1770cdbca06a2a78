package signature

import (
	"errors"
	"fmt"
	"net/http"
)

// Message is what a signature can cover: one HTTP request. URL is the address
// as the sender knows it, which behind a proxy is not what the request line says.
type Message struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// Scheme is a signature scheme as data; Compile checks it and makes it usable.
//
// A header holds either one signature (List is empty) or a list of name and
// value pairs, of which those named like an algorithm's version are signatures,
// those that Message refers to as {sig.name} are parameters, and all others are
// skipped, because they are versions that are not known or no longer trusted.
type Scheme struct {
	Kind   string `json:"kind" doc:"One of signature, token, basic."`
	Header string `json:"header" doc:"The header that holds the signature or the token."`
	Prefix string `json:"prefix,omitempty" doc:"Literal text in front of the signature or the token, such as sha256=."`
	List   string `json:"list,omitempty" doc:"What separates the pairs, when the header is a list of them."`
	Pair   string `json:"pair,omitempty" doc:"What separates name and value of a pair."`
	// Message is a list and not one text, so that nothing in it is ever parsed
	// twice: each item is an atom in braces or literal text.
	Message    []string    `json:"message,omitempty" doc:"What is signed: literals and the atoms {body} {method} {url} {header:NAME} {sig.NAME}."`
	Timestamp  *Timestamp  `json:"timestamp,omitempty" doc:"Where the signed time is, and how old it may be."`
	Algorithms []Algorithm `json:"algorithms,omitempty" doc:"How the message is signed."`
	Username   string      `json:"username,omitempty" doc:"For basic: the user whose password the secret is."`
}

// Timestamp says where the time of signing is. It must be part of the message:
// an unsigned one proves nothing.
type Timestamp struct {
	From      string `json:"from" doc:"Where it is: header:NAME or sig.NAME."`
	Unit      string `json:"unit,omitempty" doc:"How the time is written: s (default), ms or rfc3339."`
	Tolerance string `json:"tolerance,omitempty" doc:"How far it may be off in either direction, such as 5m (default)."`
}

// Algorithm is one way of signing the message.
type Algorithm struct {
	Version  string `json:"version,omitempty" doc:"The pair's name, when the header is a list."`
	Name     string `json:"name" doc:"One of hmac-sha1, hmac-sha256, hmac-sha512, ed25519."`
	Encoding string `json:"encoding" doc:"How the signature is written: hex or base64."`
	Key      string `json:"key" doc:"How the secret becomes the key: raw, hex, base64, whsec, or ed25519."`
}

// Standard is Standard Webhooks: v1 (HMAC, whsec_ secrets) and v1a (ed25519,
// whsk_ private and whpk_ public keys). Sign wants webhook-id in the header.
func Standard() Scheme { return standard("webhook-") }

// Svix is Standard Webhooks under the header names that Svix uses.
func Svix() Scheme { return standard("svix-") }

func standard(prefix string) Scheme {
	return Scheme{
		Kind:      "signature",
		Header:    prefix + "signature",
		List:      " ",
		Pair:      ",",
		Message:   []string{"{header:" + prefix + "id}", ".", "{header:" + prefix + "timestamp}", ".", "{body}"},
		Timestamp: &Timestamp{From: "header:" + prefix + "timestamp"},
		Algorithms: []Algorithm{
			{Version: "v1", Name: "hmac-sha256", Encoding: "base64", Key: "whsec"},
			{Version: "v1a", Name: "ed25519", Encoding: "base64", Key: "ed25519"},
		},
	}
}

// Why Verify refuses. Callers answer all four alike, so that nobody can feel
// their way to a signature; they are told apart in logs and metrics only.
var (
	ErrMissing   = errors.New("no signature")
	ErrMalformed = errors.New("malformed signature")
	ErrMismatch  = errors.New("signature does not match")
	ErrExpired   = errors.New("signed outside the accepted time")
)

// Fault is one thing wrong with a description: the key it is at, and what is
// allowed there. Compile joins them all (errors.Join).
type Fault struct {
	Key  string // as in algorithms[0].name
	Text string
}

// Error gives key and text.
func (f Fault) Error() string { return f.Key + ": " + f.Text }

type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, Fault{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (f faults) err() error { return errors.Join(f...) }
