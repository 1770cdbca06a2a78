package egress

import "causeway/pkg/cursor"

// Which version of the catalog a partition goes by, and what births need to know of
// where it stands; birth.go tells why.

// outdate notes that starts are of a log that is no more; mu is held.
func (p *partition) outdate(anew cursor.Anew) {
	switch {
	case anew == cursor.Anew{}:
	case p.anew == cursor.Anew{}:
		p.anew = anew
	default:
		p.anew = cursor.Anew{Catalog: max(p.anew.Catalog, anew.Catalog), Offset: min(p.anew.Offset, anew.Offset)}
	}
}

// madeAnew notes that what the catalog said of the log up to a version is about another
// one, of which nothing is left from an offset on.
func (p *partition) madeAnew(version, from int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if version > 0 {
		p.outdate(cursor.Anew{Catalog: version, Offset: from})
	}
}

// bound says which starts are of a log that is no more.
func (p *partition) bound() cursor.Anew {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.anew
}

// owes is the version of the catalog without which nothing may be handed on.
func (p *partition) owes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed
}

// position is what births depend on: what was taken up, below which offset there is
// nothing to read, and the offset of the next record to be handed on.
func (p *partition) position() (took, floor, next int64, anew cursor.Anew) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took, p.floor, max(p.start, p.handled), p.anew
}

// fromZero says that no earlier owner settled anything of the log that is there.
func (p *partition) fromZero() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start == 0
}

// handedOn notes that the offsets below have been handed on.
func (p *partition) handedOn(next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handled = max(p.handled, next)
}

// tookUp notes that a version of the catalog is taken up, and says whether that is
// something to commit.
func (p *partition) tookUp(version int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = max(p.took, version)
	return p.took > p.owed
}
