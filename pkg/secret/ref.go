package secret

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

type kind uint8

const (
	none kind = iota
	env
	file
	fixed
)

// Ref says where a secret is to be found. It holds no secret itself, except
// when made by Fixed, and may be printed, compared and used as a map key.
type Ref struct {
	kind  kind
	name  string // the variable's name or the file's path
	fixed Secret
}

// ParseRef reads "env:NAME" or "file:/absolute/path". Its errors never repeat
// the text: somebody who wrote the secret itself into the configuration would
// find it in the logs.
func ParseRef(text string) (Ref, error) {
	scheme, name, _ := strings.Cut(text, ":")
	switch scheme {
	case "env":
		if !isVariable(name) {
			return Ref{}, errors.New("env: wants a variable's name after it (letters, digits, underscores), as in env:STRIPE_WEBHOOK_SECRET")
		}
		return Ref{kind: env, name: name}, nil
	case "file":
		if !filepath.IsAbs(name) || strings.ContainsRune(name, 0) {
			return Ref{}, errors.New("file: wants an absolute path after it, as in file:/run/secrets/stripe")
		}
		return Ref{kind: file, name: filepath.Clean(name)}, nil
	default:
		return Ref{}, errors.New("a secret is given by reference, env:NAME or file:/absolute/path; its value does not belong here")
	}
}

// Fixed is a reference to a secret that is at hand already.
func Fixed(s Secret) Ref { return Ref{kind: fixed, fixed: s} }

// String gives the reference as ParseRef reads it, and "fixed" for a fixed one.
func (r Ref) String() string {
	switch r.kind {
	case env:
		return "env:" + r.name
	case file:
		return "file:" + r.name
	case fixed:
		return "fixed"
	case none:
	}
	return "none"
}

// GoString gives what String gives, for %#v.
func (r Ref) GoString() string { return fmt.Sprintf("secret.Ref(%q)", r.String()) }

// isVariable keeps to the names POSIX allows, so that a pasted secret is
// refused here and not looked up, and reported, as a variable.
func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
