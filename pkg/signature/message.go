package signature

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

type atom uint8

const (
	literal atom = iota
	headerAtom
	paramAtom
	methodAtom
	urlAtom
)

// piece is one part of the signed bytes other than the body.
type piece struct {
	atom  atom
	text  string // the literal, or the header's canonical name
	param int    // which {sig.NAME}
	// until is the literal that follows. A value that contained it could be cut
	// in two ways, and a signature over one would be good for the other.
	until string
}

// compileMessage turns the template into what comes before and after the body.
func (c *Compiled) compileMessage(items []string, f *faults) {
	body := false
	for i, item := range items {
		if item == "{body}" {
			if body {
				f.add(fmt.Sprintf("message[%d]", i), "{body} is there twice")
			}
			body = true
			continue
		}
		p, ok := c.compilePiece(item)
		if !ok {
			f.add(fmt.Sprintf("message[%d]", i), "%q is neither literal text nor one of {body} {method} {url} {header:NAME} {sig.NAME}", item)
			continue
		}
		if p.atom != literal && i+1 < len(items) && !strings.HasPrefix(items[i+1], "{") {
			p.until = items[i+1]
		}
		if body {
			c.tail = append(c.tail, p)
		} else {
			c.head = append(c.head, p)
		}
	}
	if !body {
		f.add("message", "{body} is missing: a signature that does not cover the body proves nothing about it")
	}
	if len(c.params) > maxParams {
		f.add("message", "at most %d different {sig.NAME}", maxParams)
	}
}

func (c *Compiled) compilePiece(item string) (piece, bool) {
	if !strings.HasPrefix(item, "{") {
		return piece{text: item}, item != ""
	}
	inner, closed := strings.CutSuffix(item[1:], "}")
	if !closed {
		return piece{}, false
	}
	if name, ok := strings.CutPrefix(inner, "header:"); ok {
		return piece{atom: headerAtom, text: http.CanonicalHeaderKey(name)}, isToken(name)
	}
	if name, ok := strings.CutPrefix(inner, "sig."); ok {
		if i := slices.Index(c.params, name); i >= 0 {
			return piece{atom: paramAtom, text: name, param: i}, true
		}
		c.params = append(c.params, name)
		return piece{atom: paramAtom, text: name, param: len(c.params) - 1}, name != "" && c.list != ""
	}
	switch inner {
	case "method":
		return piece{atom: methodAtom}, true
	case "url":
		return piece{atom: urlAtom}, true
	}
	return piece{}, false
}

// appendPieces appends the pieces' values for this message.
func appendPieces(to []byte, pieces []piece, m *Message, params *[maxParams]string) ([]byte, error) {
	for i := range pieces {
		p := &pieces[i]
		var value string
		switch p.atom {
		case literal:
			to = append(to, p.text...)
			continue
		case headerAtom:
			var err error
			if value, err = one(m.Header, p.text); err != nil {
				return nil, err
			}
		case paramAtom:
			value = params[p.param]
		case methodAtom:
			value = m.Method
		case urlAtom:
			value = m.URL
		}
		if value == "" {
			return nil, fmt.Errorf("%w: a signed part is empty", ErrMissing)
		}
		if p.until != "" && strings.Contains(value, p.until) {
			return nil, fmt.Errorf("%w: a signed part contains %q, which ends it", ErrMalformed, p.until)
		}
		to = append(to, value...)
	}
	return to, nil
}

// one gives the value of a header that must be there exactly once: of two,
// verifier and reader might each take another.
func one(h http.Header, canonical string) (string, error) {
	switch values := h[canonical]; len(values) {
	case 1:
		return values[0], nil
	case 0:
		return "", fmt.Errorf("%w: no %s header", ErrMissing, canonical)
	default:
		return "", fmt.Errorf("%w: %d %s headers", ErrMalformed, len(values), canonical)
	}
}
