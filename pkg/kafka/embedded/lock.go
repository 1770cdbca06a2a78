package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrInUse says that another process has the data directory.
var ErrInUse = errors.New("data directory in use")

// lock makes this process the only one with the directory. kfake takes no lock:
// two of them on one directory append to the same files, each with its own idea
// of the next offset, and what one of them acknowledged is gone at the next
// start. The kernel lets go when the process ends, however it ends, so a lock is
// never stale.
func lock(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data directory's lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		// For people only: the lock is the kernel's. Written over and then cut, so
		// that a reader never finds it empty.
		pid := fmt.Appendf(nil, "%d\n", os.Getpid())
		if _, err = f.WriteAt(pid, 0); err == nil {
			err = f.Truncate(int64(len(pid)))
		}
	}
	if err == nil {
		return f.Close, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := "another process"
		if pid, _ := os.ReadFile(path); len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		return nil, fmt.Errorf("%w: %s holds %s; stop it, or choose another directory", ErrInUse, holder, dir)
	}
	return nil, fmt.Errorf("lock the data directory %s: %w", dir, err)
}
