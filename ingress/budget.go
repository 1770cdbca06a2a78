package ingress

import "sync/atomic"

// budget bounds something that many hold parts of.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n if that leaves the limit kept. The first holder may take more than there
// is: a limit set too low must not refuse one thing for ever.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); used > b.limit && used != n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// holding is one request's part of a budget.
type holding struct {
	from *budget
	n    int64
}

func (h *holding) take(n int64) bool {
	if !h.from.take(n) {
		return false
	}
	h.n += n
	return true
}

func (h *holding) release() {
	h.from.give(h.n)
	h.n = 0
}
