package kafka

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"causeway/pkg/health"
)

// Denied knows the topics that Kafka's ACLs keep this process from, for a condition
// and the log: each is said once, and the others go on.
type Denied struct {
	handle *health.Handle
	log    *zap.Logger

	some atomic.Bool // whether there are any: what is not denied costs no lock
	mu   sync.Mutex
	last map[string]time.Time // when "WRITE on topic" was denied last
}

// NewDenied starts with none.
func NewDenied(handle *health.Handle, log *zap.Logger) *Denied {
	handle.OK()
	return &Denied{handle: handle, log: log, last: map[string]time.Time{}}
}

// IsDenied reports that an ACL is in the way, not a fault.
func IsDenied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

// Note hears what became of an operation, as ACLs name it, on a topic, and reports
// whether an ACL denied it.
func (d *Denied) Note(operation, topic string, err error) bool {
	denied := errors.Is(err, kerr.TopicAuthorizationFailed)
	if !denied && (err != nil || !d.some.Load()) {
		return false // other errors say nothing about ACLs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	what := operation + " on " + topic
	_, known := d.last[what]
	if denied {
		d.last[what] = time.Now()
	} else {
		delete(d.last, what)
	}
	if denied == known {
		return denied
	}
	if denied {
		d.log.Error("Kafka denies a topic: an ACL has to allow it; others go on", zap.String("topic", topic), zap.String("operation", operation))
	} else {
		d.log.Info("Kafka does not deny the topic any more", zap.String("topic", topic), zap.String("operation", operation))
	}
	d.show()
	return denied
}

// Forget drops what was not denied for that long, where nobody hears of consent:
// of a topic that nothing is written to, reading says nothing.
func (d *Denied) Forget(after time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.last)
	maps.DeleteFunc(d.last, func(_ string, at time.Time) bool { return time.Since(at) > after })
	if len(d.last) != before {
		d.show()
	}
}

func (d *Denied) show() {
	d.some.Store(len(d.last) > 0)
	if len(d.last) == 0 {
		d.handle.OK()
	} else {
		d.handle.Fail("Kafka's ACLs deny " + strings.Join(slices.Sorted(maps.Keys(d.last)), ", "))
	}
}
