package egress

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
	"causeway/schemas"
)

// written is a bed with a catalog that is written and compiled as in a process.
type written struct {
	*bed
	file     *catalog.File
	options  catalog.Options
	compiler *catalog.Compiler
	shelf    *shelf
}

const (
	shopSpec = `,"provider":"stripe","secrets":["env:ORPHAN_TEST"],"topic":"` + testTopic + `"`
	anySpec  = `,"topics":["webhooks.*"],"url":"http://127.0.0.1:8080/NAME","secrets":["env:ORPHAN_TEST"]`
)

func (b *bed) written() *written {
	b.t.Helper()
	b.t.Setenv("ORPHAN_TEST", testSecret)
	f, err := catalog.OpenFile(filepath.Join(b.t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	o := catalog.Options{Resolver: secret.NewResolver(), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"}, AllowHTTP: true}
	w := &written{bed: b, file: f, options: o, compiler: catalog.NewCompiler(o), shelf: newShelf(0, nil)}
	w.by(w.shelf)
	w.put(catalog.KindTenant, "", "acme", "")
	return w
}

// change makes a change as the API does, and shows what comes of it.
func (w *written) change(ch catalog.Changes) {
	w.t.Helper()
	state, err := w.file.Update(w.t.Context(), func(now *catalog.State) (catalog.Changes, error) {
		checker := catalog.NewChecker(now, catalog.CheckOptions{Options: w.options})
		whole, refusals := checker.Orphans(ch, "test", time.Now(), func(map[string]int64) map[string]bool { return nil })
		if len(refusals) > 0 {
			w.t.Fatalf("%+v", refusals)
		}
		return whole, checker.Begin(whole, catalog.Logs{Ends: func([]string) (map[string][]int64, error) {
			end, err := kadm.NewClient(w.client).ListEndOffsets(w.t.Context(), testTopic)
			at, _ := end.Lookup(testTopic, 0)
			return map[string][]int64{testTopic: {at.Offset}}, err
		}})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.shelf.show(w.compiler.Compile(state))
	for _, sub := range w.shelf.snapshot.Subscriptions {
		if sub.Fault != nil {
			w.t.Fatal(sub.Fault)
		}
	}
}

func (w *written) put(kind catalog.Kind, owner, name, rest string) {
	w.t.Helper()
	e := &catalog.Entry{Kind: kind, UID: catalog.NewUID(), Tenant: owner, Name: name, Spec: []byte(`{"name":"` + name + `"` + strings.ReplaceAll(rest, "NAME", name) + `}`)}
	if kind == catalog.KindTenant {
		e.UID = name
	}
	w.change(catalog.Changes{Put: []*catalog.Entry{e}})
}

func (w *written) remove(source string) {
	w.t.Helper()
	w.change(catalog.Changes{Remove: []*catalog.Entry{w.file.State().Named(catalog.KindSource, "", source)}})
}

func (w *written) events(ids ...string) {
	for _, id := range ids {
		w.publish(schemas.Event{ID: id, Tenant: "acme"})
	}
}

// came checks that of these events each came once to the path.
func (w *written) came(path string, ids ...string) {
	w.t.Helper()
	var came []string
	for _, id := range ids {
		came = append(came, slices.Repeat([]string{id}, len(w.sink.of(path, id)))...)
	}
	if !slices.Equal(came, ids) {
		w.t.Errorf("%s got %q, want %q", path, came, ids)
	}
}

// deliver runs egress for a while.
func (w *written) deliver() {
	w.t.Helper()
	stop := w.start()
	time.Sleep(soon)
	w.halt(stop)
}

// A source goes while its topic is full and nobody delivers, and comes back: a tenant's
// subscription by pattern, which nothing keeps from losing it, gets each event once, what
// came before as well as what came after.
func TestWhatASourceLeftIsDelivered(t *testing.T) {
	for _, back := range []bool{false, true} {
		inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
			w := b.written()
			w.put(catalog.KindSubscription, "acme", "a", anySpec)
			w.put(catalog.KindSource, "acme", "shop", shopSpec) // later: the subscription has no start of its own in the topic
			w.events("evt-0")
			w.deliver()
			w.events("evt-1", "evt-2")
			w.remove("shop")
			ids := []string{"evt-0", "evt-1", "evt-2"}
			if back {
				w.put(catalog.KindSource, "acme", "shop", shopSpec)
				w.events("evt-3")
				ids = append(ids, "evt-3")
			}
			w.deliver()
			w.came("a", ids...)
		})
	}
}

// A source goes, its topic is deleted while egress does not run, and both come back:
// where subscriptions began in the old log says nothing about the new one.
func TestASourceComesBackToATopicThatWasDeleted(t *testing.T) {
	inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
		w := b.written()
		w.put(catalog.KindSubscription, "acme", "a", anySpec)
		w.events("old-0", "old-1", "old-2")
		w.put(catalog.KindSource, "acme", "shop", shopSpec) // begins at 3
		w.events("old-3")
		w.deliver()
		w.came("a", "old-3")
		w.remove("shop")
		w.put(catalog.KindSubscription, "acme", "b", anySpec) // begins at 4, its own
		adm := kadm.NewClient(w.client)
		if _, err := adm.DeleteTopics(t.Context(), testTopic); err != nil {
			t.Fatal(err)
		}
		var commits kadm.TopicsSet
		commits.Add(testTopic, 0)
		if _, err := adm.DeleteOffsets(t.Context(), "causeway.egress", commits); err != nil { // as brokers do with the topic
			t.Fatal(err)
		}
		w.client.PurgeTopicsFromClient(testTopic)
		plan := kafka.Plan(kafka.PlanOptions{Embedded: true, Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: testTopic}}})
		if _, err := kafka.Ensure(t.Context(), w.client, plan); err != nil {
			t.Fatal(err)
		}
		w.put(catalog.KindSource, "acme", "shop", shopSpec)
		ids := []string{"new-0", "new-1", "new-2", "new-3", "new-4"}
		w.events(ids...)
		w.deliver()
		w.came("a", ids...)
		w.came("b", ids...)
	})
}
