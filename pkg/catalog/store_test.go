package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// store is what both kinds of a catalog promise.
type store interface {
	State() *catalog.State
	Next() (*catalog.State, <-chan struct{})
	Update(context.Context, catalog.Change) (*catalog.State, error)
	Audit(context.Context, ...catalog.AuditRecord) error
	End(context.Context) (int64, error)
	AwaitEnd(context.Context) (*catalog.State, error)
}

const (
	catalogTopic = "causeway.catalog"
	auditTopic   = "causeway.audit"
)

// topicIn makes the catalog's topic in a bubble, and gives readers and writers of it.
func topicIn(t *testing.T, b *kafkatest.Bubble) func() *catalog.Topic {
	t.Helper()
	options := b.Options()
	admin, err := kgo.NewClient(options.Base("admin")...)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for topic, partitions := range map[string]int32{catalogTopic: 1, auditTopic: 3} {
		if _, err := kadm.NewClient(admin).CreateTopic(t.Context(), partitions, -1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	return func() *catalog.Topic {
		topic := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Audit: auditTopic, Client: options.Base})
		run(t, topic)
		return topic
	}
}

// run reads the topic until the test ends.
func run(t *testing.T, topic *catalog.Topic) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := topic.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// opened opens a store, what was written once more when it is called again, and
// gives the audit records that were kept.
type opened struct {
	open    func() store
	audited func() []string
}

// Both kinds keep one contract.
func TestStores(t *testing.T) {
	audits := map[string]func(*testing.T, opened){
		"an audit record for each change, and none without": auditedChanges,
		"a change without an audit is not made":             unauditedIsRefused,
		"the end is what was acknowledged":                  endIsReached,
	}
	for name, test := range map[string]func(t *testing.T, open func() store){
		"what was written is read":                     writtenIsRead,
		"a change is all or nothing":                   allOrNothing,
		"a stale change is refused":                    staleIsRefused,
		"names are unique in their room":               namesHaveRooms,
		"what is removed is gone, and its name free":   removedIsGone,
		"versions rise":                                versionsRise,
		"writers at once lose nothing":                 writersAtOnce,
		"a change that changes nothing writes nothing": nothingIsWritten,
	} {
		audits[name] = func(t *testing.T, o opened) { test(t, o.open) }
	}
	for name, test := range audits {
		t.Run("topic: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := kafkatest.NewBubble(t)
				open := topicIn(t, b)
				test(t, opened{func() store { return open() }, func() []string { return auditIn(t, b) }})
			})
		})
		t.Run("file: "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "catalog")
			var kept []string
			o := catalog.FileOptions{Audit: func(_ context.Context, records []catalog.AuditRecord) error {
				for _, r := range records {
					if r.Action == "refused" {
						return errors.New("the disk is full")
					}
					kept = append(kept, r.Who+" "+r.Action+" "+r.Name)
				}
				return nil
			}}
			test(t, opened{
				func() store {
					f, err := catalog.OpenFile(path, o)
					if err != nil {
						t.Fatal(err)
					}
					return f
				},
				func() []string { return slices.Sorted(slices.Values(kept)) },
			})
		})
	}
}

func entry(kind catalog.Kind, tenant, name string) *catalog.Entry {
	return &catalog.Entry{
		Kind: kind, UID: catalog.NewUID(), Name: name, Tenant: tenant, Spec: json.RawMessage(`{"name":"` + name + `"}`),
		Created: time.Unix(1, 0).UTC(), Changed: time.Unix(2, 0).UTC(), By: "test",
	}
}

