package egress

import (
	"context"
	"sync"
)

// budget bounds the bytes of all records that are received and not settled. No
// partition gets more than a quarter of what the others leave, so that many of them
// whose subscribers hang cannot use it up: each next one gets less, and something is
// always left.
type budget struct {
	size int64

	mu      sync.Mutex
	used    int64
	held    map[*partition]int64
	waiting map[*partition]wish // at most one for each partition, which handles one record at a time
}

// wish is what a partition waits for; granted is closed when it has it.
type wish struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(size int64) *budget {
	return &budget{size: size, held: map[*partition]int64{}, waiting: map[*partition]wish{}}
}

// take waits until the partition may hold so many bytes more, and says how many it
// took: a record that is larger than everything counts as everything.
func (b *budget) take(ctx context.Context, p *partition, bytes int64) (taken int64, err error) {
	bytes = min(bytes, b.size)
	b.mu.Lock()
	if b.fits(p, bytes) {
		b.add(p, bytes)
		b.mu.Unlock()
		return bytes, nil
	}
	w := wish{bytes, make(chan struct{})}
	b.waiting[p] = w
	b.mu.Unlock()
	select {
	case <-w.granted:
		return bytes, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	delete(b.waiting, p)
	b.mu.Unlock()
	select {
	case <-w.granted: // at the same time
		b.give(p, bytes)
	default:
	}
	return 0, ctx.Err()
}

// fits says whether the partition may hold so many bytes more. A record that is
// larger than the partition's share may be held when it is the only one.
func (b *budget) fits(p *partition, bytes int64) bool {
	held := b.held[p]
	share := (b.size - (b.used - held)) / 4
	return b.used+bytes <= b.size && (held == 0 || held+bytes <= share)
}

func (b *budget) add(p *partition, bytes int64) {
	b.used += bytes
	b.held[p] += bytes
}

// give gives bytes of the partition back, and them to those who wait.
func (b *budget) give(p *partition, bytes int64) {
	if bytes == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= bytes
	if b.held[p] -= bytes; b.held[p] == 0 {
		delete(b.held, p)
	}
	for waiter, w := range b.waiting {
		if b.fits(waiter, w.bytes) {
			b.add(waiter, w.bytes)
			delete(b.waiting, waiter)
			close(w.granted)
		}
	}
}
