package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind is what an entry of the catalog describes, and the first part of its key.
type Kind string

// The kinds that this release knows. Others are a later one's: they are kept, and
// nothing is done with them.
const (
	KindSource       Kind = "source"
	KindSubscription Kind = "subscription"
	KindTenant       Kind = "tenant"
	KindKey          Kind = "key"
	KindOrphan       Kind = "orphan"
)

// entrySchema is the newest form of an entry that this release reads and writes.
const entrySchema = 1

// Entry is what the catalog holds about one thing that people want, together with
// what only causeway adds to it. An Entry in a State is never changed.
type Entry struct {
	Kind   Kind
	UID    string // a UUID that is never used again; a tenant's, key's or orphan's own name
	Name   string
	Tenant string // who owns it; "": the operator
	Set    string // the set of causeway apply that it belongs to; "": none
	Spec   json.RawMessage
	Paused bool
	// Starts says where a subscription begins in each of its topics, and a source's
	// topic for those that match it by prefix*. Nothing below is ever delivered.
	Starts map[string]Start
	// Retire says of texts in the spec's secrets when they end: until then they count
	// beside the others, so that both sides of a rotation have time. The first secret
	// never retires.
	Retire  map[string]time.Time
	Created time.Time
	Changed time.Time
	By      string // who changed it last: the id of a key, or "apply", "dev"

	// Version is the version of the catalog that made this form of the entry: the offset
	// behind its record.
	Version int64

	newer   bool                       // its schema or kind is a later release's
	later   bool                       // its schema is
	raw     []byte                     // of a newer one, as it was read
	unknown map[string]json.RawMessage // fields that this release does not know
}

// Start is where a subscription begins in one topic.
type Start struct {
	// Added is the version of the catalog that added the topic; 0 in a record that is
	// written with the entry itself: then it is the record's own version.
	Added int64 `json:"added,omitempty"`
	// Offsets are the first ones, by partition; 0 for partitions that came later.
	Offsets []int64 `json:"offsets,omitempty"`
}

// entryRecord is an entry as its record's value has it.
type entryRecord struct {
	Schema  int                  `json:"schema"`
	Kind    Kind                 `json:"kind"`
	UID     string               `json:"uid"`
	Name    string               `json:"name"`
	Tenant  string               `json:"tenant,omitempty"`
	Set     string               `json:"set,omitempty"`
	Paused  bool                 `json:"paused,omitempty"`
	Spec    json.RawMessage      `json:"spec,omitempty"`
	Starts  map[string]Start     `json:"starts,omitempty"`
	Retire  map[string]time.Time `json:"retire,omitempty"`
	Created time.Time            `json:"created"`
	Changed time.Time            `json:"changed"`
	By      string               `json:"by,omitempty"`
}

// Key is the key of the entry's record.
func (e *Entry) Key() string { return EntryKey(e.Kind, e.UID) }

// EntryKey is the key of an entry's record.
func EntryKey(kind Kind, uid string) string { return string(kind) + "/" + uid }

// Newer says that a later release wrote the entry in a form that this one cannot
// read. It is held as it is: it cannot be changed or used here. Only its name and owner
// are known, if they can be told.
func (e *Entry) Newer() bool { return e.newer }

// NewUID makes the uid of a new entry. One is never used twice, so that what was
// parked for an entry that is gone never reaches another of the same name.
func NewUID() string { return uuid.NewString() }

