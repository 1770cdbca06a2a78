package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"causeway/pkg/secret"
)

// minKey is the shortest key taken without being told to, in bytes.
const minKey = 16

// Key is a secret decoded for use with one scheme. It cannot be printed.
type Key struct {
	// Two pointers, for fmt's sake: it calls no method on somebody's unexported
	// field, and for a verb that does not fit (%s) it shows what one points to.
	k **key
}

func newKey(k *key) Key { return Key{k: &k} }

// get gives the key, nil of the zero Key.
func (k Key) get() *key {
	if k.k == nil {
		return nil
	}
	return *k.k
}

type key struct {
	method  method
	macs    sync.Pool // of hash.Hash, keyed: a reset one is twice as fast as a new one
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil: the key can verify only
	text    string             // of a token or a password
	sum     [sha256.Size]byte  // of text: equal lengths to compare, whatever is sent
}

// CanSign reports whether Sign can use the key; a public one can only verify.
func (k Key) CanSign() bool {
	own := k.get()
	return own != nil && (own.method != ed25519Method || own.private != nil)
}

// Format gives "[redacted]" for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalText gives "[redacted]".
func (Key) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Key decodes a secret as the scheme wants it. What decodes to fewer than 16
// bytes is refused unless allowWeak. Errors never repeat any of the secret.
func (c *Compiled) Key(s secret.Secret, allowWeak bool) (Key, error) {
	text := string(s.Reveal())
	if text == "" {
		return Key{}, errors.New("the secret is empty")
	}
	if c.kind != signed {
		return credentialKey(text, allowWeak)
	}
	a := c.algorithmFor(text)
	if a.method == ed25519Method {
		return ed25519Key(text)
	}
	value, err := a.decodeKey(text)
	if err != nil {
		return Key{}, err
	}
	if err := weak(len(value), allowWeak); err != nil {
		return Key{}, err
	}
	k := &key{method: a.method}
	k.macs.New = func() any { return hmac.New(a.method.digest(), value) }
	return newKey(k), nil
}

// NewSecret makes a random secret of 32 bytes, written as the scheme wants it.
func (c *Compiled) NewSecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	if c.kind == signed {
		switch c.algorithms[0].key {
		case "base64":
			return base64.StdEncoding.EncodeToString(random)
		case "whsec":
			return hmacPrefix + base64.StdEncoding.EncodeToString(random)
		case "ed25519":
			return privatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(random))
		}
	}
	return hex.EncodeToString(random)
}

// Standard Webhooks' key prefixes.
const (
	hmacPrefix    = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

func isEd25519(text string) bool {
	return strings.HasPrefix(text, privatePrefix) || strings.HasPrefix(text, publicPrefix)
}

// algorithmFor lets the key's prefix choose where the scheme has two kinds.
func (c *Compiled) algorithmFor(text string) *algorithm {
	for i := range c.algorithms {
		if (c.algorithms[i].method == ed25519Method) == isEd25519(text) {
			return &c.algorithms[i]
		}
	}
	return &c.algorithms[0]
}

func (a *algorithm) decodeKey(text string) ([]byte, error) {
	switch a.key {
	case "hex":
		value, err := hex.DecodeString(text)
		if err != nil {
			return nil, errors.New("the secret is not hex")
		}
		return value, nil
	case "base64":
		return decodeBase64(text)
	case "whsec":
		return decodeBase64(strings.TrimPrefix(text, hmacPrefix))
	default:
		return []byte(text), nil
	}
}

// decodeBase64 takes the standard alphabet with or without padding, and says
// nothing of what it found: decoders' own errors show a part of the secret.
func decodeBase64(text string) ([]byte, error) {
	value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errors.New("the secret is not base64")
	}
	return value, nil
}

func weak(n int, allowed bool) error {
	if n == 0 || n < minKey && !allowed {
		return fmt.Errorf("the secret has %d bytes, fewer than %d; use a longer one, or say allow_weak", n, minKey)
	}
	return nil
}

func ed25519Key(text string) (Key, error) {
	switch {
	case strings.HasPrefix(text, privatePrefix):
		value, err := decodeBase64(text[len(privatePrefix):])
		if err != nil {
			return Key{}, err
		}
		if len(value) != ed25519.PrivateKeySize {
			return Key{}, fmt.Errorf("a whsk_ key has %d bytes, seed and public key; this has %d", ed25519.PrivateKeySize, len(value))
		}
		private := ed25519.NewKeyFromSeed(value[:ed25519.SeedSize])
		// The library signs with whatever public half it is given, and a wrong
		// one gives the private key away.
		if !bytes.Equal(private, value) {
			return Key{}, errors.New("the two halves of the whsk_ key do not belong together")
		}
		return newKey(&key{method: ed25519Method, private: private, public: ed25519.PublicKey(private[ed25519.SeedSize:])}), nil
	case strings.HasPrefix(text, publicPrefix):
		value, err := decodeBase64(text[len(publicPrefix):])
		if err != nil {
			return Key{}, err
		}
		if len(value) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("a whpk_ key has %d bytes; this has %d", ed25519.PublicKeySize, len(value))
		}
		return newKey(&key{method: ed25519Method, public: value}), nil
	default:
		return Key{}, errors.New("the secret is neither a whsk_ nor a whpk_ key")
	}
}

func credentialKey(text string, allowWeak bool) (Key, error) {
	if err := weak(len(text), allowWeak); err != nil {
		return Key{}, err
	}
	if strings.TrimSpace(text) != text || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return Key{}, errors.New("the secret has a control character, or space around it, which no header can carry")
	}
	return newKey(&key{method: credential, text: text, sum: sha256.Sum256([]byte(text))}), nil
}

// mac writes the HMAC of the three parts over sum.
func (k *key) mac(sum, head, body, tail []byte) []byte {
	h := k.macs.Get().(hash.Hash)
	h.Reset()
	h.Write(head)
	h.Write(body)
	h.Write(tail)
	sum = h.Sum(sum[:0])
	k.macs.Put(h)
	return sum
}
