package watermark

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestGapsAreFree(t *testing.T) {
	var m Marks
	first := m.Push(Received{Offset: 10, Pending: 1})
	second := m.Push(Received{Offset: 15, Pending: 1}) // 11 to 14 were markers
	if _, ok := m.Mark(); ok {
		t.Fatal("a mark before anything was settled")
	}
	m.Complete(second)
	if mark, ok := m.Mark(); ok {
		t.Fatalf("mark %d although 10 is open", mark.Offset)
	}
	m.Complete(first)
	if mark, _ := m.Mark(); mark.Offset != 16 {
		t.Errorf("mark %d, want 16", mark.Offset)
	}
}

func TestAnOffsetIsTrackedOnce(t *testing.T) {
	var m Marks
	m.Push(Received{Offset: 5, Pending: 1})
	for _, offset := range []int64{5, 4, 0} {
		if m.Push(Received{Offset: offset, Pending: 1}) != nil {
			t.Errorf("offset %d was tracked after 5", offset)
		}
	}
}

func TestOffsetZeroCounts(t *testing.T) {
	var m Marks
	m.Complete(m.Push(Received{Offset: 0}))
	if mark, ok := m.Mark(); !ok || mark.Offset != 1 {
		t.Errorf("mark %v, %v; want 1", mark.Offset, ok)
	}
}

func TestAnEntryWaitsForAllItsSettlements(t *testing.T) {
	var m Marks
	e := m.Push(Received{Offset: 1, Pending: 3, Bytes: 100})
	for i := range 2 {
		if freed := m.Complete(e); freed != 0 {
			t.Errorf("settlement %d set %d bytes free", i+1, freed)
		}
	}
	if freed := m.Complete(e); freed != 100 {
		t.Errorf("the last settlement set %d bytes free, want 100", freed)
	}
	if freed := m.Complete(e); freed != 0 || m.OpenBytes() != 0 {
		t.Errorf("one settlement too many set %d bytes free, %d are open", freed, m.OpenBytes())
	}
}

func TestOldestIsWhatHoldsTheMark(t *testing.T) {
	var m Marks
	start := time.Now()
	first := m.Push(Received{Offset: 1, Pending: 1, Seen: start})
	m.Push(Received{Offset: 2, Pending: 1, Seen: start.Add(time.Second)})
	if at, ok := m.Oldest(); !ok || !at.Equal(start) {
		t.Errorf("oldest %v, %v", at, ok)
	}
	m.Complete(first)
	if at, _ := m.Oldest(); !at.Equal(start.Add(time.Second)) {
		t.Errorf("oldest after the first was settled: %v", at.Sub(start))
	}
}

func TestARestartCountsAnew(t *testing.T) {
	var m Marks
	old := m.Push(Received{Offset: 10, Pending: 1, Bytes: 100})
	m.Complete(m.Push(Received{Offset: 11, Pending: 1, Bytes: 10}))
	m.Restart(4)
	if last, ok := m.Last(); ok {
		t.Errorf("last offset %d after the restart", last)
	}
	fresh := m.Push(Received{Offset: 4, Pending: 1, Bytes: 1})
	if fresh == nil {
		t.Fatal("a lower offset was refused after the restart")
	}
	if freed := m.Complete(old); freed != 100 || m.OpenBytes() != 1 {
		t.Errorf("the old entry set %d bytes free, %d are open; want 100 and 1", freed, m.OpenBytes())
	}
	if _, ok := m.Mark(); ok {
		t.Error("an entry of before moved the mark")
	}
	m.Complete(fresh)
	if mark, ok := m.Mark(); !ok || mark.Offset != 5 {
		t.Errorf("mark %d, %t; want 5", mark.Offset, ok)
	}
}

func TestARestartKeepsWhatIsBelow(t *testing.T) {
	var m Marks
	below := m.Push(Received{Offset: 10, Pending: 1})
	m.Complete(m.Push(Received{Offset: 12, Pending: 1}))
	m.Push(Received{Offset: 16, Pending: 1})
	m.Restart(15)
	m.Complete(m.Push(Received{Offset: 15, Pending: 1}))
	if mark, ok := m.Mark(); ok {
		t.Fatalf("mark %d although 10 is open", mark.Offset)
	}
	m.Complete(below)
	if mark, _ := m.Mark(); mark.Offset != 16 {
		t.Errorf("mark %d, want 16", mark.Offset)
	}
}

// One offset that stays open for long must not cost memory for each that others settle.
func TestWhatIsSettledBehindAnOpenOffsetTakesNoRoom(t *testing.T) {
	var m Marks
	stuck := m.Push(Received{Offset: 0, Pending: 1})
	for offset := range int64(1000) {
		m.Complete(m.Push(Received{Offset: offset + 1, Pending: 1, Epoch: 3}))
	}
	if m.Open() != 2 {
		t.Errorf("%d entries for one that is open", m.Open())
	}
	m.Complete(stuck)
	if mark, _ := m.Mark(); mark.Offset != 1001 || mark.Epoch != 3 {
		t.Errorf("mark %+v, want 1001 in epoch 3", mark)
	}
}

// A model that keeps everything, against random arrivals and settlements.
func TestMarksAgainstAModel(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		var m Marks
		type open struct {
			entry   *Entry
			offset  int64
			pending int
			bytes   int64
		}
		var entries []*open
		next, settledBelow, bytes := int64(random.IntN(3)), int64(0), int64(0)
		for range 2000 {
			if random.IntN(2) == 0 || len(entries) == 0 {
				o := &open{offset: next, pending: 1 + random.IntN(3), bytes: int64(random.IntN(1000))}
				o.entry = m.Push(Received{Offset: o.offset, Epoch: 7, Pending: o.pending, Bytes: o.bytes})
				entries, bytes = append(entries, o), bytes+o.bytes
				next += 1 + int64(random.IntN(4))
				continue
			}
			o := entries[random.IntN(len(entries))]
			if o.pending == 0 {
				continue
			}
			o.pending--
			want := int64(0)
			if o.pending == 0 {
				want, bytes = o.bytes, bytes-o.bytes
			}
			if freed := m.Complete(o.entry); freed != want {
				t.Fatalf("seed %d: %d bytes set free, want %d", seed, freed, want)
			}
			for len(entries) > 0 && entries[0].pending == 0 {
				settledBelow, entries = entries[0].offset+1, entries[1:]
			}
			kept := 0 // a run of settled entries is one
			for i, o := range entries {
				if o.pending > 0 || i+1 == len(entries) || entries[i+1].pending > 0 {
					kept++
				}
			}
			mark, _ := m.Mark()
			if mark.Offset != settledBelow || m.Open() != kept || m.OpenBytes() != bytes {
				t.Fatalf("seed %d: mark %d, open %d, bytes %d; want %d, %d, %d", seed, mark.Offset, m.Open(), m.OpenBytes(), settledBelow, kept, bytes)
			}
		}
	}
}