func put(t *testing.T, s store, entries ...*catalog.Entry) *catalog.State {
	t.Helper()
	state, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) { return catalog.Changes{Put: entries}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// now is the catalog as it is, not as far as the store has read it.
func now(t *testing.T, s store) *catalog.State {
	t.Helper()
	state, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) { return catalog.Changes{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// reached waits until the store has read as far as the state.
func reached(t *testing.T, s store, version int64) *catalog.State {
	t.Helper()
	for {
		state, moved := s.Next()
		if state.Version >= version {
			return state
		}
		<-moved
	}
}

func writtenIsRead(t *testing.T, open func() store) {
	s := open()
	e := entry(catalog.KindSubscription, "acme", "billing")
	e.Set, e.Paused = "team-a", true
	e.Starts = map[string]catalog.Start{"webhooks.stripe": {Offsets: []int64{7, 0, 9}}}
	state := put(t, s, e)
	for what, state := range map[string]*catalog.State{"the writer": state, "a reader": reached(t, open(), state.Version)} {
		got := state.Entry(e.Kind, e.UID)
		if got == nil {
			t.Fatalf("%s: it is not there", what)
		}
		if got.Name != e.Name || got.Tenant != e.Tenant || got.Set != e.Set || !got.Paused || string(got.Spec) != string(e.Spec) || got.By != "test" ||
			!got.Created.Equal(e.Created) || !got.Changed.Equal(e.Changed) {
			t.Errorf("%s: got %+v", what, got)
		}
		if start := got.Starts["webhooks.stripe"]; start.Added != got.Version || !slices.Equal(start.Offsets, []int64{7, 0, 9}) {
			t.Errorf("%s: start %+v in version %d", what, start, got.Version)
		}
		if state.Named(e.Kind, "acme", "billing") != got {
			t.Errorf("%s: it is not found by its name", what)
		}
	}
	// Written on, the version that added the topic stays.
	again := state.Entry(e.Kind, e.UID).Copy()
	again.Paused = false
	first := state.Entry(e.Kind, e.UID).Version
	if got := put(t, s, again).Entry(e.Kind, e.UID); got.Starts["webhooks.stripe"].Added != first || got.Version == first {
		t.Errorf("start %+v in version %d, want it added by %d", got.Starts, got.Version, first)
	}
}

func allOrNothing(t *testing.T, open func() store) {
	s := open()
	refused := errors.New("no")
	_, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Put: []*catalog.Entry{entry(catalog.KindSource, "", "a")}}, refused
	})
	if !errors.Is(err, refused) || s.State().Len() != 0 {
		t.Errorf("err %v, %d entries", err, s.State().Len())
	}
	// Nobody sees a part of a change.
	reader := open()
	const n = 500
	seen := make(chan int, 1000)
	go func() {
		for {
			state, moved := reader.Next()
			seen <- state.Len()
			if state.Len() >= n {
				close(seen)
				return
			}
			<-moved
		}
	}()
	entries := make([]*catalog.Entry, n)
	for i := range entries {
		entries[i] = entry(catalog.KindSubscription, "", fmt.Sprint("s", i))
	}
	put(t, s, entries...)
	if _, isTopic := reader.(*catalog.Topic); !isTopic {
		return // a file has one reader, its writer
	}
	for length := range seen {
		if length != 0 && length != n {
			t.Errorf("a reader saw %d of %d", length, n)
		}
	}
}

func staleIsRefused(t *testing.T, open func() store) {
	s := open()
	e := entry(catalog.KindSource, "", "stripe")
	state := put(t, s, e)
	version := state.Entry(e.Kind, e.UID).Version
	put(t, s, state.Entry(e.Kind, e.UID).Copy())
	for what, tc := range map[string]struct {
		uid     string
		version int64
		fresh   bool
	}{
		"an old version":             {e.UID, version, false},
		"the version that it is in":  {e.UID, s.State().Entry(e.Kind, e.UID).Version, true},
		"any":                        {e.UID, catalog.Any, true},
		"none, and it is there":      {e.UID, catalog.Absent, false},
		"none, and it is not there":  {"other", catalog.Absent, true},
		"any, and it is not there":   {"other", catalog.Any, false},
		"a version of nothing there": {"other", 7, false},
	} {
		if err := s.State().Fresh(e.Kind, tc.uid, tc.version); (err == nil) != tc.fresh || err != nil && !errors.Is(err, catalog.ErrStale) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func namesHaveRooms(t *testing.T, open func() store) {
	s := open()
	a, b := entry(catalog.KindSubscription, "a", "billing"), entry(catalog.KindSubscription, "b", "billing")
	src := entry(catalog.KindSource, "a", "stripe")
	state := put(t, s, a, b, src)
	if state.Named(catalog.KindSubscription, "a", "billing").UID != a.UID || state.Named(catalog.KindSubscription, "b", "billing").UID != b.UID {
		t.Error("two tenants' subscriptions of one name are mixed up")
	}
	if state.Named(catalog.KindSubscription, "", "billing") != nil {
		t.Error("the operator has a subscription that tenants made")
	}
	if got := state.Named(catalog.KindSource, "b", "stripe"); got == nil || got.UID != src.UID {
		t.Error("a source's name is free in another tenant, and is a part of one URL")
	}
}

func removedIsGone(t *testing.T, open func() store) {
	s := open()
	old := entry(catalog.KindSubscription, "", "billing")
	put(t, s, old)
	state, err := s.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Remove: []*catalog.Entry{now.Entry(old.Kind, old.UID)}}, nil
	})
	if err != nil || state.Len() != 0 || state.Named(old.Kind, "", "billing") != nil {
		t.Fatalf("err %v, %d entries", err, state.Len())
	}
	fresh := entry(catalog.KindSubscription, "", "billing")
	state = put(t, s, fresh)
	for _, state := range []*catalog.State{state, reached(t, open(), state.Version)} {
		if got := state.Named(old.Kind, "", "billing"); got == nil || got.UID != fresh.UID || got.UID == old.UID {
			t.Errorf("got %+v", got)
		}
	}
}

