package secret

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxFile    = 64 << 10        // bytes, of a secret
	checkEvery = 5 * time.Second // how often a file is looked at, at most
)

// cachedFile is one secret file and what was last read from it.
type cachedFile struct {
	path    string
	most    int64      // bytes; 0: maxFile
	reading sync.Mutex // held by the one who reads; the others go on with what is known
	last    atomic.Pointer[reading]
}

// reading is what is known of a file. It is never changed once stored.
type reading struct {
	secret Secret // the last good content; zero when there was none yet
	err    error  // why the latest reading failed; nil when it did not
	at     time.Time
}

// secret gives the file's content, read again when it is due.
func (f *cachedFile) secret() (Secret, error) {
	last := f.last.Load()
	switch {
	case last == nil || last.secret.IsZero():
		// Nothing to go on with: everybody waits for the reading.
		f.reading.Lock()
		defer f.reading.Unlock()
		if last = f.last.Load(); last == nil || due(last) {
			last = f.read(last)
		}
	case due(last) && f.reading.TryLock():
		// A file system that hangs holds up this one caller only.
		defer f.reading.Unlock()
		last = f.read(f.last.Load())
	}
	if last.secret.IsZero() {
		return Secret{}, last.err
	}
	return last.secret, nil
}

func (f *cachedFile) problem() error {
	if last := f.last.Load(); last != nil && !last.secret.IsZero() {
		return last.err
	}
	return nil
}

func (f *cachedFile) read(last *reading) *reading {
	content, err := readFile(f.path, cmp.Or(f.most, maxFile))
	next := &reading{err: err, at: time.Now()}
	if last != nil {
		next.secret = last.secret
	}
	// Unchanged content keeps its Secret, which is what makes == useful.
	if err == nil && !bytes.Equal(next.secret.bytes(), content) {
		next.secret = New(content)
	}
	f.last.Store(next)
	return next
}

func due(last *reading) bool { return time.Since(last.at) >= checkEvery }

// readFile reads a regular file of at most that many bytes and cuts one line end off,
// which editors and echo add. Content never becomes part of an error.
func readFile(path string, most int64) ([]byte, error) {
	// Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", errors.Unwrap(err))
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat: %w", errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", errors.Unwrap(err))
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("is larger than %d KiB", most>>10)
	}
	if n := len(content); n > 0 && content[n-1] == '\n' {
		content = bytes.TrimSuffix(content[:n-1], []byte("\r"))
	}
	if len(content) == 0 {
		return nil, errEmpty
	}
	return content, nil
}
