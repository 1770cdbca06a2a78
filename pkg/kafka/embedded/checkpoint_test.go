package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// shrunk makes a directory in which a partition that had 100 records, all
// committed, comes back empty: trimmed to its end, which the policy forbids.
func shrunk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir, off: without{Policy: true}})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "webhooks.a", 0, 100)
	commit(t, b.Addr(), "g", "webhooks.a", 100)
	to := make(kadm.Offsets)
	to.AddOffset("webhooks.a", 0, 100, -1)
	if _, err := kadm.NewClient(client(t, b.Addr())).DeleteRecords(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPartitionThatEndsBeforeItDidIsRefused(t *testing.T) {
	dir := shrunk(t)
	_, err := tryStart(t, Options{Dir: dir})
	if !errors.Is(err, ErrLost) {
		t.Fatalf("Start = %v, want ErrLost", err)
	}
	for _, want := range []string{"webhooks.a/0 ends at 0 and had acknowledged up to 100", "delete " + filepath.Join(dir, "checkpoint.json")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Start = %q, want %q in it", err, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint.json")); err != nil {
		t.Fatal(err)
	}
	b := start(t, Options{Dir: dir})
	if _, end := extent(t, b.Addr(), "webhooks.a"); end != 0 {
		t.Errorf("the partition ends at %d: what was to be lost is there", end)
	}
}

func TestWithoutCheckpointAndCommitCheckNewRecordsAreSkipped(t *testing.T) {
	b := start(t, Options{Dir: shrunk(t), off: without{Checkpoint: true, Commits: true}})
	produce(t, b.Addr(), "webhooks.a", 1000, 150)
	got := read(t, b.Addr(), "g", "webhooks.a")
	if len(got) != 50 || got[0] != 1100 {
		t.Errorf("of 150 new records the group got %d: the checkpoint guards against nothing", len(got))
	}
}

func TestCheckpointFollowsTheEndWhileTheBrokerRuns(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		produce(t, b.Addr(), "webhooks.a", n, 1)
		b.keepCheckpoint(t.Context())
		c, err := b.readCheckpoint()
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Partitions) != 1 || c.Partitions[0].End != int64(n+1) {
			t.Errorf("after %d records the checkpoint is %+v", n+1, c)
		}
	}
}

func TestTopicsDeletedAfterTheCheckpointAreNotMissed(t *testing.T) {
	for name, again := range map[string]bool{"deleted": false, "made again under the same name": true} {
		t.Run(name, func(t *testing.T) {
			o := childOptions{Dir: t.TempDir()}
			b := start(t, Options{Dir: o.Dir})
			if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
				t.Fatal(err)
			}
			produce(t, b.Addr(), "webhooks.a", 0, 5)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, o)
			if _, err := kadm.NewClient(client(t, c.addr)).DeleteTopics(t.Context(), "webhooks.a"); err != nil {
				t.Fatal(err)
			}
			if again {
				if err := create(t, c.addr, "webhooks.a", nil); err != nil {
					t.Fatal(err)
				}
			}
			c.kill()
			start(t, Options{Dir: o.Dir})
		})
	}
}

func TestDirectoryWithoutItsBeginningsIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		missing string
		off     without
		refused bool
	}{
		"no list of topics":                      {"topics.json", without{}, true},
		"no identity":                            {"meta.json", without{}, true},
		"without the check, all topics are gone": {"meta.json", without{Checkpoint: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, Options{Dir: dir})
			if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
				t.Fatal(err)
			}
			produce(t, b.Addr(), "webhooks.a", 0, 5)
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, tc.missing)); err != nil {
				t.Fatal(err)
			}
			b, err := tryStart(t, Options{Dir: dir, off: tc.off})
			if tc.refused {
				if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "no "+tc.missing) {
					t.Errorf("Start = %v, want ErrLost that names %s", err, tc.missing)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			topics, err := b.topics(t.Context())
			if err != nil || len(topics) != 0 {
				t.Errorf("%d topics, %v: the check guards against nothing", len(topics), err)
			}
		})
	}
}

func TestCheckpointThatCannotBeReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "checkpoint.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "delete it to go on without it") {
		t.Errorf("Start = %v", err)
	}
}
