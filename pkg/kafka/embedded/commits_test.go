package embedded

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestGroupAheadOfTheLogStartsAtTheOldestRecord(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	// As after a crash before the first checkpoint.
	o := Options{Dir: shrunk(t), Logger: zap.New(core), off: without{Checkpoint: true}}
	b := start(t, o)
	if got := logs.FilterField(zap.Int64("committed", 100)).Len(); got != 1 {
		t.Errorf("said %d times: %v", got, logs.All())
	}
	produce(t, b.Addr(), "webhooks.a", 1000, 150)
	if got := read(t, b.Addr(), "g", "webhooks.a"); len(got) != 150 || got[0] != 1000 {
		t.Errorf("of 150 new records the group got %d", len(got))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, o)
	if logs.Len() != 1 {
		t.Errorf("said again at the next start: %v", logs.All())
	}
}

func TestCommitAtTheEndStays(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "webhooks.a", 0, 5)
	commit(t, b.Addr(), "g", "webhooks.a", 5)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, Options{Dir: dir})
	if got := committed(t, b.Addr(), "g", "webhooks.a"); got != 5 {
		t.Errorf("committed %d, want 5", got)
	}
}
