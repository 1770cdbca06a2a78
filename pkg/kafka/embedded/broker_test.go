package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
)

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		dir  string
		want string
		is   error
	}{
		"none":                   {dir: "", want: "needs a data directory"},
		"a file":                 {dir: file, want: file, is: syscall.ENOTDIR},
		"below a file":           {dir: filepath.Join(file, "data"), want: file, is: syscall.ENOTDIR},
		"where nobody may write": {dir: "/proc/causeway", want: "/proc/causeway", is: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(t.Context(), Options{Dir: tc.dir, Listen: "127.0.0.1:0"})
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("Start = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestDirectoryIsItsOwnersOnly(t *testing.T) {
	for name, mode := range map[string]fs.FileMode{"made by the broker": 0, "made by hand, open to all": 0o755} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if mode != 0 {
				if err := os.Mkdir(dir, mode); err != nil {
					t.Fatal(err)
				}
			}
			start(t, Options{Dir: dir})
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o700 {
				t.Errorf("mode %o, want 700", got)
			}
		})
	}
}

// TestPlanFitsTheBroker creates all of causeway's topics and starts again.
func TestPlanFitsTheBroker(t *testing.T) {
	dir := t.TempDir()
	plan := kafka.Plan(kafka.PlanOptions{Embedded: true, Tiers: []string{"1s", "24h"}, Sources: []kafka.SourceTopic{{Name: "webhooks.a", Partitions: 12, Replication: 3}}})
	for _, want := range []int{len(plan), 0} {
		began := time.Now()
		b := start(t, Options{Dir: dir})
		t.Logf("started in %v", time.Since(began))
		cl, err := kgo.NewClient(kafka.Options{Brokers: []string{b.Addr()}}.IngressProducer()...)
		if err != nil {
			t.Fatal(err)
		}
		created, err := kafka.Ensure(t.Context(), cl, plan)
		if err != nil || len(created) != want {
			t.Errorf("created %v, %v, want %d topics", created, err, want)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
			t.Error(err)
		}
		cl.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKillLosesNothingAcknowledged kills the broker again and again while 32
// producers and a committer are at it.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	o := childOptions{Dir: t.TempDir()}
	var ledger ledger
	for round := range 4 {
		c := startChild(t, o)
		if round == 0 {
			if err := create(t, c.addr, "t", nil); err != nil {
				t.Fatal(err)
			}
		} else if got := committed(t, c.addr, "g", "t"); got < ledger.commit {
			t.Errorf("committed %d, and %d was acknowledged before the crash", got, ledger.commit)
		}
		ledger.load(t, c, 1000)
	}
	c := startChild(t, o)
	seen := make(map[int]bool)
	for _, n := range read(t, c.addr, "reader", "t") {
		seen[n] = true
	}
	for n := range ledger.acked {
		if !seen[n] {
			t.Errorf("record %d was acknowledged and is gone", n)
		}
	}
	t.Logf("%d acknowledged, %d there, committed up to %d", len(ledger.acked), len(seen), ledger.commit)
}

// ledger is what a broker acknowledged.
type ledger struct {
	mu     sync.Mutex
	next   int
	acked  map[int]bool
	commit int64
}

// load produces and commits until so many more records are acknowledged, and
// kills the broker in the middle of it.
func (l *ledger) load(t *testing.T, c *child, enough int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cl := client(t, c.addr, kgo.AllowIdempotentProduceCancellation())
	left := enough
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for ctx.Err() == nil {
				l.mu.Lock()
				n := l.next
				l.next++
				l.mu.Unlock()
				err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: strconv.AppendInt(nil, int64(n), 10)}).FirstErr()
				if err != nil {
					return
				}
				l.mu.Lock()
				if l.acked == nil {
					l.acked = make(map[int]bool)
				}
				l.acked[n] = true
				if left--; left == 0 {
					c.kill()
					cancel()
				}
				l.mu.Unlock()
			}
		})
	}
	adm := kadm.NewClient(client(t, c.addr))
	wg.Go(func() {
		for ctx.Err() == nil {
			l.mu.Lock()
			at := int64(len(l.acked))
			l.mu.Unlock()
			o := make(kadm.Offsets)
			o.AddOffset("t", 0, at, -1)
			if resp, err := adm.CommitOffsets(ctx, "g", o); err == nil && resp.Error() == nil {
				l.mu.Lock()
				l.commit = max(l.commit, at)
				l.mu.Unlock()
			}
		}
	})
	wg.Wait()
	if left > 0 {
		t.Fatalf("%d of %d records were not acknowledged", left, enough)
	}
}

func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	o := Options{Dir: dir, Listen: "127.0.0.1:0"}
	for b.Loop() {
		broker, err := Start(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if err := broker.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
