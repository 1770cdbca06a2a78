package dedup

import "causeway/pkg/seen"

// mark is an identity and when it was stored, in seconds after the store's start:
// 20 bytes and no pointer, because there are a million of them.
type mark struct {
	id seen.Fingerprint
	at uint32
}

// pageSize is how many marks a page holds. A queue in pages never copies all it has in
// order to grow, which would stop every request meanwhile.
const pageSize = 1024

// queue is first in, first out. Its zero value is empty.
type queue struct {
	pages [][]mark // none is empty
	head  int      // the first mark of the first page that is still there
}

func (q *queue) push(m mark) {
	last := len(q.pages) - 1
	if last < 0 || len(q.pages[last]) == pageSize {
		q.pages = append(q.pages, make([]mark, 0, pageSize))
		last++
	}
	q.pages[last] = append(q.pages[last], m)
}

func (q *queue) peek() (mark, bool) {
	if len(q.pages) == 0 {
		return mark{}, false
	}
	return q.pages[0][q.head], true
}

// pop takes the first; there must be one.
func (q *queue) pop() mark {
	m := q.pages[0][q.head]
	q.head++
	if q.head == len(q.pages[0]) {
		q.pages[0] = nil // or the array behind pages keeps it
		q.pages, q.head = q.pages[1:], 0
	}
	return m
}
