package schemas

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is the place of a record in Kafka.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String gives topic/partition/offset, for example webhooks.stripe/3/42.
func (p Position) String() string {
	return string(p.append(make([]byte, 0, 128)))
}

func (p Position) append(b []byte) []byte {
	b = append(append(b, p.Topic...), '/')
	b = append(strconv.AppendInt(b, int64(p.Partition), 10), '/')
	return strconv.AppendInt(b, p.Offset, 10)
}

// ParsePosition reads what [Position.String] gives.
func ParsePosition(text string) (Position, error) {
	cluster, p, err := parseOrigin("/" + text)
	if err != nil || cluster != "" {
		return Position{}, fmt.Errorf("%.128q is not a position: want topic/partition/offset", text)
	}
	return p, nil
}

// formatOrigin gives cluster/topic/partition/offset.
func formatOrigin(cluster string, p Position) string {
	return string(p.append(append(append(make([]byte, 0, 128), cluster...), '/')))
}

// parseOrigin reads from the end: no topic has a slash, while a cluster's id is
// whatever its brokers were given.
func parseOrigin(text string) (cluster string, p Position, err error) {
	bad := func() (string, Position, error) {
		return "", Position{}, fmt.Errorf("%.128q is not an origin: want cluster/topic/partition/offset", text)
	}
	rest, offset, ok := cutLast(text)
	if !ok {
		return bad()
	}
	rest, partition, ok := cutLast(rest)
	if !ok {
		return bad()
	}
	cluster, p.Topic, ok = cutLast(rest)
	if !ok || p.Topic == "" {
		return bad()
	}
	n, err := parseCount(partition, 32)
	if err != nil {
		return bad()
	}
	p.Partition = int32(n)
	if p.Offset, err = parseCount(offset, 64); err != nil {
		return bad()
	}
	return cluster, p, nil
}

func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}

// parseCount reads a plain decimal number of at least 0. Signs and leading
// zeros are refused, so that equal numbers are always equal text.
func parseCount(text string, bits int) (int64, error) {
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%.64q is not a whole number", text)
	}
	if n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%.64q is not a plain number of at least 0", text)
	}
	return n, nil
}

func parseInt(text string) (int, error) {
	n, err := parseCount(text, strconv.IntSize)
	return int(n), err
}

func parseVersion(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.64q is not a whole number", text)
	}
	return n, nil
}
