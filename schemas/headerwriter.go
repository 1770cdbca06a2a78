package schemas

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// headerWriter collects a record's headers and leaves out those without a value.
type headerWriter []kgo.RecordHeader

func (w *headerWriter) text(name, value string) {
	if value != "" {
		*w = append(*w, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
}

func (w *headerWriter) number(name string, n int64) {
	*w = append(*w, kgo.RecordHeader{Key: name, Value: strconv.AppendInt(nil, n, 10)})
}

// count writes n unless it is 0, which is what a missing count means.
func (w *headerWriter) count(name string, n int) {
	if n != 0 {
		w.number(name, int64(n))
	}
}

func (w *headerWriter) time(name string, t time.Time) {
	if writable(t) {
		value := t.UTC().AppendFormat(make([]byte, 0, len(timeLayout)), timeLayout)
		*w = append(*w, kgo.RecordHeader{Key: name, Value: value})
	}
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
