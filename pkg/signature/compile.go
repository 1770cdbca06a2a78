package signature

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

type kind uint8

const (
	signed kind = iota + 1
	token
	basic
)

// maxParams is how many different {sig.NAME} a message may use.
const maxParams = 4

// Compiled is a Scheme that was found to be without fault. It is safe for
// concurrent use.
type Compiled struct {
	kind       kind
	header     string // canonical, as http.Header keys are
	prefix     string
	list, pair string
	username   string
	params     []string // the names of {sig.NAME}
	head, tail []piece  // what is signed before and after the body
	clock      *clock   // nil: the scheme signs no time
	algorithms []algorithm
	scratch    sync.Pool // of *scratch
}

// Compile checks the scheme and prepares it for use. The error lists every fault.
func (s Scheme) Compile() (*Compiled, error) {
	var f faults
	c := &Compiled{
		header:   http.CanonicalHeaderKey(s.Header),
		prefix:   s.Prefix,
		username: s.Username,
	}
	c.scratch.New = func() any { return new(scratch) }
	if !isToken(s.Header) {
		f.add("header", "%q is not a header's name", s.Header)
	}
	switch s.Kind {
	case "signature":
		c.kind = signed
		c.compileSigned(s, &f)
	case "token":
		c.kind = token
		s.refuseSigned(&f)
	case "basic":
		c.kind = basic
		s.refuseSigned(&f)
		// RFC 7617: the first colon ends the name.
		if s.Username == "" || strings.Contains(s.Username, ":") {
			f.add("username", "%q: wants a name without a colon", s.Username)
		}
	default:
		f.add("kind", "%q is not one of signature, token, basic", s.Kind)
	}
	if s.Username != "" && s.Kind != "basic" {
		f.add("username", "is for kind basic only")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Headers lists the headers that authenticate, in lower case. They are never
// to be stored or shown.
func (c *Compiled) Headers() []string { return []string{strings.ToLower(c.header)} }

// Signed lists the headers whose values are part of what is signed, in lower case.
func (c *Compiled) Signed() []string {
	var names []string
	for _, p := range slices.Concat(c.head, c.tail) {
		if p.atom == headerAtom {
			names = append(names, strings.ToLower(p.text))
		}
	}
	return names
}

// SignsBody reports whether a change of the body is noticed.
func (c *Compiled) SignsBody() bool { return c.kind == signed }

// SignsTime reports whether a message is refused once it is too old.
func (c *Compiled) SignsTime() bool { return c.clock != nil }

func (c *Compiled) compileSigned(s Scheme, f *faults) {
	c.list, c.pair = s.List, s.Pair
	if (s.List == "") != (s.Pair == "") {
		f.add("list", "list and pair go together")
	}
	if s.List != "" && s.Prefix != "" {
		f.add("prefix", "a list of pairs has no prefix")
	}
	c.compileMessage(s.Message, f)
	if s.Timestamp != nil {
		c.clock = c.compileClock(*s.Timestamp, f)
	}
	if len(s.Algorithms) == 0 {
		f.add("algorithms", "at least one is wanted")
	}
	if s.List == "" && len(s.Algorithms) > 1 {
		f.add("algorithms", "a header that is not a list has room for one")
	}
	for i, a := range s.Algorithms {
		key := fmt.Sprintf("algorithms[%d]", i)
		if (a.Version == "") != (s.List == "") {
			f.add(key+".version", "%q: wanted with a list of pairs, and only there", a.Version)
		}
		compiled := compileAlgorithm(key, a, f)
		same := func(o algorithm) bool { return o.version == a.Version || o.method == compiled.method }
		if slices.ContainsFunc(c.algorithms, same) {
			f.add(key, "version and name must each be different from the others'")
		}
		c.algorithms = append(c.algorithms, compiled)
	}
}

func (s Scheme) refuseSigned(f *faults) {
	if s.List != "" || s.Pair != "" || s.Message != nil || s.Timestamp != nil || s.Algorithms != nil {
		f.add("kind", "%s takes no list, pair, message, timestamp or algorithms", s.Kind)
	}
}

// isToken tells RFC 9110's tokens, which header names are.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
