package catalog_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// BenchmarkCompile says what 100,000 subscriptions cost: to read, to compile all of
// them, and to compile what changed.
func BenchmarkCompile(b *testing.B) {
	const n = 100_000
	b.Setenv("CATALOG_TEST", goodSecret)
	path := b.TempDir() + "/catalog"
	f, err := catalog.OpenFile(path)
	if err != nil {
		b.Fatal(err)
	}
	src := entry(catalog.KindSource, "", "stripe")
	src.Spec = json.RawMessage(`{"name":"stripe","provider":"stripe","secrets":["env:CATALOG_TEST"]}`)
	entries := []*catalog.Entry{src}
	for i := range n {
		e := entry(catalog.KindSubscription, "", fmt.Sprint("s", i))
		e.Spec = fmt.Appendf(nil, `{"name":"s%d","topics":["webhooks.stripe"],"tenant":"t%d","url":"https://example.com/%d","secrets":["env:CATALOG_TEST"]}`, i, i, i)
		entries = append(entries, e)
	}
	state, err := f.Update(b.Context(), func(*catalog.State) (catalog.Changes, error) { return catalog.Changes{Put: entries}, nil })
	if err != nil {
		b.Fatal(err)
	}
	o := options()
	o.Resolver = secret.NewResolver()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := catalog.OpenFile(path); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if got := catalog.NewCompiler(o).Compile(state); len(got.Subscriptions) != n || got.Subscriptions[0].Fault != nil {
				b.Fatal(got.Subscriptions[0].Fault)
			}
		}
	})
	b.Run("after a change", func(b *testing.B) {
		c := catalog.NewCompiler(o)
		c.Compile(state)
		for b.Loop() {
			c.Compile(state)
		}
	})
}
