package seen

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// record is what a window is asked about.
type record struct {
	id     uint64
	offset int64
	at     time.Duration // since the log began
}

func (r record) fingerprint() Fingerprint {
	var f Fingerprint
	binary.BigEndian.PutUint64(f[:], r.id)
	return f
}

func (r record) time() time.Time { return time.Unix(1_700_000_000, 0).Add(r.at) }

func (w *Window) ask(r record) bool { return w.Earlier(r.fingerprint(), r.offset, r.time()) }

func TestWindow(t *testing.T) {
	const hour = time.Hour
	for name, tc := range map[string]struct {
		before []record // asked first, answers ignored
		ask    record
		want   bool
	}{
		"the first is no copy":                         {nil, record{1, 10, 0}, false},
		"the second is":                                {[]record{{1, 10, 0}}, record{1, 11, time.Second}, true},
		"another identity is not":                      {[]record{{1, 10, 0}}, record{2, 11, time.Second}, false},
		"the same record read again is not":            {[]record{{1, 10, 0}}, record{1, 10, 0}, false},
		"the same record after its copy is not":        {[]record{{1, 10, 0}, {1, 11, 0}}, record{1, 10, 0}, false},
		"a smaller offset is not":                      {[]record{{1, 10, 0}}, record{1, 9, time.Second}, false},
		"but makes the greater one a copy":             {[]record{{1, 10, 0}, {1, 9, 0}}, record{1, 10, 0}, true},
		"at the window's age still":                    {[]record{{1, 10, 0}}, record{1, 11, hour}, true},
		"past it no more":                              {[]record{{1, 10, 0}}, record{1, 11, hour + time.Millisecond}, false},
		"a copy renews what it copies":                 {[]record{{1, 10, 0}, {1, 11, 50 * time.Minute}}, record{1, 12, 100 * time.Minute}, true},
		"a clock that went back does not matter":       {[]record{{1, 10, 0}}, record{1, 11, -2 * hour}, true},
		"far behind and further back are two things":   {[]record{{1, 10, 3 * hour}}, record{1, 5, 0}, false},
		"and what follows is compared with the latter": {[]record{{1, 10, 3 * hour}, {1, 5, 0}}, record{1, 6, time.Minute}, true},
		"and the former read again is no copy":         {[]record{{1, 10, 3 * hour}, {1, 5, 0}}, record{1, 10, 3 * hour}, false},
		"a clock that went back takes no time away":    {[]record{{1, 10, 0}, {1, 11, -2 * hour}}, record{1, 12, 30 * time.Minute}, true},
		"after a gap the later one counts":             {[]record{{1, 10, 0}, {1, 11, 2 * hour}}, record{1, 12, 2*hour + time.Minute}, true},
		"after a gap the first read again is no copy":  {[]record{{1, 10, 0}, {1, 11, 2 * hour}}, record{1, 10, 0}, false},
		"offset zero is an offset":                     {[]record{{1, 0, 0}}, record{1, 1, 0}, true},
		"times before 1970 are times":                  {[]record{{1, 10, -60 * 365 * 24 * hour}}, record{1, 11, -60*365*24*hour + time.Minute}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := NewWindow(hour, 100)
			for _, r := range tc.before {
				w.ask(r)
			}
			if got := w.ask(tc.ask); got != tc.want {
				t.Errorf("after %v: Earlier(%v) = %v, want %v", tc.before, tc.ask, got, tc.want)
			}
		})
	}
}

// Whoever takes a partition over must decide as its last owner did, wherever the reading
// began, so long as that was one age before.
func TestWindowIsAFunctionOfTheLog(t *testing.T) {
	const age = 10 * time.Minute
	r := rand.New(rand.NewPCG(1, 2))
	log := make([]record, 4000)
	at := time.Duration(0)
	for i := range log {
		at += time.Duration(r.IntN(2000)) * time.Millisecond
		log[i] = record{uint64(r.IntN(400)), int64(i), at}
	}
	whole := NewWindow(age, len(log))
	answers := make([]bool, len(log))
	for i, rec := range log {
		answers[i] = whole.ask(rec)
		want := false
		for _, earlier := range log[:i] {
			want = want || earlier.id == rec.id && rec.at-earlier.at <= age
		}
		if answers[i] != want {
			t.Fatalf("record %v: Earlier = %v, but looking through the log says %v", rec, answers[i], want)
		}
	}
	for _, from := range []int{500, 1234, 2000, 3999} {
		w := NewWindow(age, len(log))
		start := from
		for start > 0 && log[from].at-log[start-1].at <= age {
			start--
		}
		for i := start; i < len(log); i++ {
			if got := w.ask(log[i]); i >= from && got != answers[i] {
				t.Fatalf("rebuilt for offset %d: record %v: Earlier = %v, the last owner said %v", from, log[i], got, answers[i])
			}
		}
	}
	if whole.Evicted() != 0 {
		t.Errorf("evicted %d although there was room", whole.Evicted())
	}
}

