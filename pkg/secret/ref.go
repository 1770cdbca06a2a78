package secret

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unique"
)

type kind uint8

const (
	none kind = iota
	env
	file
	fixed
	sealed
)

// Ref says where a secret is to be found, or holds it sealed. It holds none in the
// clear, except when made by Fixed, and may be printed, compared and used as a map key.
type Ref struct {
	kind  kind
	name  string // the variable's name, the file's path or the sealing key's id
	fixed Secret
	// A handle of equal texts is equal and, unlike a string, printed by %+v as an
	// address, even where somebody else's struct keeps String from being called.
	text    unique.Handle[string] // the sealed text; the zero handle for all others
	binding Binding
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
	case "sealed":
		return Ref{}, errors.New("sealed secrets belong to the entries that they were sealed for; here one is given by reference, env:NAME or file:/absolute/path")
	default:
		return Ref{}, errors.New("a secret is given by reference, env:NAME or file:/absolute/path; its value does not belong here")
	}
}

// ParseSealedRef reads what ParseRef reads and sealed secrets, which need to be
// Bound to be resolved. Its errors never repeat the text either.
func ParseSealedRef(text string) (Ref, error) {
	switch scheme, _, _ := strings.Cut(text, ":"); scheme {
	case "env", "file":
		return ParseRef(text)
	case "sealed":
		id, _, err := parseSealed(text)
		if err != nil {
			return Ref{}, err
		}
		return Ref{kind: sealed, name: id, text: unique.Make(text)}, nil
	default:
		return Ref{}, errors.New("a secret is given by reference, env:NAME or file:/absolute/path, or sealed, sealed:v1:KEY-ID:CIPHERTEXT; its value does not belong here")
	}
}

// Fixed is a reference to a secret that is at hand already.
func Fixed(s Secret) Ref { return Ref{kind: fixed, fixed: s} }

// Bound gives the reference with the place that it stands in, for which it must have
// been sealed. One that is not sealed stays as it is.
func (r Ref) Bound(b Binding) Ref {
	if r.kind == sealed {
		r.binding = b
	}
	return r
}

// String gives the reference as ParseRef reads it, "fixed" for a fixed one, and
// "sealed:" with the key's id, and no more, for a sealed one.
func (r Ref) String() string {
	switch r.kind {
	case env:
		return "env:" + r.name
	case file:
		return "file:" + r.name
	case fixed:
		return "fixed"
	case sealed:
		return sealedScheme + r.name
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
