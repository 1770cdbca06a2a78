package catalog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// File is the catalog in one file: that of the embedded broker, on which compaction
// and transactions are not to be relied upon, and which has no second process to
// share it with. Each change writes the whole of it anew, synced, and puts it into
// its place in one step.
type File struct {
	path string
	o    FileOptions
	*watched
	writing chan struct{} // holds a token
}

// FileOptions are what a File may have beside its path.
type FileOptions struct {
	// Audit keeps the audit records, before the change that they belong to is put into
	// its place: an error of it refuses the change. So a crash in between leaves a
	// record of what was not done, never a deed without its record. Nil: a change that
	// carries any is refused.
	Audit func(context.Context, []AuditRecord) error
}

// A file's lines: the first says what it is, the last that it is whole.
type (
	fileHead struct {
		Schema  int   `json:"schema"`
		Version int64 `json:"version"`
	}
	fileLine struct {
		Version int64           `json:"version"`
		Key     string          `json:"key"`
		Value   json.RawMessage `json:"value"`
	}
	fileEnd struct {
		Entries int `json:"entries"`
	}
)

const fileSchema = 1

// OpenFile reads the file; one that is not there is an empty catalog. A damaged one
// is an error: going on without it would drop what people want.
func OpenFile(path string, o FileOptions) (*File, error) {
	f := &File{path: path, o: o, watched: newWatched(), writing: make(chan struct{}, 1)}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read from
	state, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the catalog in %s: %w: put a copy of it back. Without one, remove it together with the broker's groups.log: what is stored is delivered again, and what is parked for subscriptions that the process file does not have ends in the DLQ", path, err)
	}
	f.publish(state)
	return f, nil
}

func readFile(from io.Reader) (*State, error) {
	lines := json.NewDecoder(bufio.NewReader(from))
	var head fileHead
	if err := lines.Decode(&head); err != nil {
		return nil, err
	}
	if head.Schema != fileSchema {
		return nil, fmt.Errorf("it has schema %d, and this release reads %d", head.Schema, fileSchema)
	}
	state := emptyState()
	state.Version, state.written = head.Version, true
	var records []record
	for {
		var line struct {
			fileLine
			Entries *int `json:"entries"`
		}
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("after %d entries: %w", len(records), err)
		}
		if line.Entries != nil {
			if *line.Entries != len(records) {
				return nil, fmt.Errorf("it holds %d entries and says that they are %d", len(records), *line.Entries)
			}
			state.apply(records)
			return state, nil
		}
		r, err := decode(line.Version, line.Key, line.Value)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
}

// State is the catalog as it is.
func (f *File) State() *State { return f.state.Load() }

// Next gives the state and a channel that is closed when there is a newer one.
func (f *File) Next() (*State, <-chan struct{}) { return f.next() }

// End is the version that the catalog has.
func (f *File) End(context.Context) (int64, error) { return f.State().Version, nil }

// AwaitEnd gives the state: a file is read when it is opened.
func (f *File) AwaitEnd(context.Context) (*State, error) { return f.State(), nil }

// Hanging is nil: a file has no transactions.
func (f *File) Hanging() error { return nil }

// Audit keeps records of what changes nothing in the catalog.
func (f *File) Audit(ctx context.Context, records ...AuditRecord) error {
	switch {
	case len(records) == 0:
		return nil
	case f.o.Audit == nil:
		return errNoAudit
	}
	kept := slices.Clone(records)
	for i := range kept {
		kept[i].Schema, kept[i].At = auditSchema, kept[i].At.UTC()
	}
	return f.o.Audit(ctx, kept)
}

// Update writes what change makes of the catalog as it is. Its error says that nothing
// was written, unless it is ErrUnknownOutcome: then the disk failed when the file was
// in its place and not yet known to stay there.
func (f *File) Update(ctx context.Context, change Change) (*State, error) {
	select {
	case f.writing <- struct{}{}:
		defer func() { <-f.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("write the catalog, behind another change: %w", ctx.Err())
	}
	state := f.State()
	changes, err := change(state)
	if err != nil {
		return nil, err
	}
	encoded, err := changes.encode()
	if err != nil {
		return nil, err
	}
	if len(encoded) == 0 {
		return state, f.Audit(ctx, changes.Audit...)
	}
	version := state.Version
	records := make([]record, len(encoded))
	for i, e := range encoded {
		version++
		if records[i], err = decode(version, e.key, e.value); err != nil {
			return nil, err
		}
	}
	next := state.with(version, records)
	if err := f.Audit(ctx, changes.Audit...); err != nil {
		return nil, fmt.Errorf("keep a record of the change: %w", err)
	}
	if err := f.write(next); err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	f.publish(next)
	return next, nil
}

// write puts the state into the file's place, whole and synced.
func (f *File) write(s *State) error {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	entries := make([]*Entry, 0, len(s.entries))
	for _, e := range s.entries {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *Entry) int { return int(a.Version - b.Version) })
	err := out.Encode(fileHead{fileSchema, s.Version})
	for _, e := range entries {
		value, encoding := e.encode()
		err = errors.Join(err, encoding, out.Encode(fileLine{e.Version, e.Key(), value}))
	}
	if err := errors.Join(err, out.Encode(fileEnd{len(entries)})); err != nil {
		return err
	}
	dir := filepath.Dir(f.path)
	file, err := os.CreateTemp(dir, filepath.Base(f.path)+".*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(b.Bytes())
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return nil
}

// syncDir makes the name of a file as durable as what is in it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
