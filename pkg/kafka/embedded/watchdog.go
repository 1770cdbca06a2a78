package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Below either of these no more events are taken in: what was taken in already
// still needs room to be retried, dead-lettered and committed. kfake ignores
// what fsync says, so what does not fit could be acknowledged and lost.
const (
	minFree        = 1 << 30
	minFreePercent = 10
)

// space is what a file system has.
type space struct{ free, size int64 }

func statfs(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, err
	}
	// What root keeps for itself is not free for us.
	return space{free: int64(s.Bavail) * int64(s.Bsize), size: int64(s.Blocks) * int64(s.Bsize)}, nil
}

// room holds why there is none, or nil. It is read for every request.
type room struct{ full atomic.Pointer[error] }

// Writable is nil while there is room for more events. Otherwise it says why the
// door must refuse them, with 503.
func (b *Broker) Writable() error {
	if err := b.room.full.Load(); err != nil {
		return *err
	}
	return nil
}

// watch looks at the disk. What it cannot find out counts as full: nobody knows
// that it is not.
func (b *Broker) watch() {
	if b.opts.off.Watchdog {
		return
	}
	was := b.Writable()
	err := b.look(was != nil)
	if err == nil {
		b.room.full.Store(nil)
	} else {
		b.room.full.Store(&err)
	}
	switch {
	case was == nil && err != nil:
		b.opts.Logger.Error("the embedded broker takes no more events", zap.Error(err))
	case was != nil && err == nil:
		b.opts.Logger.Info("the embedded broker takes events again")
	}
}

// look compares disk and data with their limits. Once over one, it wants a
// twentieth more than that, so that the door does not flap.
func (b *Broker) look(full bool) error {
	s, err := b.opts.space(b.opts.Dir)
	if err != nil {
		return fmt.Errorf("find out how much room the disk of %s has: %w", b.opts.Dir, err)
	}
	used, err := bytesIn(b.opts.Dir)
	if err != nil {
		return fmt.Errorf("find out how much %s holds: %w", b.opts.Dir, err)
	}
	b.met.free.Set(float64(s.free))
	b.met.data.Set(float64(used))
	need, most := max(minFree, s.size/100*minFreePercent), b.opts.MaxBytes
	if full {
		need, most = need+need/20, most-most/20
	}
	switch {
	case s.free < need:
		return fmt.Errorf("the disk of %s has %s free of %s, and the embedded broker wants %s: make room", b.opts.Dir, size(s.free), size(s.size), size(need))
	case used > most:
		return fmt.Errorf("%s holds %s of at most %s: raise --data-max, or wait until records are a day old and read by all groups", b.opts.Dir, size(used), size(b.opts.MaxBytes))
	}
	return nil
}

func bytesIn(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // trimmed meanwhile
			return nil
		case err == nil && info.Mode().IsRegular():
			total += info.Size()
		}
		return err
	})
	return total, err
}

// size is for people: 1.5 GiB.
func size(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
