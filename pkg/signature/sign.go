package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Sign sets the headers that Verify looks for: the timestamp and the signature,
// one for each key that can sign where the scheme has room for several, else
// the first one's. Other headers that the scheme signs, such as webhook-id,
// must be there already.
func (c *Compiled) Sign(m *Message, keys []Key, now time.Time) error {
	if m.Header == nil {
		m.Header = http.Header{}
	}
	switch c.kind {
	case token, basic:
		return c.signCredential(m, keys)
	case signed:
	}
	s := c.scratch.Get().(*scratch)
	defer c.put(s)
	values := make([]string, 2) // one allocation for both headers
	if c.clock != nil {
		s.text = c.clock.append(s.text[:0], now)
		if c.clock.header == "" {
			s.params[c.clock.param] = string(s.text)
		} else {
			values[0] = string(s.text)
			m.Header[c.clock.header] = values[:1:1]
		}
	}
	head, tail, err := c.parts(m, s)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if s.out, err = c.appendSignatures(s.out[:0], keys, s, head, m.Body, tail); err != nil {
		return err
	}
	values[1] = string(s.out)
	m.Header[c.header] = values[1:]
	return nil
}

var errNoKey = errors.New("sign: no key that can sign")

func (c *Compiled) appendSignatures(out []byte, keys []Key, s *scratch, head, body, tail []byte) ([]byte, error) {
	for i, name := range c.params {
		out = c.appendName(out, name)
		out = append(out, s.params[i]...)
	}
	found := false
	for _, key := range keys {
		a := c.algorithmOf(key)
		if a == nil {
			continue
		}
		if found && c.list == "" {
			break
		}
		found = true
		if c.list == "" {
			out = append(out, c.prefix...)
		} else {
			out = c.appendName(out, a.version)
		}
		if a.method == ed25519Method {
			out = a.appendText(out, ed25519.Sign(key.get().private, s.join(head, body, tail)))
		} else {
			out = a.appendText(out, key.get().mac(s.sum[:], head, body, tail))
		}
	}
	if !found {
		return out, errNoKey
	}
	return out, nil
}

func (c *Compiled) appendName(out []byte, name string) []byte {
	if len(out) > 0 {
		out = append(out, c.list...)
	}
	return append(append(out, name...), c.pair...)
}

// algorithmOf gives what the key signs with, nil when it cannot sign here.
func (c *Compiled) algorithmOf(key Key) *algorithm {
	if !key.CanSign() {
		return nil
	}
	for i := range c.algorithms {
		if c.algorithms[i].method == key.get().method {
			return &c.algorithms[i]
		}
	}
	return nil
}

func (c *Compiled) signCredential(m *Message, keys []Key) error {
	for _, key := range keys {
		k := key.get()
		if k == nil || k.method != credential {
			continue
		}
		value := c.prefix + k.text
		if c.kind == basic {
			value = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.username+":"+k.text))
		}
		m.Header[c.header] = []string{value}
		return nil
	}
	return errNoKey
}
