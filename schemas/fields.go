package schemas

import (
	"strings"
	"time"
	"unicode/utf8"
)

// fields is a decoded Avro record. A field that an older schema did not have, or
// that is null, reads as its zero value.
type fields map[string]any

func (f fields) text(name string) string {
	text, _ := f[name].(string)
	return text
}

func (f fields) bytes(name string) []byte {
	b, _ := f[name].([]byte)
	return b
}

func (f fields) int(name string) int {
	n, _ := f[name].(int32)
	return int(n)
}

func (f fields) micros(name string) time.Duration {
	n, _ := f[name].(int64)
	return time.Duration(n) * time.Microsecond
}

// time reads a time in microseconds, also an optional one: there the value is
// the union's branch.
func (f fields) time(name string) time.Time {
	value := f[name]
	if branch, ok := value.(map[string]any); ok {
		value = branch["long"]
	}
	micros, ok := value.(int64)
	if !ok {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// avroText gives text as an Avro string has to be. Strangers' headers need not be
// UTF-8; the record's own headers keep them as they are.
func avroText(text string) string {
	if utf8.ValidString(text) { // eight times as fast
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
