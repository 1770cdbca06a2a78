// Package cursor holds what rides in the metadata of an offset commit, beside
// the offset itself and bound to it: whatever has to agree with the offset is
// written with it, in one request that the group's generation fences.
//
// The bytes are: magic "cwy", version 2, catalog version (uvarint), time of the
// last settled record (varint, Unix milliseconds, 0 unknown), topic id (16 bytes,
// all zero unknown), with version 3 the time of the topic's first read (varint, Unix
// milliseconds), with version 4 the same time (0 for none) and how far the log was made
// anew (two uvarints), cluster id (uvarint length, bytes), CRC-32C of all before (big
// endian). Version 1 had no topic id. They travel as base64, because Kafka passes
// metadata through UTF-8 and destroys other bytes silently.
package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

const (
	magic   = "cwy"
	version = 2
	// versionSince and versionAnew are written only where they say more than the one
	// before, so that an older release reads what it can.
	versionSince = 3
	versionAnew  = 4
)

var (
	// ErrForeign means that a commit was not made by causeway: by hand, with
	// Kafka's own tools, or for another cluster.
	ErrForeign = errors.New("the commit was not made by causeway")
	// ErrNewer means that a commit was made by a later release.
	ErrNewer = errors.New("the commit was made by a newer causeway")
	// ErrDamaged means that the metadata's checksum is wrong.
	ErrDamaged = errors.New("the commit's metadata is damaged")
)

// Metadata is what a commit carries.
type Metadata struct {
	Cluster string    // id of the Kafka cluster whose offsets these are
	Catalog int64     // catalog version up to which new entries were taken up
	Record  time.Time // timestamp of the last settled record; zero when unknown
	// Topic is the id of the topic whose offsets these are. One that is deleted and
	// made again under the same name has another: nothing of it was read yet.
	Topic [16]byte
	Since time.Time // when the topic was first read, for one that began at its end; else zero
	// Anew says how far the log is another one than entries of the catalog knew: the
	// topic was made again, or a broker lost the end of it.
	Anew Anew
}

// Anew bounds starts that were noted for a log that is no more: those of entries up to
// a version of the catalog are at an offset at most. The zero value bounds nothing.
type Anew struct {
	Catalog int64
	Offset  int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// String encodes the metadata for a commit.
func (m Metadata) String() string {
	b := append([]byte(magic), version)
	switch {
	case m.Anew != Anew{}:
		b[len(magic)] = versionAnew
	case !m.Since.IsZero():
		b[len(magic)] = versionSince
	}
	b = binary.AppendUvarint(b, uint64(m.Catalog))
	b = binary.AppendVarint(b, milli(m.Record))
	b = append(b, m.Topic[:]...)
	if b[len(magic)] >= versionSince {
		b = binary.AppendVarint(b, milli(m.Since))
	}
	if b[len(magic)] >= versionAnew {
		b = binary.AppendUvarint(b, uint64(m.Anew.Catalog))
		b = binary.AppendUvarint(b, uint64(m.Anew.Offset))
	}
	b = binary.AppendUvarint(b, uint64(len(m.Cluster)))
	b = append(b, m.Cluster...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.StdEncoding.EncodeToString(b)
}

// milli is the time in Unix milliseconds, 0 for none.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Parse decodes what String made. Its errors are ErrForeign, ErrNewer and
// ErrDamaged, wrapped.
func Parse(text string) (Metadata, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < len(magic)+1 || string(b[:len(magic)]) != magic {
		return Metadata{}, fmt.Errorf("%w: metadata %.40q has no magic", ErrForeign, text)
	}
	v := b[len(magic)]
	if v == 0 || v > versionAnew {
		return Metadata{}, fmt.Errorf("%w: version %d, this one reads up to %d", ErrNewer, v, versionAnew)
	}
	body, check, ok := split(b, 4)
	if !ok || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(check) {
		return Metadata{}, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	rest := body[len(magic)+1:]
	catalog, n := binary.Uvarint(rest)
	if n <= 0 {
		return Metadata{}, fmt.Errorf("%w: catalog version", ErrDamaged)
	}
	rest = rest[n:]
	ms, n := binary.Varint(rest)
	if n <= 0 {
		return Metadata{}, fmt.Errorf("%w: record time", ErrDamaged)
	}
	rest = rest[n:]
	var topic [16]byte
	if v >= 2 {
		if len(rest) < len(topic) {
			return Metadata{}, fmt.Errorf("%w: topic id", ErrDamaged)
		}
		copy(topic[:], rest)
		rest = rest[len(topic):]
	}
	var since int64
	if v >= versionSince {
		if since, n = binary.Varint(rest); n <= 0 {
			return Metadata{}, fmt.Errorf("%w: time of the first read", ErrDamaged)
		}
		rest = rest[n:]
	}
	var anew Anew
	if v >= versionAnew {
		until, n := binary.Uvarint(rest)
		if n <= 0 {
			return Metadata{}, fmt.Errorf("%w: catalog version of a log made anew", ErrDamaged)
		}
		rest = rest[n:]
		at, n := binary.Uvarint(rest)
		if n <= 0 {
			return Metadata{}, fmt.Errorf("%w: offset of a log made anew", ErrDamaged)
		}
		rest = rest[n:]
		anew = Anew{int64(until), int64(at)}
	}
	size, n := binary.Uvarint(rest)
	if n <= 0 || size != uint64(len(rest)-n) {
		return Metadata{}, fmt.Errorf("%w: cluster id", ErrDamaged)
	}
	m := Metadata{Catalog: int64(catalog), Cluster: string(rest[n:]), Topic: topic, Anew: anew}
	if ms != 0 {
		m.Record = time.UnixMilli(ms)
	}
	if since != 0 {
		m.Since = time.UnixMilli(since)
	}
	return m, nil
}

// split cuts the last n bytes off.
func split(b []byte, n int) (head, tail []byte, ok bool) {
	if len(b) < n {
		return nil, nil, false
	}
	return b[:len(b)-n], b[len(b)-n:], true
}
