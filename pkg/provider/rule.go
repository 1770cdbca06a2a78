package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"causeway/pkg/signature"
)

// rule finds a value in a request: the first alternative that gives one, and of
// it the parts that do, joined by dots.
type rule [][]place

type placeKind uint8

const (
	inBody placeKind = iota
	inHeader
	inQuery
)

// place is one part of a request.
type place struct {
	kind placeKind
	name string   // the header's canonical name, the parameter, or gjson's path
	keys []string // of a path in the body, as written
}

// parseRule reads a rule; the empty text is the rule that finds nothing.
func parseRule(text string) (rule, error) {
	if text == "" {
		return nil, nil
	}
	var r rule
	for alternative := range strings.SplitSeq(text, " | ") {
		var parts []place
		for part := range strings.SplitSeq(alternative, " + ") {
			p, err := parsePlace(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		r = append(r, parts)
	}
	return r, nil
}

// ParsePick reads a rule, as EventRules' are, and gives the function that finds
// its value in a request: "" where there is none.
func ParsePick(text string) (func(*signature.Message) string, error) {
	r, err := parseRule(text)
	if err != nil {
		return nil, err
	}
	return r.find, nil
}

func parsePlace(text string) (place, error) {
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case kind == "json":
		keys, err := parsePath(name)
		if err != nil {
			return place{}, fmt.Errorf("%q: %w", text, err)
		}
		return place{kind: inBody, name: gjsonPath(keys), keys: keys}, nil
	case kind == "header" && name != "" && !strings.ContainsAny(name, " :\t\r\n"):
		return place{kind: inHeader, name: http.CanonicalHeaderKey(name)}, nil
	case kind == "query" && name != "":
		return place{kind: inQuery, name: name}, nil
	}
	return place{}, fmt.Errorf("%q is none of json:$.PATH, header:NAME, query:NAME", text)
}

var errPath = errors.New("a path is written as $.name, $.name.name, $.list[0] or $['a name']")

// parsePath reads the part of JSONPath that names one value.
func parsePath(text string) ([]string, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || rest == "" {
		return nil, errPath
	}
	var keys []string
	for rest != "" {
		var key string
		switch {
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[") + 1
			if end == 0 {
				end = len(rest)
			}
			key, rest = rest[1:end], rest[end:]
		case strings.HasPrefix(rest, "['"):
			key, rest, ok = strings.Cut(rest[2:], "']")
		case rest[0] == '[':
			if key, rest, ok = strings.Cut(rest[1:], "]"); strings.Trim(key, "0123456789") != "" {
				ok = false
			}
		default:
			ok = false
		}
		if !ok || key == "" {
			return nil, errPath
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func gjsonPath(keys []string) string {
	escaped := make([]string, len(keys))
	for i, k := range keys {
		escaped[i] = gjson.Escape(k)
	}
	return strings.Join(escaped, ".")
}

// find gives the value, "" when there is none.
func (r rule) find(m *signature.Message) string {
	for _, parts := range r {
		var found []string
		for _, p := range parts {
			if value := p.find(m); value != "" {
				found = append(found, value)
			}
		}
		if found != nil {
			return strings.Join(found, ".")
		}
	}
	return ""
}

func (p place) find(m *signature.Message) string {
	switch p.kind {
	case inHeader:
		return m.Header.Get(p.name)
	case inQuery:
		u, err := url.Parse(m.URL)
		if err != nil {
			return ""
		}
		return u.Query().Get(p.name)
	case inBody:
	}
	switch value := gjson.GetBytes(m.Body, p.name); value.Type {
	case gjson.String:
		return value.Str
	case gjson.Number, gjson.True, gjson.False:
		return value.Raw // as sent: a float64 would round large IDs
	case gjson.Null, gjson.JSON:
	}
	return ""
}

// signed reports whether every place the rule looks in is covered by the
// scheme, so that nobody can change what it finds.
func (r rule) signed(c *signature.Compiled) bool {
	covered := map[string]bool{}
	for _, name := range c.Signed() {
		covered[http.CanonicalHeaderKey(name)] = true
	}
	for _, parts := range r {
		for _, p := range parts {
			if p.kind == inBody && !c.SignsBody() || p.kind == inHeader && !covered[p.name] || p.kind == inQuery {
				return false
			}
		}
	}
	return r != nil
}
