package egress

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// A delivery comes back and carries a newer version of the catalog than this process has
// read. Mostly that version comes within seconds, and the delivery waits for it: its
// subscription here may have an old URL or secret, or not be there yet. But versions
// begin anew when the catalog is made anew, and then it may never come. Where the catalog
// ends tells the two apart, as for partitions of events (see birth.go); what came of a
// catalog that is no more goes by the uid of its subscription, like any other delivery.
//
// Nobody waits for the answer: deliveries go round the shortest step until there is one.
// It counts only if it was asked for after the delivery was parked. One of before says
// nothing: it was asked for at version 10, then somebody changed the catalog, and another
// process delivers by version 11 what comes back here before this one has read that. And
// it is made of two, each from whatever broker is asked first: one that is cut off from
// the others says old ends for some seconds.

// ends is the newest answer to where the catalog ends, and who wants one.
type ends struct {
	wanted chan int64 // a version that a delivery carries
	answer atomic.Pointer[catalogEnd]
}

type catalogEnd struct {
	asked time.Time // before the first of the two
	read  int64     // version that this process had read by then
	end   int64     // the larger of the two
}

const (
	endPause  = time.Second // before each question
	clockSlip = time.Second // by which the clock of whoever parked a delivery may be behind
)

// anotherCatalogs says whether the delivery, which was parked at that time and is of a
// newer version than now, is of another catalog than now. It goes a few rounds before.
func (e *Egress) anotherCatalogs(d *schemas.Delivery, parked time.Time, now *catalog.Snapshot) bool {
	a := e.ends.answer.Load()
	if a == nil || a.asked.Before(parked.Add(clockSlip)) || d.Waits < unknownWaits || a.anew(d.Version, now) != "" {
		select {
		case e.ends.wanted <- d.Version:
		default:
		}
		return false
	}
	return true
}

// anew says why the answer does not let a version count as one of a catalog that is no
// more, of which now is not either; "": it does.
func (a *catalogEnd) anew(version int64, now *catalog.Snapshot) string {
	switch {
	case a.end >= version || now.Version < a.end:
		return fmt.Sprintf("this process has read %d", now.Version)
	case a.read > a.end:
		return fmt.Sprintf("the catalog ends at %d and this process has read %d: it was made anew; put back what it held, and restart this process", a.end, a.read)
	case len(now.Subscriptions) == 0: // nobody has put back yet what it held
		return fmt.Sprintf("the catalog ends at %d and has no subscription: put back what it held", a.end)
	default:
		return ""
	}
}

// watchEnd asks where the catalog ends for as long as deliveries want to know, until ctx
// ends.
func (e *Egress) watchEnd(ctx context.Context) {
	var quiet <-chan time.Time // nobody has asked for some time
	for ctx.Err() == nil {
		select {
		case version := <-e.ends.wanted:
			if e.askEnd(ctx, version) {
				quiet = time.After(quietFor)
			}
		case <-quiet:
			e.behind.clear(e)
			quiet = nil
		case <-ctx.Done():
		}
	}
}

// quietFor is longer than a round of those that wait.
const quietFor = 10 * time.Second

// askEnd asks where the catalog ends if a version does not come by itself, and says
// whether it did not.
func (e *Egress) askEnd(ctx context.Context, version int64) bool {
	var a catalogEnd
	known := true
	for i := range 2 {
		if !waited(ctx, endPause) {
			return false
		}
		now := e.snapshot()
		if now.Version >= version {
			return false
		}
		if i == 0 {
			a.asked = time.Now()
		}
		a.read = now.Version
		ask, cancel := context.WithTimeout(ctx, listWait)
		end, said := e.catalogEnd(ask)
		cancel()
		a.end, known = max(a.end, end), known && said
	}
	if ctx.Err() != nil {
		return false
	}
	why := fmt.Sprintf("this process has read %d", a.read)
	var before *catalogEnd
	if known {
		before = e.ends.answer.Swap(&a)
		why = a.anew(version, e.snapshot())
	}
	if why != "" {
		e.behind.note(e, fmt.Errorf("deliveries that came back wait for version %d of the catalog: %s", version, why))
		return true
	}
	e.behind.clear(e)
	if before == nil || before.end != a.end {
		e.log.Warn("deliveries come back that were made with a catalog that is no more: they go by the uid of their subscription, to where it is now or into the DLQ",
			zap.Int64("version", version), zap.Int64("end", a.end))
	}
	return false
}

// catalogEnd asks where the catalog ends. Known is false when nobody says.
func (e *Egress) catalogEnd(ctx context.Context) (end int64, known bool) {
	if e.o.CatalogEnd == nil {
		return e.snapshot().Version, e.o.Changed == nil
	}
	end, err := e.o.CatalogEnd(ctx)
	if err != nil && ctx.Err() == nil {
		e.log.Warn("look up where the catalog ends, trying on", zap.Error(err))
	}
	return end, err == nil
}
