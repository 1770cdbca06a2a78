package catalog

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrHanging is a transaction in the catalog's topic that nobody ends any more (the
// hanging transaction of KIP-664): the coordinator has ended it, and the broker lost the
// marker that says so, with the power for instance. Readers stop before it, so that no
// change can be read, nor made: a fence ends only what the coordinator takes for open.
// To abort it takes a right on the whole cluster, which causeway does not ask for.
var ErrHanging = errors.New("a transaction in the catalog's topic is not ended by Kafka, and no change is read or made before it is aborted")

// open is since when a transaction has been open at the same offset.
type open struct {
	mu    sync.Mutex
	at    int64
	since time.Time
	late  bool // the newest look saw it for hangingFor
}

// hangingFor is how long a transaction must be seen open, by every look: transactionTime,
// after which Kafka aborts it, the time it takes to notice, and what a broker that was
// cut off may say late.
const hangingFor = 75 * time.Second

// saw takes note of how far the topic could be read and where it ended just after that.
// Two transactions never begin at one offset: an aborted one leaves its records there.
func (o *open) saw(committed, end int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case end <= committed:
		o.since = time.Time{}
	case o.since.IsZero() || o.at != committed:
		o.at, o.since = committed, time.Now()
	}
	o.late = !o.since.IsZero() && time.Since(o.since) >= hangingFor
}

// Hanging is ErrHanging, with what ends it, while a transaction is known to hang; nil:
// nothing is known of one. It goes by what End has seen.
func (t *Topic) Hanging() error {
	t.open.mu.Lock()
	defer t.open.mu.Unlock()
	if !t.open.late {
		return nil
	}
	return fmt.Errorf("%w: kafka-transactions.sh --bootstrap-server BROKER abort --topic %s --partition 0 --start-offset %d", ErrHanging, t.o.Topic, t.open.at)
}
