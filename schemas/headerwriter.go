package schemas

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// headerWriter collects a record's headers and leaves out those without a value.
// The values share one buffer: a record otherwise costs a dozen allocations.
type headerWriter struct {
	headers []kgo.RecordHeader
	buffer  []byte
}

func newHeaderWriter(count, size int) *headerWriter {
	return &headerWriter{make([]kgo.RecordHeader, 0, count), make([]byte, 0, size)}
}

// add takes the header whose value was put into the buffer from start on. Should
// the buffer have moved, what was added before keeps the old one.
func (w *headerWriter) add(name string, start int) {
	value := w.buffer[start:len(w.buffer):len(w.buffer)]
	w.headers = append(w.headers, kgo.RecordHeader{Key: name, Value: value})
}

func (w *headerWriter) text(name, value string) {
	if value != "" {
		w.always(name, value)
	}
}

// always writes an empty value too.
func (w *headerWriter) always(name, value string) {
	start := len(w.buffer)
	w.buffer = append(w.buffer, value...)
	w.add(name, start)
}

func (w *headerWriter) number(name string, n int64) {
	start := len(w.buffer)
	w.buffer = strconv.AppendInt(w.buffer, n, 10)
	w.add(name, start)
}

// count writes n unless it is 0, which is what a missing count means.
func (w *headerWriter) count(name string, n int) {
	if n != 0 {
		w.number(name, int64(n))
	}
}

func (w *headerWriter) time(name string, t time.Time) {
	if !writable(t) {
		return
	}
	start := len(w.buffer)
	w.buffer = appendTime(w.buffer, t.UTC())
	w.add(name, start)
}

// appendTime writes t, a time in UTC, in timeLayout, several times faster than
// time.AppendFormat does: each record has one or two.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z')
}

// appendDigits writes the last so many digits of n, at most four.
func appendDigits(b []byte, n, digits int) []byte {
	var text [4]byte
	for i := range digits {
		text[3-i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, text[4-digits:]...)
}

// headerTexts gives header values as strings that share one allocation: reading
// an event otherwise costs a dozen.
type headerTexts struct{ rest string }

func texts(headers []kgo.RecordHeader) headerTexts {
	size := 0
	for _, h := range headers {
		size += len(h.Value)
	}
	var all strings.Builder
	all.Grow(size)
	for _, h := range headers {
		all.Write(h.Value)
	}
	return headerTexts{all.String()}
}

// next gives the text of h; call it for each of the headers, in their order.
func (t *headerTexts) next(h kgo.RecordHeader) string {
	text := t.rest[:len(h.Value)]
	t.rest = t.rest[len(h.Value):]
	return text
}
