package embedded

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSecondProcessIsRefusedAndToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, childOptions{Dir: dir})
	_, err := tryStart(t, Options{Dir: dir})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("Start = %v, want ErrInUse", err)
	}
	for _, want := range []string{fmt.Sprintf("process %d holds %s;", c.cmd.Process.Pid, dir), "choose another directory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Start = %q, want %q in it", err, want)
		}
	}
	c.kill()
	if _, err := tryStart(t, Options{Dir: dir}); err != nil {
		t.Errorf("after the other was killed: %v", err)
	}
}

func TestSecondBrokerOfThisProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if _, err := tryStart(t, Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("Start = %v, want ErrInUse", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir})
}

func TestWithoutTheLockTwoProcessesLoseRecords(t *testing.T) {
	o := childOptions{Dir: t.TempDir(), Off: without{Lock: true, Checkpoint: true}}
	a := startChild(t, o)
	if err := create(t, a.addr, "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	b := startChild(t, o)
	produce(t, a.addr, "webhooks.a", 0, 50)
	produce(t, b.addr, "webhooks.a", 50, 50)
	a.kill()
	b.kill()
	c := startChild(t, o)
	if _, end := extent(t, c.addr, "webhooks.a"); end >= 100 {
		t.Errorf("100 records were acknowledged and %d offsets are there: the lock guards against nothing", end)
	}
}