// encode gives the value of the entry's record, with the fields of a later release
// that were read with it.
func (e *Entry) encode() ([]byte, error) {
	if e.newer {
		return e.raw, nil
	}
	known, err := json.Marshal(entryRecord{
		Schema: entrySchema, Kind: e.Kind, UID: e.UID, Name: e.Name, Tenant: e.Tenant, Set: e.Set, Paused: e.Paused,
		Spec: e.Spec, Starts: e.Starts, Retire: e.Retire, Created: e.Created.UTC(), Changed: e.Changed.UTC(), By: e.By,
	})
	if err != nil || len(e.unknown) == 0 {
		return known, err
	}
	fields := maps.Clone(e.unknown)
	if err := json.Unmarshal(known, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// errEntry is a record of the catalog that is none.
var errEntry = errors.New("not a record of the catalog")

// decodeEntry reads a record's value. What a later release wrote comes back as
// Newer; what nobody wrote is an error.
func decodeEntry(key string, value []byte) (*Entry, error) {
	kind, uid, ok := strings.Cut(key, "/")
	if !ok || kind == "" || uid == "" {
		return nil, fmt.Errorf("%w: key %.80q", errEntry, key)
	}
	e := &Entry{Kind: Kind(kind), UID: uid}
	r, ok := plainRecord(value)
	if !ok || r.Schema != entrySchema || !slices.Contains(kinds(), e.Kind) {
		var err error
		if r, err = e.readOther(value); err != nil || e.newer {
			return e, err
		}
	}
	if r.Kind != e.Kind || r.UID != uid {
		return nil, fmt.Errorf("%w: %s holds %s", errEntry, key, EntryKey(r.Kind, r.UID))
	}
	e.Name, e.Tenant, e.Set, e.Paused, e.Spec, e.Starts, e.Retire = r.Name, r.Tenant, r.Set, r.Paused, r.Spec, r.Starts, r.Retire
	e.Created, e.Changed, e.By = r.Created, r.Changed, r.By
	return e, nil
}

// plainRecord reads what this release wrote, in one go; nearly all records are that.
func plainRecord(value []byte) (r entryRecord, ok bool) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil {
		return entryRecord{}, false
	}
	return r, int(d.InputOffset()) == len(value)
}

// readOther reads what holds more than this release knows, and says what is wrong
// with what nobody wrote.
func (e *Entry) readOther(value []byte) (r entryRecord, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(value, &fields); err != nil {
		return r, fmt.Errorf("%w: %s: %w", errEntry, e.Key(), err)
	}
	var schema int
	if err := json.Unmarshal(fields["schema"], &schema); err != nil || schema < 1 {
		return r, fmt.Errorf("%w: %s names no schema", errEntry, e.Key())
	}
	if schema > entrySchema || !slices.Contains(kinds(), e.Kind) {
		e.newer, e.later, e.raw = true, schema > entrySchema, bytes.Clone(value)
		e.title(fields)
		return r, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("%w: %s: %w", errEntry, e.Key(), err)
	}
	for name := range jsonFields(reflect.TypeFor[entryRecord]()) {
		delete(fields, name)
	}
	if len(fields) > 0 {
		e.unknown = fields
	}
	return r, nil
}

// title takes from what a later release wrote whose it is and what it is named, where
// these still stand where they do today: nobody is to make another of that name.
func (e *Entry) title(fields map[string]json.RawMessage) {
	if e.Kind == KindTenant || e.Kind == KindKey {
		e.Name = e.UID
		return
	}
	var name, tenant string
	if json.Unmarshal(fields["name"], &name) != nil || fields["tenant"] != nil && json.Unmarshal(fields["tenant"], &tenant) != nil {
		return
	}
	e.Name, e.Tenant = name, tenant
}

func kinds() []Kind {
	return []Kind{KindSource, KindSubscription, KindTenant, KindKey, KindOrphan}
}

// Copy gives an Entry that may be changed and written.
func (e *Entry) Copy() *Entry {
	c := *e
	c.Starts = maps.Clone(e.Starts)
	c.Retire = maps.Clone(e.Retire)
	c.unknown = maps.Clone(e.unknown)
	return &c
}

// SetSpec replaces the spec by one of this release's types, and keeps what a later
// release had written into it beside the fields that this one knows.
func (e *Entry) SetSpec(spec any) error {
	known, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("write the spec of %s %q: %w", e.Kind, e.Name, err)
	}
	if len(e.Spec) == 0 {
		e.Spec = known
		return nil
	}
	var before map[string]json.RawMessage
	if err := json.Unmarshal(e.Spec, &before); err != nil {
		return fmt.Errorf("read the spec of %s %q: %w", e.Kind, e.Name, err)
	}
	for name := range jsonFields(reflect.TypeOf(spec)) {
		delete(before, name)
	}
	if len(before) == 0 {
		e.Spec = known
		return nil
	}
	if err := json.Unmarshal(known, &before); err != nil {
		return fmt.Errorf("write the spec of %s %q: %w", e.Kind, e.Name, err)
	}
	e.Spec, err = json.Marshal(before)
	return err
}

// Source reads the spec of a source.
func (e *Entry) Source() (SourceSpec, error) { return readSpec[SourceSpec](e) }

// Subscription reads the spec of a subscription.
func (e *Entry) Subscription() (SubscriptionSpec, error) { return readSpec[SubscriptionSpec](e) }

// Orphan reads the spec of an orphan.
func (e *Entry) Orphan() (OrphanSpec, error) { return readSpec[OrphanSpec](e) }

func readSpec[T any](e *Entry) (T, error) {
	var spec T
	if e.newer {
		return spec, fmt.Errorf("%s: a newer release wrote it: update this one to use it", e.Key())
	}
	if err := json.Unmarshal(e.Spec, &spec); err != nil {
		return spec, fmt.Errorf("%s: read its spec: %w", e.Key(), err)
	}
	return spec, nil
}

// jsonFields are the names of a struct's fields in JSON, those of embedded structs too.
func jsonFields(t reflect.Type) map[string]bool {
	names := map[string]bool{}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return names
	}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			names[name] = true
		}
	}
	return names
}
