package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
)

const gib = 1 << 30

func TestWritable(t *testing.T) {
	for name, tc := range map[string]struct {
		disk  space
		err   error
		most  int64
		bytes int    // in the directory, beside what the broker keeps there itself
		want  string // in the refusal; none where empty
	}{
		"room":                         {disk: space{50 * gib, 100 * gib}},
		"just enough of a large disk":  {disk: space{10 * gib, 100 * gib}},
		"less than a tenth":            {disk: space{9 * gib, 100 * gib}, want: "9.0 GiB free of 100.0 GiB, and the embedded broker wants 10.0 GiB"},
		"less than a GiB":              {disk: space{gib - 1<<20, 2 * gib}, want: "1023 MiB free of 2.0 GiB, and the embedded broker wants 1.0 GiB"},
		"nothing at all":               {disk: space{0, 100 * gib}, want: "0 MiB free"},
		"a disk that cannot be asked":  {err: errors.New("no such device"), want: "no such device"},
		"less data than allowed":       {disk: space{50 * gib, 100 * gib}, most: 2 << 20, bytes: 1 << 20},
		"more data than allowed":       {disk: space{50 * gib, 100 * gib}, most: 2 << 20, bytes: 3 << 20, want: "of at most 2 MiB: raise --data-max"},
		"less data than the default 1": {disk: space{50 * gib, 100 * gib}, bytes: 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, tc.bytes), 0o600); err != nil {
				t.Fatal(err)
			}
			o := Options{Dir: dir, MaxBytes: tc.most, space: func(string) (space, error) { return tc.disk, tc.err }}
			b := start(t, o)
			err := b.Writable()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Writable = %v, want %q", err, tc.want)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			o.off.Watchdog = true
			if err := start(t, o).Writable(); err != nil {
				t.Errorf("without the watchdog Writable = %v", err)
			}
		})
	}
}

func TestDoorDoesNotFlap(t *testing.T) {
	free := int64(50 * gib)
	b := start(t, Options{Dir: t.TempDir(), space: func(string) (space, error) { return space{free, 100 * gib}, nil }})
	for _, step := range []struct {
		free int64
		open bool
	}{{11 * gib, true}, {10*gib - 1, false}, {10 * gib, false}, {10*gib + gib/2, true}, {10 * gib, true}} {
		free = step.free
		b.watch()
		if open := b.Writable() == nil; open != step.open {
			t.Errorf("with %s free open is %v", size(free), open)
		}
	}
}

func TestWatchdogLooksAtTheRealDisk(t *testing.T) {
	s, err := statfs(t.TempDir())
	if err != nil || s.free <= 0 || s.size < s.free {
		t.Errorf("statfs = %+v, %v", s, err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := start(t, Options{Dir: t.TempDir(), Registerer: reg})
	if got := testutil.ToFloat64(b.met.free); got != 50*gib {
		t.Errorf("free = %v", got)
	}
	if got := testutil.ToFloat64(b.met.data); got <= 0 {
		t.Errorf("data = %v", got)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 3 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

// TestFullDiskTakesAcknowledgedCommitsBack is what the watchdog is there for:
// it closes the door while there is still room for what was let in. kfake
// refuses records that do not fit, but acknowledges commits that do not.
func TestFullDiskTakesAcknowledgedCommitsBack(t *testing.T) {
	o := childOptions{Dir: t.TempDir(), Off: without{Watchdog: true}}
	c := startChild(t, o)
	if err := create(t, c.addr, "t", nil); err != nil {
		t.Fatal(err)
	}
	produce(t, c.addr, "t", 0, 100)
	commit(t, c.addr, "g", "t", 10)
	c.fill(1)
	err := client(t, c.addr).ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr()
	if err == nil {
		t.Error("a record was acknowledged on a full disk")
	}
	commit(t, c.addr, "g", "t", 90)
	if got := committed(t, c.addr, "g", "t"); got != 90 {
		t.Fatalf("committed %d before the crash, want 90", got)
	}
	c.kill()
	c = startChild(t, o)
	if got := committed(t, c.addr, "g", "t"); got != 10 {
		t.Errorf("committed %d after the crash: the watchdog guards against nothing", got)
	}
	if first, end := extent(t, c.addr, "t"); first != 0 || end != 100 {
		t.Errorf("records %d to %d, want 0 to 100", first, end)
	}
}