func versionsRise(t *testing.T, open func() store) {
	s := open()
	last := s.State().Version
	if last != 0 {
		t.Errorf("an empty catalog has version %d", last)
	}
	for i := range 5 {
		e := entry(catalog.KindSource, "", fmt.Sprint("s", i))
		state := put(t, s, e)
		if got := state.Entry(e.Kind, e.UID).Version; got <= last || state.Version < got {
			t.Errorf("version %d after %d, of a catalog in version %d", got, last, state.Version)
		}
		last = state.Version
	}
}

// count counts in the spec of one entry.
func count(ctx context.Context, s store, uid string) error {
	_, err := s.Update(ctx, func(now *catalog.State) (catalog.Changes, error) {
		e := now.Entry(catalog.KindSource, uid).Copy()
		var n int
		if err := json.Unmarshal(e.Spec, &n); err != nil {
			return catalog.Changes{}, err
		}
		e.Spec = json.RawMessage(fmt.Sprint(n + 1))
		return catalog.Changes{Put: []*catalog.Entry{e}}, nil
	})
	return err
}

func counted(t *testing.T, s *catalog.State, uid string) (n int) {
	t.Helper()
	if err := json.Unmarshal(s.Entry(catalog.KindSource, uid).Spec, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func writersAtOnce(t *testing.T, open func() store) {
	first := open()
	e := entry(catalog.KindSource, "", "counter")
	e.Spec = json.RawMessage("0")
	put(t, first, e)
	writers := []store{first}
	if _, isTopic := first.(*catalog.Topic); isTopic { // else one process has it all
		writers = append(writers, open(), open())
	}
	const each = 5
	var wg sync.WaitGroup
	for i := range 2 * len(writers) {
		wg.Go(func() {
			for range each {
				if err := count(t.Context(), writers[i%len(writers)], e.UID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	last := now(t, first)
	if got, want := counted(t, last, e.UID), 2*len(writers)*each; got != want {
		t.Errorf("counted %d, want %d", got, want)
	}
}

// A process whose reader lags behind must not work its change out from what it has read.
func TestAWriterThatLagsReadsToTheEndFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		first := topicIn(t, b)()
		e := entry(catalog.KindSource, "", "counter")
		e.Spec = json.RawMessage("1")
		put(t, first, e)
		options := b.Options()
		late := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Client: options.Base})
		time.AfterFunc(time.Second, func() { run(t, late) })
		state, err := late.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
			c := now.Entry(e.Kind, e.UID)
			if c == nil {
				return catalog.Changes{}, errors.New("a change was worked out from what was read, not from what is there")
			}
			c = c.Copy()
			c.Spec = json.RawMessage("2")
			return catalog.Changes{Put: []*catalog.Entry{c}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := counted(t, state, e.UID); n != 2 {
			t.Errorf("counted %d", n)
		}
	})
}

func nothingIsWritten(t *testing.T, open func() store) {
	s := open()
	before := put(t, s, entry(catalog.KindSource, "", "a")).Version
	state, err := s.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) { return catalog.Changes{}, nil })
	if err != nil || state.Version != before {
		t.Errorf("err %v, version %d after %d", err, state.Version, before)
	}
}

// A damaged file is refused, at every length that it can be cut to.
func TestADamagedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, entry(catalog.KindSource, "", "a"), entry(catalog.KindSource, "", "b"))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 1 { // without its last line break it is whole
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := catalog.OpenFile(path, catalog.FileOptions{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What a later release wrote is kept: whole entries and kinds that cannot be read, and
// fields that are not known, at both levels.
func TestALaterReleasesEntriesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	const text = `{"schema":1,"version":5}
{"version":1,"key":"source/u1","value":{"schema":1,"kind":"source","uid":"u1","name":"a","mood":"good","spec":{"name":"a","provider":"stripe","colour":"red"},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}}
{"version":2,"key":"source/u2","value":{"schema":2,"shape":"round"}}
{"version":3,"key":"robot/r1","value":{"schema":1,"arms":2}}
{"entries":3}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := f.State().Entry(catalog.KindSource, "u1").Copy()
	spec, err := e.Source()
	if err != nil {
		t.Fatal(err)
	}
	spec.Provider = "github"
	if err := e.SetSpec(spec); err != nil {
		t.Fatal(err)
	}
	put(t, f, e)
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"mood":"good"`, `"colour":"red"`, `"provider":"github"`, `{"schema":2,"shape":"round"}`, `{"schema":1,"arms":2}`} {
		if !strings.Contains(string(written), want) {
			t.Errorf("%s is gone from\n%s", want, written)
		}
	}
	if err := catalog.NewCompiler(options()).Compile(f.State()).Newer; err == nil || !strings.Contains(err.Error(), `source "u2"`) {
		t.Errorf("the snapshot says %v of what cannot be read", err)
	}
	newer := f.State().Entry(catalog.KindSource, "u2")
	if newer == nil || !newer.Newer() {
		t.Fatalf("got %+v", newer)
	}
	if _, err := f.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Put: []*catalog.Entry{newer.Copy()}}, nil
	}); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("it was changed: %v", err)
	}
}
