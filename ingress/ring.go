package ingress

import "iter"

// ring is a list of connections, oldest first, that costs no allocation: its links are
// in them. The zero ring is empty; it must not be copied.
type ring struct{ mark link }

// link is a connection's place in a ring. The zero link is in none.
type link struct {
	prev, next *link
	of         *conn
}

// push puts a connection at the end by its link, which must be in no ring.
func (r *ring) push(l *link, c *conn) {
	mark := &r.mark
	if mark.next == nil {
		mark.prev, mark.next = mark, mark
	}
	l.of, l.prev, l.next = c, mark.prev, mark
	mark.prev.next, mark.prev = l, l
}

// first is the connection that is there longest; nil: there is none.
func (r *ring) first() *conn {
	if r.mark.next == nil {
		return nil
	}
	return r.mark.next.of // the mark's own is nil
}

// all goes through the connections, which may be removed meanwhile.
func (r *ring) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		for l := r.mark.next; l != nil && l.of != nil; {
			next := l.next
			if !yield(l.of) {
				return
			}
			l = next
		}
	}
}

// remove takes the link out of its ring, if it is in one.
func (l *link) remove() {
	if l.next != nil {
		l.prev.next, l.next.prev = l.next, l.prev
		l.prev, l.next = nil, nil
	}
}
