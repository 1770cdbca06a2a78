package seen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Fingerprint stands for an identity of any length. 64 bits would not do: among a
// billion events such a fingerprint drops a real one now and then.
type Fingerprint [16]byte

// small is what Of hashes from the stack; longer input is streamed.
const small = 512

// Of returns the fingerprint of parts. Each part goes in behind its length, so that
// ("ab", "c") and ("a", "bc") differ.
func Of(parts ...[]byte) Fingerprint {
	total := 0
	for _, p := range parts {
		total += 8 + len(p)
	}
	var sum [sha256.Size]byte
	if total <= small {
		buf := make([]byte, 0, small)
		for _, p := range parts {
			buf = binary.BigEndian.AppendUint64(buf, uint64(len(p)))
			buf = append(buf, p...)
		}
		sum = sha256.Sum256(buf)
	} else {
		h := sha256.New()
		var size [8]byte
		for _, p := range parts {
			binary.BigEndian.PutUint64(size[:], uint64(len(p)))
			h.Write(size[:])
			h.Write(p)
		}
		h.Sum(sum[:0])
	}
	return Fingerprint(sum[:16])
}

// Parse reads what String wrote.
func Parse(text string) (Fingerprint, error) {
	var f Fingerprint
	if len(text) != hex.EncodedLen(len(f)) {
		return Fingerprint{}, fmt.Errorf("fingerprint of %d characters, want %d", len(text), hex.EncodedLen(len(f)))
	}
	if _, err := hex.Decode(f[:], []byte(text)); err != nil {
		return Fingerprint{}, fmt.Errorf("fingerprint: %w", err)
	}
	return f, nil
}

// String returns the fingerprint as 32 hex digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }
