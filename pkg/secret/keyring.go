package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// KeysVariable is the environment variable that holds the keyring's text.
const KeysVariable = "CAUSEWAY_KEYS"

const keySize = 32 // bytes: AES-256

var (
	keyID    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	errKeyID = errors.New("the id wants 1 to 32 of a-z 0-9 - and begins with a letter or digit")
)

// Keyring holds the keys under which secrets are sealed: the first one seals, all
// of them open. It never changes and cannot be printed. Nil is a keyring without
// keys, with which nothing can be sealed or opened.
type Keyring struct{ keys []sealingKey }

type sealingKey struct {
	id     string
	secret Secret // its cipher is made when needed: %s would print the round keys in it
}

// ParseKeyring reads "id:key", the key being 32 bytes in base64, or several of them
// with commas, spaces or line ends between. A new key goes behind the others first,
// so that every process can open what one of them seals once it is at the beginning;
// when all is Resealed, the old one goes. Each step is a restart.
//
// All that is wrong is reported at once, by the key's number in the list: what stands
// where the id belongs could be the key.
func ParseKeyring(text Secret) (*Keyring, error) {
	ring := &Keyring{}
	var errs []error
	fields := strings.FieldsFunc(string(text.bytes()), func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	for i, field := range fields {
		if err := ring.add(field); err != nil {
			errs = append(errs, fmt.Errorf("%s: key %d of %d: %w", KeysVariable, i+1, len(fields), err))
		}
	}
	if len(fields) == 0 {
		errs = append(errs, fmt.Errorf("%s: holds no key: `causeway key generate` prints one", KeysVariable))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return ring, nil
}

func (k *Keyring) add(field string) error {
	id, text, found := strings.Cut(field, ":")
	if !found {
		return errors.New("wants id:key, as `causeway key generate` prints it")
	}
	if !keyID.MatchString(id) {
		return errKeyID
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(value) != keySize {
		return fmt.Errorf("wants %d bytes in base64 after the id (44 characters, the last one is =), as `causeway key generate` prints them", keySize)
	}
	key := sealingKey{id, New(value)}
	for _, earlier := range k.keys {
		switch {
		case earlier.id == key.id:
			return errors.New("an earlier one has the same id")
		case earlier.secret.Equal(key.secret):
			return errors.New("an earlier one is the same key")
		}
	}
	k.keys = append(k.keys, key)
	return nil
}

// GenerateKey gives a new random key as ParseKeyring reads it.
func GenerateKey(id string) (Secret, error) {
	if !keyID.MatchString(id) {
		return Secret{}, errKeyID
	}
	value := make([]byte, keySize)
	_, _ = rand.Read(value) // never fails
	return New(base64.StdEncoding.AppendEncode([]byte(id+":"), value)), nil
}

func (k *Keyring) first() (sealingKey, error) {
	if k == nil || len(k.keys) == 0 {
		return sealingKey{}, errNoKeys
	}
	return k.keys[0], nil
}

func (k *Keyring) find(id string) (sealingKey, error) {
	if _, err := k.first(); err != nil {
		return sealingKey{}, err
	}
	for _, key := range k.keys {
		if key.id == id {
			return key, nil
		}
	}
	return sealingKey{}, fmt.Errorf("is sealed under the key %q, which %s does not have: put that key back there, or seal the secret again", id, KeysVariable)
}

// aead gives the key's cipher, which puts a random nonce before what it seals. That
// is safe for 2^32 secrets under one key.
func (k sealingKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.secret.bytes())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// String gives "[redacted]".
func (Keyring) String() string { return redacted }

// GoString gives "[redacted]", for %#v.
func (Keyring) GoString() string { return redacted }

// Format gives "[redacted]" for every verb.
func (Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives "[redacted]", in JSON and YAML too.
func (Keyring) MarshalText() ([]byte, error) { return []byte(redacted), nil }
