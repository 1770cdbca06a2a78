package schemas

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrNewerSchema says that a later release wrote the record. There is nothing
	// wrong with it: hold it and raise an alarm, never treat it as poison.
	ErrNewerSchema = errors.New("record of a later release of causeway")

	// ErrMalformed says that the record is not what its topic promises and that
	// reading it again won't help: it is poison.
	ErrMalformed = errors.New("malformed record")
)

// malformed describes a fault of a record.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// newer describes what of a record this release does not know.
func newer(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNewerSchema}, args...)...)
}

// reading names the record that could not be read.
func reading(what string, r *kgo.Record, err error) error {
	return fmt.Errorf("read %s %s: %w", what, Position{r.Topic, r.Partition, r.Offset}, err)
}

// clip cuts text to at most limit bytes without splitting a rune, and makes it
// valid UTF-8, which is what Avro strings have to be.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}