func TestWindowIsBounded(t *testing.T) {
	const limit = 100
	w := NewWindow(time.Hour, limit)
	for i := range 10 * limit {
		w.ask(record{uint64(i), int64(i), 0})
		if w.ring.count > limit || len(w.ring.entries) > limit {
			t.Fatalf("%d entries in %d places, want at most %d", w.ring.count, len(w.ring.entries), limit)
		}
	}
	if got := w.Evicted(); got != 9*limit {
		t.Errorf("evicted %d, want %d", got, 9*limit)
	}
	if w.ask(record{0, 5000, 0}) {
		t.Error("the oldest is still known although the window is full of newer ones")
	}
	if !w.ask(record{10*limit - 1, 5001, 0}) {
		t.Error("the newest is not known")
	}
}

func TestWindowForgetsByAge(t *testing.T) {
	w := NewWindow(time.Minute, 1_000_000)
	for i := range 10_000 {
		w.ask(record{uint64(i), int64(i), time.Duration(i) * time.Second})
		if w.ring.count > 62 {
			t.Fatalf("%d entries for a minute with one a second", w.ring.count)
		}
	}
	if w.Evicted() != 0 {
		t.Errorf("evicted %d; what is too old is not evicted", w.Evicted())
	}
}

// An identity that comes again and again stays alive at the head of the ring. It must not
// keep everything behind it alive as well.
func TestWindowWithAnIdentityRepeatedForEver(t *testing.T) {
	w := NewWindow(time.Minute, 1_000_000)
	for i := range 10_000 {
		at := time.Duration(i) * time.Second
		for again := range uint64(3) {
			if copied := w.ask(record{1_000_000 + again, int64(4*i) + int64(again), at}); copied != (i > 0) {
				t.Fatalf("second %d: Earlier = %v", i, copied)
			}
		}
		w.ask(record{uint64(i), int64(4*i + 3), at})
		if w.ring.count > 80 {
			t.Fatalf("second %d: %d entries for a minute with one a second", i, w.ring.count)
		}
	}
}

// One record from a clock that is years ahead must not wipe the window out, nor stay.
func TestWindowWithAClockFarAhead(t *testing.T) {
	w := NewWindow(time.Hour, 1000)
	for i := range 500 {
		w.ask(record{uint64(i), int64(i), time.Duration(i) * time.Second})
	}
	w.ask(record{9999, 500, 10 * 365 * 24 * time.Hour})
	forgotten := 0
	for i := range 500 {
		if !w.ask(record{uint64(i), 1000 + int64(i), 501 * time.Second}) {
			forgotten++
		}
	}
	if forgotten > sweep {
		t.Errorf("%d of 500 forgotten, want at most %d", forgotten, sweep)
	}
	for i := range 10_000 {
		w.ask(record{10_000 + uint64(i), 2000 + int64(i), time.Duration(i) * time.Minute})
		if i > 500 && w.ring.count > 100 {
			t.Fatalf("%d entries for an hour with one a minute: the record from the future holds them up", w.ring.count)
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	w := NewWindow(time.Hour, 1<<20)
	at := time.Unix(1_700_000_000, 0)
	var f Fingerprint
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		binary.BigEndian.PutUint64(f[:], n*0x9e3779b97f4a7c15)
		w.Earlier(f, int64(n), at)
	}
}

// BenchmarkWindowMemory tells what a million fingerprints take.
func BenchmarkWindowMemory(b *testing.B) {
	at := time.Unix(1_700_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		w := NewWindow(time.Hour, 1<<20)
		for n := range uint64(1 << 20) {
			var f Fingerprint
			binary.BigEndian.PutUint64(f[:], n*0x9e3779b97f4a7c15)
			w.Earlier(f, int64(n), at)
		}
	}
}
