package outbound

import (
	"net/http"
	"strings"
)

// sendable tells whether h can stand in an HTTP request: names are tokens, values have no
// control characters but the tab (RFC 9110, 5.1 and 5.5).
func sendable(h http.Header) bool {
	for name, values := range h {
		if name == "" || strings.ContainsFunc(name, notToken) {
			return false
		}
		for _, v := range values {
			if strings.ContainsFunc(v, notText) {
				return false
			}
		}
	}
	return true
}

func notToken(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	default:
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}
}

func notText(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
