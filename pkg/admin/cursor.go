package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
)

// A cursor says behind which item the next page begins, and of which list. It is not
// secret and not authenticated, because any admin process must be able to read what
// another one gave, and because it can do no harm: whose entries are listed is taken
// from the key alone, and a cursor chooses only where in them to begin.
type position struct{ name, uid string }

const (
	cursorForm   = 1
	filterLength = 8
)

// filter is what a list was asked for, for a cursor to be of that list.
func (l listing) filter() [filterLength]byte {
	var text []byte
	for _, part := range []string{l.kind, l.owner, l.Tenant, l.Set, l.Prefix} {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return [filterLength]byte(sum[:])
}

func (p position) cursor(filter [filterLength]byte) string {
	b := append([]byte{cursorForm}, filter[:]...)
	b = binary.AppendUvarint(b, uint64(len(p.name)))
	b = append(b, p.name...)
	b = append(b, p.uid...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads a cursor of the list. There is one text for each position: a
// decoder that passes over line ends and spare bits would accept others.
func parseCursor(text string, filter [filterLength]byte) (position, error) {
	bad := refuse(http.StatusBadRequest, "bad_cursor", "the cursor is not one of this list: take next as the page before gave it, and ask for the same tenant, set and prefix, or begin without a cursor")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 1+filterLength+1 || b[0] != cursorForm || [filterLength]byte(b[1:]) != filter {
		return position{}, bad
	}
	rest := b[1+filterLength:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return position{}, bad
	}
	rest = rest[n:]
	p := position{string(rest[:length]), string(rest[length:])}
	if p.cursor(filter) != text {
		return position{}, bad
	}
	return p, nil
}

func (p position) before(q position) bool {
	return p.name < q.name || p.name == q.name && p.uid < q.uid
}
