package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// maxSignatures bounds the work that one request can ask for. Senders put one
// signature there per live secret.
const maxSignatures = 16

// scratch is memory that signing and verifying would otherwise allocate each time.
type scratch struct {
	text   []byte // what is signed before and after the body; the timestamp
	whole  []byte // with the body between, where an algorithm wants it in one piece
	out    []byte // the signature header that is being made
	sum    [sha512.Size]byte
	given  [sha512.Size]byte
	params [maxParams]string
}

// Verify reports whether one of the keys signed the message, at a time that is
// acceptable now: nil, or ErrMissing, ErrMalformed, ErrMismatch or ErrExpired.
func (c *Compiled) Verify(m *Message, keys []Key, now time.Time) error {
	value, err := one(m.Header, c.header)
	if err != nil {
		return err
	}
	switch c.kind {
	case token:
		return c.verifyToken(value, keys)
	case basic:
		return c.verifyBasic(value, keys)
	case signed:
	}
	var sigs signatures
	s := c.scratch.Get().(*scratch)
	defer c.put(s)
	if err := c.split(value, &sigs, &s.params); err != nil {
		return err
	}
	head, tail, err := c.parts(m, s)
	if err != nil {
		return err
	}
	if !c.anyMatches(&sigs, keys, s, head, m.Body, tail) {
		return ErrMismatch
	}
	if c.clock == nil {
		return nil
	}
	// Last, so that "expired" is only ever said of what is authentic.
	text, err := c.clock.read(m, &s.params)
	if err != nil {
		return err
	}
	return c.clock.check(text, now)
}

type given struct {
	algorithm *algorithm
	text      string
}

// signatures are those that the header gives, of known versions.
type signatures struct {
	all [maxSignatures]given
	n   int
}

// split takes the signature header apart.
func (c *Compiled) split(value string, sigs *signatures, params *[maxParams]string) error {
	if c.list == "" {
		text, ok := strings.CutPrefix(value, c.prefix)
		if !ok {
			return fmt.Errorf("%w: it does not begin with %q", ErrMalformed, c.prefix)
		}
		sigs.all[0], sigs.n = given{&c.algorithms[0], text}, 1
		return nil
	}
	for more := true; more; {
		var item string
		item, value, more = strings.Cut(value, c.list)
		name, text, ok := strings.Cut(item, c.pair)
		if !ok {
			return fmt.Errorf("%w: no %q in an item of the list", ErrMalformed, c.pair)
		}
		for i := range c.params {
			if c.params[i] != name {
				continue
			}
			if params[i] != "" {
				return fmt.Errorf("%w: %s is there twice", ErrMalformed, name)
			}
			params[i] = text
		}
		for i := range c.algorithms {
			if c.algorithms[i].version != name {
				continue
			}
			if sigs.n == maxSignatures {
				return fmt.Errorf("%w: more than %d signatures", ErrMalformed, maxSignatures)
			}
			sigs.all[sigs.n] = given{&c.algorithms[i], text}
			sigs.n++
		}
	}
	if sigs.n == 0 {
		return fmt.Errorf("%w: none of a known version", ErrMissing)
	}
	return nil
}

// parts gives what is signed before and after the body.
func (c *Compiled) parts(m *Message, s *scratch) (head, tail []byte, err error) {
	text, err := appendPieces(s.text[:0], c.head, m, &s.params)
	if err != nil {
		return nil, nil, err
	}
	n := len(text)
	if text, err = appendPieces(text, c.tail, m, &s.params); err != nil {
		return nil, nil, err
	}
	s.text = text
	return text[:n:n], text[n:], nil
}

// anyMatches compares every signature with every key, and does not stop at the
// first that fits: how long it takes says nothing about which one did.
func (c *Compiled) anyMatches(sigs *signatures, keys []Key, s *scratch, head, body, tail []byte) bool {
	matched := 0
	for _, key := range keys {
		k := key.get()
		if k == nil {
			continue
		}
		var sum []byte // of this key, made when a signature asks for it
		for _, g := range sigs.all[:sigs.n] {
			if g.algorithm.method != k.method {
				continue
			}
			sig, ok := g.algorithm.decode(&s.given, g.text)
			if !ok {
				continue
			}
			if k.method == ed25519Method {
				if ed25519.Verify(k.public, s.join(head, body, tail), sig) {
					matched = 1
				}
				continue
			}
			if sum == nil {
				sum = k.mac(s.sum[:], head, body, tail)
			}
			if hmac.Equal(sum, sig) {
				matched = 1
			}
		}
	}
	return matched == 1
}

// join puts the message into one piece, once.
func (s *scratch) join(head, body, tail []byte) []byte {
	if len(s.whole) == 0 {
		s.whole = append(append(append(s.whole, head...), body...), tail...)
	}
	return s.whole
}

// put gives the scratch back, without what is of this message. A large buffer
// is let go, so that one large body doesn't hold its memory for ever.
func (c *Compiled) put(s *scratch) {
	s.params = [maxParams]string{}
	s.whole = s.whole[:0]
	if cap(s.whole) > 64<<10 {
		s.whole = nil
	}
	c.scratch.Put(s)
}

func (c *Compiled) verifyToken(value string, keys []Key) error {
	// Case is ignored because RFC 9110 has "bearer" mean "Bearer"; a prefix is
	// no secret.
	if len(value) < len(c.prefix) || !strings.EqualFold(value[:len(c.prefix)], c.prefix) {
		return fmt.Errorf("%w: it does not begin with %q", ErrMalformed, c.prefix)
	}
	return matchCredential(value[len(c.prefix):], keys)
}

func (c *Compiled) verifyBasic(value string, keys []Key) error {
	const scheme = "Basic "
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return fmt.Errorf("%w: not basic authentication", ErrMalformed)
	}
	pair, err := base64.StdEncoding.DecodeString(value[len(scheme):])
	if err != nil {
		return fmt.Errorf("%w: not base64", ErrMalformed)
	}
	username, password, ok := strings.Cut(string(pair), ":")
	if !ok {
		return fmt.Errorf("%w: no colon", ErrMalformed)
	}
	// The name is not secret, but a faster answer to a wrong one would tell it.
	known := subtle.ConstantTimeCompare([]byte(username), []byte(c.username))
	if err := matchCredential(password, keys); err != nil || known != 1 {
		return ErrMismatch
	}
	return nil
}

func matchCredential(text string, keys []Key) error {
	sum := sha256.Sum256([]byte(text))
	matched := 0
	for _, key := range keys {
		if k := key.get(); k != nil && k.method == credential {
			matched |= subtle.ConstantTimeCompare(sum[:], k.sum[:])
		}
	}
	if matched != 1 {
		return ErrMismatch
	}
	return nil
}
