package dedup

import (
	"sync"
	"time"

	"causeway/pkg/seen"
)

const (
	// lease is how long a claim in flight keeps others waiting. The producer gives
	// up on a record after 10 s, so that a claim this old means that its promise was
	// lost or that the process stood still; then the next copy takes over.
	lease = time.Minute
	// sweep is how many expired identities one settled claim clears away: more than
	// the one it adds, so that a full store shrinks, and few, so that none waits for
	// a million.
	sweep = 4
)

// Memory remembers stored identities in this process: exactly as long as the window,
// as long as there are no more than its limit. A million take about 60 MB. Claims in
// flight are kept apart and never given up for want of room.
//
// Ages are by the monotonic clock: setting the clock does not open the door to copies.
type Memory struct {
	window time.Duration
	limit  int
	start  time.Time

	mu       sync.Mutex
	inFlight map[seen.Fingerprint]*Claim
	stored   map[seen.Fingerprint]uint32 // when, in seconds after start
	order    queue                       // the same, oldest first
	cut      uint32                      // when the newest of those that had to make room was stored
	full     bool                        // some had to make room
	settled  *Claim                      // what a claim on a stored identity gets
}

// NewMemory returns an empty store that remembers for window, but never more than
// limit identities.
func NewMemory(window time.Duration, limit int) *Memory {
	done := &Claim{done: make(chan struct{})}
	close(done.done)
	return &Memory{
		window:   window,
		limit:    max(limit, 1),
		start:    time.Now(),
		inFlight: make(map[seen.Fingerprint]*Claim),
		stored:   make(map[seen.Fingerprint]uint32),
		settled:  done,
	}
}

// Claim asks for the right to store an identity. The caller that is told first owns
// the claim and must settle it; every other waits for what becomes of it, which for a
// stored identity is known at once.
func (m *Memory) Claim(id seen.Fingerprint) (claim *Claim, first bool) {
	now := time.Since(m.start)
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.stored[id]; ok && !m.expired(at, now) {
		return m.settled, false
	}
	if c := m.inFlight[id]; c != nil && int64(now)-c.taken < int64(lease) {
		return c, false
	}
	c := &Claim{store: m, id: id, taken: int64(now), done: make(chan struct{})}
	m.inFlight[id] = c
	return c, true
}

// settle forgets that the claim is in flight, and remembers what was stored.
//
// The order of events that the comparison is for: A claims, its lease runs out, B
// takes over, A's promise comes after all. If A failed, B's claim stands. If A is
// stored, the identity is stored, whatever B's fate.
func (m *Memory) settle(c *Claim, stored bool) {
	now := time.Since(m.start)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inFlight[c.id] == c {
		delete(m.inFlight, c.id)
	}
	if !stored {
		return
	}
	m.clear(now)
	at := uint32(now / time.Second)
	m.stored[c.id] = at
	m.order.push(mark{c.id, at})
}

// clear makes room for one more: first of what is expired, then of what is oldest.
func (m *Memory) clear(now time.Duration) {
	for range sweep {
		oldest, ok := m.order.peek()
		if !ok || !m.expired(oldest.at, now) {
			break
		}
		m.drop()
	}
	for len(m.stored) >= m.limit {
		m.cut, m.full = m.drop().at, true
	}
}

// drop forgets the oldest. One that was stored again since then, having expired, has a
// younger place in the queue and stays.
func (m *Memory) drop() mark {
	oldest := m.order.pop()
	if m.stored[oldest.id] == oldest.at {
		delete(m.stored, oldest.id)
	}
	return oldest
}

// expired compares whole seconds and keeps the one on the edge: remembering a second
// too long is harmless.
func (m *Memory) expired(at uint32, now time.Duration) bool {
	return now/time.Second-time.Duration(at) > (m.window+time.Second-1)/time.Second
}

// Window says how far back copies are recognised now: less than the window once more
// events came within it than the store may hold.
func (m *Memory) Window() time.Duration {
	now := time.Since(m.start)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.full {
		return m.window
	}
	return min(m.window, now-time.Duration(m.cut)*time.Second)
}

// Len says how many identities are stored and how many are in flight.
func (m *Memory) Len() (stored, inFlight int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.stored), len(m.inFlight)
}
