package egress

import (
	"container/list"
	"fmt"
	"sync"
	"time"

	"causeway/pkg/health"
)

// unacknowledged is the records that settle deliveries and are on their way, the
// oldest first. While Kafka does not take one, its offset holds the mark; the client
// goes on trying and says nothing.
type unacknowledged struct {
	mu      sync.Mutex
	records list.List // of onItsWay
}

type onItsWay struct {
	topic string
	since time.Time
}

// add notes that a record of the task is on its way. One that is made again counts
// from its first time.
func (u *unacknowledged) add(t *task, topic string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t.unacknowledged == nil {
		t.unacknowledged = u.records.PushBack(onItsWay{topic, time.Now()})
	}
}

func (u *unacknowledged) remove(t *task) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t.unacknowledged != nil {
		u.records.Remove(t.unacknowledged)
		t.unacknowledged = nil
	}
}

// acknowledgedWithin is how long an acknowledgement may take before somebody should
// know. A broker that is restarted takes less.
const acknowledgedWithin = 30 * time.Second

// show keeps the condition.
func (u *unacknowledged) show(handle *health.Handle, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if first := u.records.Front(); first != nil {
		oldest := first.Value.(onItsWay)
		if waits := now.Sub(oldest.since); waits > acknowledgedWithin {
			handle.Fail(fmt.Sprintf("a record for %s waits since %s for Kafka to take it: until it does, what is delivered meanwhile is not committed and would come again after a crash; %d records wait in all",
				oldest.topic, oldest.since.UTC().Format(time.RFC3339), u.records.Len()))
			return
		}
	}
	handle.OK()
}
