package schemas

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// foreign tells the formats of records that causeway did not write.
func (f Format) foreign() bool { return f == Foreign || f == ForeignAvro }

// Adopt gives a record that causeway did not write with headers as if it had: e
// says what is known of it, and f how its value is read. Place, key and value stay
// as they are. From then on it can be delivered, parked and read like any other.
//
// Nothing of the record's own headers is taken over but what is in e: they cannot
// pass for causeway's own.
func (e *Event) Adopt(r *kgo.Record, f Format) (*kgo.Record, error) {
	var err error
	switch {
	case !f.foreign():
		err = fmt.Errorf("%s is not the format of a foreign record", f)
	case e.Source != "":
		err = errors.New("it has a source")
	case e.ID == "":
		err = errors.New("it has no ID")
	case !writable(e.Received):
		err = fmt.Errorf("received at %s, which RFC 3339 cannot hold", e.Received)
	}
	if err != nil {
		return nil, reading("foreign record", r, err)
	}
	adopted := *r
	adopted.Headers = e.headers(f)
	return &adopted, nil
}
