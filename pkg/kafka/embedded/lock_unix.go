//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lock makes this process the only one with the directory. kfake takes no lock
// of its own: two of them on one directory write over each other's offsets, and
// each believes that all is well. The kernel lets go when the process ends,
// however it ends, so there is never a stale lock.
func lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, inUse(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	// The holder's pid is for people only; the lock is the kernel's.
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("write the lock of %s: %w", dir, err)
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, fmt.Errorf("write the lock of %s: %w", dir, err)
	}
	return f.Close, nil
}

// ErrInUse says that another process has the directory.
var ErrInUse = errors.New("data directory in use")

func inUse(dir, path string) error {
	pid, _ := os.ReadFile(path)
	if who := strings.TrimSpace(string(pid)); who != "" {
		return fmt.Errorf("%w: process %s has %s: stop it, or give this one a directory of its own", ErrInUse, who, dir)
	}
	return fmt.Errorf("%w: another process has %s: stop it, or give this one a directory of its own", ErrInUse, dir)
}
