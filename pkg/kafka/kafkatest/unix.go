//go:build unix

package kafkatest

import (
	"os"
	"syscall"
)

// exclusive takes a lock on the file at path, waiting for whoever has it.
func exclusive(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

func signalGroup(pid int, s syscall.Signal) error { return syscall.Kill(-pid, s) }

// alive reports whether a process of that id exists.
func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }

const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)
