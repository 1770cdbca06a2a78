package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// The watchdog. kgo's client goes on sending heartbeats whatever becomes of the
// program around it: a process whose worker hangs would keep its partitions for
// ever, and nobody else would deliver what is in them. So each worker says when it
// begins something that cannot take long, and when it rests: waiting for Kafka, for
// a subscriber within its timeout, for a due time, for room in a queue or in memory,
// for a newer release. However long that takes, it is nobody's fault here.
//
// A process that is stuck stops as on SIGTERM, as far as it still can, leaves its
// groups by hand if need be, and ends with an error. It does not go on by itself:
// a goroutine cannot be ended from outside, and what it holds (a lock, a place
// in a queue) would be missing for good. Whoever started the process starts it again.
const (
	watchEvery = 15 * time.Second
	// Looks in a row that find the very same thing before it counts as stuck. They are
	// counted instead of read from a clock: for a process that was frozen, a minute
	// may pass between two instructions.
	watchLimit = 5
	// An attempt may take its timeout, a minute at most, beside what all may.
	attemptLimit = watchLimit + int(time.Minute/watchEvery)
)

// step is what one goroutine is doing. Only that goroutine may call begin and rest.
type step struct {
	what  string
	limit int           // looks
	turn  atomic.Uint64 // odd: at work on something; another number for each thing
}

func (s *step) begin() { s.turn.Store((s.turn.Load() + 1) | 1) }
func (s *step) rest()  { s.turn.Store((s.turn.Load() + 2) &^ 1) }

// standing is something that should not last, and which one of its kind: the same
// value again is the same thing still.
type standing struct {
	who  any // a pointer
	turn int64
}

// found is what a standing thing is called and for how many looks it may last.
type found struct {
	what  string
	limit int
}

// watchdog counts for how many looks in a row the same things were found.
type watchdog struct {
	mu    sync.Mutex
	steps map[*step]bool
}

func (w *watchdog) add(what string, limit int) *step {
	s := &step{what: what, limit: limit}
	w.watch(s)
	return s
}

func (w *watchdog) watch(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.steps == nil {
		w.steps = map[*step]bool{}
	}
	w.steps[s] = true
}

func (w *watchdog) remove(s *step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.steps, s)
}

// working is every step that is at something.
func (w *watchdog) working() map[standing]found {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := map[standing]found{}
	for s := range w.steps {
		if turn := s.turn.Load(); turn%2 == 1 {
			at[standing{s, int64(turn)}] = found{s.what, s.limit}
		}
	}
	return at
}

// tally is how often in a row each standing thing was found.
type tally map[standing]int

// count takes what one look found, and gives what was found too often.
func (t tally) count(now map[standing]found) (stuck []string) {
	for s := range t {
		if _, still := now[s]; !still {
			delete(t, s)
		}
	}
	for s, f := range now {
		if t[s]++; t[s] > f.limit {
			stuck = append(stuck, f.what)
		}
	}
	slices.Sort(stuck)
	return stuck
}

// stuckError ends a process in which something does not move any more.
type stuckError struct{ what []string }

func (e *stuckError) Error() string {
	return fmt.Sprintf("stuck, so this process leaves its groups to the others and ends; its log holds all goroutines: %s",
		strings.Join(slices.Compact(e.what), "; "))
}

// watch looks until ctx ends or something is stuck.
func (e *Egress) watch(ctx context.Context, members ...*member) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	// The partitions are looked at elsewhere: that takes the locks that all others
	// take, and one that is never given back must not stop the watchdog too.
	looking := e.dog.add("a look at the partitions, which needs their locks", watchLimit)
	results := make(chan map[standing]found, 1)
	results <- nil
	steps, idle := tally{}, tally{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		e.settle.waiting.show(e.writing, time.Now())
		var stuck []string
		if e.settle.blocked.Load() == 0 { // else whoever settles waits for Kafka
			stuck = steps.count(e.dog.working())
		}
		select {
		case last := <-results:
			stuck = append(stuck, idle.count(last)...)
			go func() {
				looking.begin()
				defer looking.rest()
				results <- e.idle(members)
			}()
		default:
		}
		if len(stuck) > 0 {
			return e.barks(&stuckError{stuck})
		}
	}
}

// idle is work that is there while nobody is at it.
func (e *Egress) idle(members []*member) map[standing]found {
	idle := map[standing]found{}
	if started, stalled := e.dispatch.stalled(); stalled {
		idle[standing{e.dispatch, started}] = found{"deliveries are queued and no attempt begins", watchLimit}
	}
	for _, m := range members {
		for _, p := range m.all() {
			if offset, forgotten := p.forgotten(); forgotten {
				idle[standing{p, offset}] = found{fmt.Sprintf("%s/%d: offset %d is not settled, and nobody is at it", p.topic, p.id, offset), watchLimit}
			}
		}
	}
	return idle
}

func (e *Egress) barks(err *stuckError) error {
	e.moving.Fail(err.Error())
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // to memory: it cannot fail
	const most = 256 << 10
	e.log.Error("stuck: this process leaves its groups and ends",
		zap.Strings("what", err.what), zap.ByteString("goroutines", stacks.Bytes()[:min(most, stacks.Len())]))
	return err
}

// forgotten says whether the oldest open offset of the partition is in no queue, no
// attempt, no write and no hand: then it would stay open for ever.
func (p *partition) forgotten() (offset int64, forgotten bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	offset, open := p.marks.Head()
	return offset, open && p.alive && !p.draining && p.busy == 0 && p.queued.Load() == 0 && !p.handing.Load()
}

// stalled says whether tasks wait although no attempt is under way that could make
// room for theirs, and not for their tenant's rate either. Started is how many have
// begun so far.
func (d *dispatcher) stalled() (started int64, stalled bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == 0 || d.running > 0 || d.stopped {
		return d.started, false
	}
	now := time.Now()
	for _, q := range d.queues {
		if q.len() > 0 && !q.usedUp(now) {
			return d.started, true
		}
	}
	return d.started, false
}

// quit takes the process out of the group without the group's client, which may be
// what is stuck; and also a static member, whose place would be kept otherwise.
func (m *member) quit(ctx context.Context, o []kgo.Opt) error {
	id, _ := m.id.Load().(string)
	if id == "" {
		return nil
	}
	client, err := kgo.NewClient(o...)
	if err != nil {
		return fmt.Errorf("make a client to leave group %s: %w", m.group, err)
	}
	defer client.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, id
	leaver := kmsg.NewLeaveGroupRequestMember()
	leaver.MemberID = id
	if m.instance != "" {
		leaver.InstanceID = &m.instance
	}
	req.Members = append(req.Members, leaver)
	if _, err := req.RequestWith(ctx, client); err != nil {
		return fmt.Errorf("leave group %s, whose other members now wait for the session timeout: %w", m.group, err)
	}
	return nil // an error in the answer says that it is out already
}

// broken is why Egress ends by itself: something is stuck, or somebody else has its
// place in the group.
func broken(cause error) error {
	if stuck, ok := errors.AsType[*stuckError](cause); ok {
		return stuck
	}
	if fenced, ok := errors.AsType[*fencedError](cause); ok {
		return fenced
	}
	return nil
}

// fencedError ends a static member whose place another process has taken.
type fencedError struct{ group, instance string }

func (e *fencedError) Error() string {
	return fmt.Sprintf("another process has joined group %s as %q: each needs a kafka.instance_id of its own", e.group, e.instance)
}
