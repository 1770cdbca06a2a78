package secret

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	sealedScheme = "sealed:"
	sealedPrefix = sealedScheme + "v1:"
	overhead     = 12 + 16 // bytes: the nonce before the ciphertext, the tag behind it
)

var (
	errNoKeys    = fmt.Errorf("sealing and opening want a key, and %s is not set: give it the keys that the other processes have; for a first start, `causeway key generate` prints one", KeysVariable)
	errNoPlace   = errors.New("a sealed secret wants a place: kind, uid and field of the entry that it belongs to")
	errSealed    = errors.New("sealed: wants the rest as causeway gave it, whole: sealed:v1:KEY-ID:CIPHERTEXT")
	errNotOpened = fmt.Errorf("cannot be opened: it is damaged, or it was sealed for another place (tenant, kind, uid, field), or %s has another key under that id; these cannot be told apart", KeysVariable)
)

// Binding is the place that a sealed secret belongs to. It opens there and nowhere
// else, so that whoever may write entries cannot use, or try out, another one's
// secret by copying its text.
type Binding struct {
	Tenant string // empty: no tenant
	Kind   string // source, subscription
	UID    string // the entry's, which a renamed one keeps
	Field  string // the key in the entry, without an index: lists are reordered
}

// Seal encrypts a secret under the first key, to be opened in that place only, and
// gives sealed:v1:<key id>:<base64url of nonce and ciphertext>.
func (k *Keyring) Seal(s Secret, b Binding) (string, error) {
	key, err := k.first()
	switch {
	case err != nil:
		return "", err
	case !b.isPlace():
		return "", errNoPlace
	case s.IsZero():
		return "", errEmpty
	case len(s.bytes()) > maxFile:
		return "", fmt.Errorf("is larger than %d KiB", maxFile>>10)
	}
	aead, err := key.aead()
	if err != nil {
		return "", err
	}
	content := aead.Seal(nil, nil, s.bytes(), b.additional(key.id)) //nolint:gosec // this cipher makes the nonce itself
	return sealedPrefix + key.id + ":" + base64.RawURLEncoding.EncodeToString(content), nil
}

// Open gives the secret that Seal sealed for that place. Its errors hold nothing of
// the text but, once the whole of it has the right shape, the key's id.
func (k *Keyring) Open(text string, b Binding) (Secret, error) {
	id, content, err := parseSealed(text)
	if err != nil {
		return Secret{}, err
	}
	if !b.isPlace() {
		return Secret{}, errNoPlace
	}
	key, err := k.find(id)
	if err != nil {
		return Secret{}, err
	}
	aead, err := key.aead()
	if err != nil {
		return Secret{}, err
	}
	value, err := aead.Open(nil, nil, content, b.additional(id))
	if err != nil {
		return Secret{}, errNotOpened
	}
	return New(value), nil
}

// Reseal gives a text under the first key: the same one if it is so already, which
// is found out by opening it, else a new one.
func (k *Keyring) Reseal(text string, b Binding) (resealed string, changed bool, err error) {
	s, err := k.Open(text, b)
	if err != nil {
		return "", false, err
	}
	if strings.HasPrefix(text, sealedPrefix+k.keys[0].id+":") {
		return text, false, nil
	}
	resealed, err = k.Seal(s, b)
	return resealed, err == nil, err
}

func (b Binding) isPlace() bool { return b.Kind != "" && b.UID != "" && b.Field != "" }

// additional is what is sealed along with a secret without being in it. Every part
// comes after its length, so that no two places have the same.
func (b Binding) additional(id string) []byte {
	var data []byte
	for _, part := range []string{"causeway/secret/v1", id, b.Tenant, b.Kind, b.UID, b.Field} {
		data = binary.AppendUvarint(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}

// parseSealed takes a sealed text apart. There is one text for each content: a
// decoder that passes over line ends and spare bits would accept others.
func parseSealed(text string) (id string, content []byte, err error) {
	rest, isSealed := strings.CutPrefix(text, sealedPrefix)
	id, encoded, _ := strings.Cut(rest, ":")
	if !isSealed || !keyID.MatchString(id) || len(encoded) > base64.RawURLEncoding.EncodedLen(maxFile+overhead) {
		return "", nil, errSealed
	}
	content, err = base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(content) <= overhead || base64.RawURLEncoding.EncodeToString(content) != encoded {
		return "", nil, errSealed
	}
	return id, content, nil
}
