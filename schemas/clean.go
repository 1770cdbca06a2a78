package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	maxID   = 256 // bytes of an event's ID
	maxType = 128 // bytes of its type
)

// CleanID gives an ID that somebody else chose as one that every log line, header
// and URL can hold: itself, or its hash if it has more than 256 bytes or any that
// is not visible ASCII. Nothing stays nothing.
func CleanID(text string) string {
	if len(text) <= maxID && isVisible(text) {
		return text
	}
	sum := sha256.Sum256([]byte("id\x00" + text)) // so that it is no body's hash
	return hex.EncodeToString(sum[:])
}

func isVisible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// CleanType keeps a type to A-Za-z0-9._:/%- by percent-encoding everything else,
// and to 128 bytes; it never ends in half an escape of its own making.
func CleanType(text string) string {
	if len(text) <= maxType && isType(text) {
		return text
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, maxType)
	for i := range len(text) {
		c := text[i]
		switch {
		case isTypeByte(c) && len(out)+1 <= maxType:
			out = append(out, c)
		case !isTypeByte(c) && len(out)+3 <= maxType:
			out = append(out, '%', digits[c>>4], digits[c&15])
		default:
			return string(out)
		}
	}
	return string(out)
}

func isType(text string) bool {
	for i := range len(text) {
		if !isTypeByte(text[i]) {
			return false
		}
	}
	return true
}

func isTypeByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("._:/%-", c) >= 0
	}
}
