package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// A key is cwk_ID_SECRET. The prefix lets scanners and people see what it is; the id
// names it in the catalog, the audit and the logs; the secret is 256 random bits. The
// catalog has only the SHA-256 of the whole, which is enough for something that cannot
// be guessed.
const keyPrefix = "cwk_"

const keySecret = 32 // bytes

var keyForm = regexp.MustCompile(`^cwk_([0-9a-z]{1,32})_[0-9a-f]{64}$`)

// newKey makes a key and its id.
func newKey() (id, key string) {
	b := make([]byte, 6+keySecret)
	_, _ = rand.Read(b) // never fails
	id = hex.EncodeToString(b[:6])
	return id, keyPrefix + id + "_" + hex.EncodeToString(b[6:])
}

// parseKey gives the id of what has the form of a key.
func parseKey(text string) (id string, ok bool) {
	m := keyForm.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// hashKey is what the catalog holds of a key.
func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
