package secret

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// Resolver turns references into secrets and keeps the contents of files. It is
// safe for concurrent use and cheap enough to be asked for every request.
type Resolver struct {
	mu        sync.RWMutex
	variables map[string]Secret
	files     map[string]*cachedFile
	opened    map[Ref]weak.Pointer[*[]byte] // while somebody holds the Secret
	derived   []derived
	keyring   *Keyring
}

// derived is what is made of files by more than reading them.
type derived interface{ problem() error }

// NewResolver gives an empty Resolver.
func NewResolver() *Resolver {
	return &Resolver{variables: map[string]Secret{}, files: map[string]*cachedFile{}, opened: map[Ref]weak.Pointer[*[]byte]{}}
}

// WithKeyring gives the resolver the keys for sealed secrets, before it is first
// used, and returns it. Other keys need another process: they come with a restart.
func (r *Resolver) WithKeyring(k *Keyring) *Resolver {
	r.keyring = k
	return r
}

// Keyring gives the keys for sealed secrets, nil without any.
func (r *Resolver) Keyring() *Keyring { return r.keyring }

// Resolve gives the secret that ref names. As long as its content does not
// change, the same reference gives the same Secret by ==, so that a caller can
// keep what it derived from one. A variable is read each time; a file is read
// again once 5 seconds have passed since it was last read, and when that fails
// the last good content stays and Problems says why. A sealed secret is opened again
// when nobody holds what was opened: whoever may rotate a secret could fill the memory
// otherwise. An empty secret is an error.
func (r *Resolver) Resolve(ref Ref) (Secret, error) {
	var s Secret
	var err error
	switch ref.kind {
	case env:
		s, err = r.variable(ref.name)
	case file:
		s, err = r.file(ref.name).secret()
	case fixed:
		s = ref.fixed
		if s.IsZero() {
			err = errEmpty
		}
	case sealed:
		s, err = r.open(ref)
	case none:
		err = errors.New("no reference given")
	}
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	return s, nil
}

// Problems lists the files that could not be read again and whose last good
// content is in use, in the order of their paths, then the certificates of which
// that is true. These it looks at when they are due: long connections use none.
func (r *Resolver) Problems() []error {
	r.mu.RLock()
	files, certificates := maps.Clone(r.files), slices.Clone(r.derived)
	r.mu.RUnlock()
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := files[path].problem(); err != nil {
			errs = append(errs, fmt.Errorf("secret file:%s: the last good content stays in use: %w", path, err))
		}
	}
	for _, c := range certificates {
		if err := c.problem(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (r *Resolver) derive(d derived) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.derived = append(r.derived, d)
}

var errEmpty = errors.New("is empty")

func (r *Resolver) variable(name string) (Secret, error) {
	value, ok := os.LookupEnv(name)
	if !ok {
		return Secret{}, errors.New("is not set in the environment")
	}
	if value == "" {
		return Secret{}, errEmpty
	}
	r.mu.RLock()
	known := r.variables[name]
	r.mu.RUnlock()
	if string(known.bytes()) == value {
		return known, nil
	}
	s := New([]byte(value))
	r.mu.Lock()
	r.variables[name] = s
	r.mu.Unlock()
	return s, nil
}

func (r *Resolver) file(path string) *cachedFile {
	r.mu.RLock()
	f := r.files[path]
	r.mu.RUnlock()
	if f != nil {
		return f
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files[path] == nil {
		r.files[path] = &cachedFile{path: path}
	}
	return r.files[path]
}

// open gives the one Secret of a sealed reference, whoever asks first.
func (r *Resolver) open(ref Ref) (Secret, error) {
	r.mu.RLock()
	known := r.opened[ref].Value()
	r.mu.RUnlock()
	if known != nil {
		return Secret{known}, nil
	}
	s, err := r.keyring.Open(ref.text.Value(), ref.binding)
	if err != nil {
		return Secret{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.opened[ref].Value(); known != nil {
		return Secret{known}, nil
	}
	r.opened[ref] = weak.Make(s.value)
	runtime.AddCleanup(s.value, r.forget, ref)
	return s, nil
}

// forget drops a sealed reference whose Secret nobody holds, unless it was opened again.
func (r *Resolver) forget(ref Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened[ref].Value() == nil {
		delete(r.opened, ref)
	}
}
