package catalog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// ErrWentBack is a topic that does not have any more what was read of it: one broker with
// the only copy lost power, a volume was restored, the topic was made anew. Written into,
// it would hold a change of a catalog that is not there, and nothing else of it. Read on,
// its new records would be laid over those that are lost: a subscription whose deletion
// was lost would stay deleted here alone, in a catalog of the same version as everybody's.
// So whoever finds it out keeps what he has until he is started again, and says so.
var ErrWentBack = errors.New("the catalog's topic was made anew or lost its end: put back what it held, then restart this process, which takes up no change before")

// lost says whether an error of reading means that the topic went back. What is out of
// range was deleted before it was read, or was read and is gone: the reader does not go on
// from there in either case.
func lost(err error) bool {
	_, is := errors.AsType[*kgo.ErrDataLoss](err)
	return is || errors.Is(err, kerr.OffsetOutOfRange)
}

// wentBack keeps the state as it is from now on.
func (t *Topic) wentBack(how error) {
	err := fmt.Errorf("%w: %w", ErrWentBack, how)
	if t.lose(err) {
		t.o.Logger.Error("the catalog went back, and is not followed any more", zap.String("topic", t.o.Topic), zap.Error(err))
	}
}

// short is since when the topic was seen to end before what was read, and nothing more
// of it was.
type short struct {
	mu    sync.Mutex
	since time.Time
}

// shortFor is how long the topic must be seen too short, by every look: the word of a
// broker that was cut off, and does not know yet that another leads the partition, is old.
const shortFor = 75 * time.Second

// grew forgets what was seen: the reader goes on.
func (s *short) grew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

// saw takes note of where the topic was said to end, after so much of it was read. It is
// ErrWentBack of one that is too short, which the next look may find to be otherwise.
func (t *Topic) saw(end, read int64) error {
	t.short.mu.Lock()
	defer t.short.mu.Unlock()
	if end >= read {
		t.short.since = time.Time{}
		return nil
	}
	how := fmt.Errorf("it ends at %d, and %d of it was read", end, read)
	if t.short.since.IsZero() {
		t.short.since = time.Now()
	}
	if time.Since(t.short.since) >= shortFor {
		t.wentBack(how)
	}
	return fmt.Errorf("%w: %w", ErrWentBack, how)
}
