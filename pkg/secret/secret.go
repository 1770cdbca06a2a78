package secret

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"io"
)

// redacted is what every way of printing a Secret gives.
const redacted = "[redacted]"

// Secret is a value that formatting, logging and encoding replace by
// "[redacted]". Only Reveal gives it away, so a search for Reveal finds every
// place that could leak one. The zero Secret holds nothing.
//
// Secrets can be compared with ==, which asks whether both came from the same
// New; Equal compares what they hold.
type Secret struct {
	// fmt calls no methods on the unexported fields of somebody else's struct:
	// a plain []byte there is printed by %+v all the same. Of a pointer %+v
	// prints the address, but %s, which does not fit one, what it points to.
	// Behind two pointers it never looks.
	value **[]byte
}

// New copies value into a Secret.
func New(value []byte) Secret {
	v := bytes.Clone(value)
	p := &v
	return Secret{value: &p}
}

// Reveal gives a copy of what the Secret holds.
func (s Secret) Reveal() []byte { return bytes.Clone(s.bytes()) }

// IsZero reports whether the Secret holds nothing or an empty value.
func (s Secret) IsZero() bool { return len(s.bytes()) == 0 }

// Equal compares the contents in constant time (but for their length).
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.bytes(), other.bytes()) == 1
}

func (s Secret) bytes() []byte {
	if s.value == nil {
		return nil
	}
	return **s.value
}

// String gives "[redacted]".
func (Secret) String() string { return redacted }

// GoString gives "[redacted]", for %#v.
func (Secret) GoString() string { return redacted }

// Format gives "[redacted]" for every verb, %x and %d included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON gives "[redacted]" as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML gives "[redacted]".
func (Secret) MarshalYAML() (any, error) { return redacted, nil }
