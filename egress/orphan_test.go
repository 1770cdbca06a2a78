package egress

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
	"causeway/schemas"
)

// A source goes while its topic is full and nobody delivers, and comes back: a tenant's
// subscription by pattern, which nothing keeps from losing it, gets each event once, what
// came before as well as what came after.
func TestWhatASourceLeftIsDelivered(t *testing.T) {
	for _, back := range []bool{false, true} {
		inBubble(t, always(200), nil, func(t *testing.T, b *bed) {
			t.Setenv("ORPHAN_TEST", testSecret)
			f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
			if err != nil {
				t.Fatal(err)
			}
			o := catalog.Options{Resolver: secret.NewResolver(), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"}, AllowHTTP: true}
			compiler := catalog.NewCompiler(o)
			s := newShelf(0, nil)
			change := func(put, remove []*catalog.Entry) {
				state, err := f.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
					checker := catalog.NewChecker(now, catalog.CheckOptions{Options: o})
					ch, refusals, err := checker.Orphans(catalog.Changes{Put: put, Remove: remove}, "test", time.Now(), func([]string) map[string]bool { return nil })
					if len(refusals) > 0 {
						t.Fatalf("%+v", refusals)
					}
					if err != nil {
						return ch, err
					}
					return ch, checker.Begin(ch, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
						ends := map[string][]int64{}
						for _, topic := range topics {
							ends[topic] = []int64{int64(len(b.read(topic)))}
						}
						return ends, nil
					}})
				})
				if err != nil {
					t.Fatal(err)
				}
				s.show(compiler.Compile(state))
			}
			entry := func(kind catalog.Kind, owner, name, rest string) *catalog.Entry {
				e := &catalog.Entry{Kind: kind, UID: catalog.NewUID(), Tenant: owner, Name: name, Spec: []byte(`{"name":"` + name + `"` + rest + `}`)}
				if kind == catalog.KindTenant {
					e.UID = name
				}
				return e
			}
			const shop = `,"provider":"stripe","secrets":["env:ORPHAN_TEST"],"topic":"` + testTopic + `"`
			change([]*catalog.Entry{entry(catalog.KindTenant, "", "acme", "")}, nil)
			source := entry(catalog.KindSource, "acme", "shop", shop)
			change([]*catalog.Entry{entry(catalog.KindSubscription, "acme", "a", `,"topics":["webhooks.*"],"url":"http://127.0.0.1:8080/a","secrets":["env:ORPHAN_TEST"]`)}, nil)
			change([]*catalog.Entry{source}, nil) // later: the subscription has no start of its own in the topic
			for _, sub := range s.snapshot.Subscriptions {
				if sub.Fault != nil {
					t.Fatal(sub.Fault)
				}
			}
			b.by(s)
			publish := func(ids ...string) {
				for _, id := range ids {
					b.publish(schemas.Event{ID: id, Tenant: "acme"})
				}
			}
			publish("evt-0")
			stop := b.start()
			time.Sleep(soon)
			b.halt(stop)
			publish("evt-1", "evt-2")
			change(nil, []*catalog.Entry{f.State().Entry(catalog.KindSource, source.UID)})
			ids := []string{"evt-0", "evt-1", "evt-2"}
			if back {
				change([]*catalog.Entry{entry(catalog.KindSource, "acme", "shop", shop)}, nil)
				publish("evt-3")
				ids = append(ids, "evt-3")
			}
			stop = b.start()
			time.Sleep(soon)
			b.halt(stop)
			var came []string
			for _, id := range ids {
				came = append(came, slices.Repeat([]string{id}, len(b.sink.of("a", id)))...)
			}
			if !slices.Equal(came, ids) {
				t.Errorf("back %t: came %s, want %s", back, strings.Join(came, " "), strings.Join(ids, " "))
			}
		})
	}
}
