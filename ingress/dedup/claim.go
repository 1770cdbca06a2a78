package dedup

import "causeway/pkg/seen"

// Claim is one identity on its way into Kafka. It is its own owner token: whoever
// holds the claim that Memory made first, and nobody else, ends it.
type Claim struct {
	store *Memory // nil: a claim of its own
	id    seen.Fingerprint
	taken int64 // nanoseconds after the store's start
	done  chan struct{}
	err   error // written before done closes, read after
}

// Alone returns a claim that no copy can share: for events that every request
// makes anew.
func Alone() *Claim { return &Claim{done: make(chan struct{})} }

// Settle ends the claim with what became of the record: nil says that Kafka
// acknowledged it, an error lets the next copy try. Call it once, when nothing can
// happen to the record any more: with the produce promise, never with a timer. The
// record of a request that was answered 503 is often stored a moment later.
func (c *Claim) Settle(err error) {
	if c.store != nil {
		c.store.settle(c, err == nil)
	}
	c.err = err
	close(c.done)
}

// Done is closed once the claim is settled.
func (c *Claim) Done() <-chan struct{} { return c.done }

// Err says what became of the record; it may be asked once Done is closed.
func (c *Claim) Err() error { return c.err }
