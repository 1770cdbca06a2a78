package provider

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"causeway/pkg/signature"
)

// sample is a request as the provider sends it. In its file and in its headers'
// values ${name} is replaced; see Sample.
type sample struct {
	Type    string            `json:"type"` // "*": any type that has no sample of its own
	File    string            `json:"file"` // in samples/
	Headers map[string]string `json:"headers"`
}

// Sample makes the n-th unsigned request of an event of this type, or of the
// preset's default one when typ is "". It has a fresh ID each time.
func (p *Provider) Sample(typ string, n int) (*signature.Message, error) {
	s, err := p.sample(typ)
	if err != nil {
		return nil, err
	}
	if typ == "" {
		typ = s.Type
	}
	values := sampleValues(typ, n)
	expand := func(text string) string {
		return os.Expand(text, func(name string) string { return values[name] })
	}
	body, err := files.ReadFile(path.Join("samples", s.File))
	if err != nil {
		return nil, fmt.Errorf("sample of %s: %w", p.name, err)
	}
	m := &signature.Message{
		Method: http.MethodPost,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   []byte(expand(strings.TrimSpace(string(body)))),
	}
	for name, value := range s.Headers {
		m.Header.Set(name, expand(value))
	}
	if p.isGeneric {
		err = p.placeFacts(m, typ, values)
	}
	return m, err
}

// Types lists the event types that have a sample, the default one first.
func (p *Provider) Types() []string {
	var types []string
	for _, s := range p.samples {
		if s.Type != "*" {
			types = append(types, s.Type)
		}
	}
	return types
}

func (p *Provider) sample(typ string) (sample, error) {
	for _, s := range p.samples {
		if typ == "" || s.Type == typ {
			return s, nil
		}
	}
	for _, s := range p.samples {
		if s.Type == "*" && isType(typ) {
			return s, nil
		}
	}
	return sample{}, fmt.Errorf("no sample of type %q for %s; there are %s", typ, p.name, strings.Join(p.Types(), ", "))
}

// isType keeps out what would have to be escaped in a sample.
func isType(typ string) bool {
	for _, c := range []byte(typ) {
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._:/%-", c) >= 0
		if !ok {
			return false
		}
	}
	return typ != "" && len(typ) <= 128
}

func sampleValues(typ string, n int) map[string]string {
	now := time.Now().UTC()
	event, action, _ := strings.Cut(typ, ".")
	return map[string]string{
		"id":      rand.Text(), // 26 characters, 128 random bits
		"uuid":    uuid.NewString(),
		"n":       strconv.Itoa(n),
		"type":    typ,
		"event":   event, // of a type made of two, event.action
		"action":  action,
		"unix":    strconv.FormatInt(now.Unix(), 10),
		"rfc3339": now.Format(time.RFC3339),
	}
}

// placeFacts puts ID and type where the source's own rules will look for them,
// and something into each header that is signed.
func (p *Provider) placeFacts(m *signature.Message, typ string, values map[string]string) error {
	var body map[string]any
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return fmt.Errorf("sample of %s: %w", p.name, err)
	}
	s := &p.schemes[0]
	for _, put := range []struct {
		rule  rule
		value string
	}{{s.event.id, values["id"]}, {s.event.typ, typ}} {
		if put.rule == nil {
			continue
		}
		for _, at := range put.rule[0] {
			at.put(m, body, put.value)
		}
	}
	for _, name := range s.auth.Signed() {
		if m.Header.Get(name) == "" {
			m.Header.Set(name, values["id"])
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return fmt.Errorf("sample of %s: %w", p.name, err)
	}
	m.Body = bytes.TrimSpace(text.Bytes())
	return nil
}

// put is the reverse of find. A path through a list is left alone.
func (p place) put(m *signature.Message, body map[string]any, value string) {
	switch p.kind {
	case inHeader:
		m.Header.Set(p.name, value)
	case inQuery:
		// The address is the caller's, who knows only that.
	case inBody:
		last := len(p.keys) - 1
		for _, key := range p.keys[:last] {
			next, ok := body[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				body[key] = next
			}
			body = next
		}
		body[p.keys[last]] = value
	}
}
