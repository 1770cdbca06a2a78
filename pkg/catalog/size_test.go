package catalog_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// BenchmarkCompile says what 100,000 subscriptions cost: to read, to compile all of
// them, to compile what changed, and in memory.
func BenchmarkCompile(b *testing.B) {
	const n = 100_000
	b.Setenv("CATALOG_TEST", goodSecret)
	path := b.TempDir() + "/catalog"
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
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
			if _, err := catalog.OpenFile(path, catalog.FileOptions{}); err != nil {
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
	b.Run("resident", func(b *testing.B) {
		debug.FreeOSMemory()
		before := resident(b)
		var held [2]any
		for b.Loop() {
			opened, err := catalog.OpenFile(path, catalog.FileOptions{})
			if err != nil {
				b.Fatal(err)
			}
			held = [2]any{opened, catalog.NewCompiler(o).Compile(opened.State())}
			b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB-at-most")
		}
		debug.FreeOSMemory()
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB-after")
		runtime.KeepAlive(held)
	})
}

// resident is the memory of this process, in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkPlan says what a set of 100,000 subscriptions costs: to plan and check when
// all are new, and to plan when one of them changed.
func BenchmarkPlan(b *testing.B) {
	const n = 100_000
	b.Setenv("CATALOG_TEST", goodSecret)
	f, err := catalog.OpenFile(b.TempDir()+"/catalog", catalog.FileOptions{})
	if err != nil {
		b.Fatal(err)
	}
	set := catalog.Set{Name: "all", Prune: true, Sources: []catalog.SourceSpec{source()}}
	for i := range n {
		spec := subscription()
		spec.Name, spec.Tenant, spec.URL = fmt.Sprint("s", i), fmt.Sprint("t", i), fmt.Sprint("https://example.com/", i)
		set.Subscriptions = append(set.Subscriptions, spec)
	}
	empty := f.State()
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			if ch, d := empty.Plan(set, "apply", time.Now()); len(ch.Put) != n+1 || len(d) != n+1 {
				b.Fatal(len(ch.Put), len(d))
			}
		}
	})
	ch, _ := empty.Plan(set, "apply", time.Now())
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			if got := catalog.NewChecker(empty, catalog.CheckOptions{Options: options()}).CheckChanges(ch, catalog.Author{AllReferences: true}); got != nil {
				b.Fatal(got[0])
			}
		}
	})
	state, err := f.Update(b.Context(), func(*catalog.State) (catalog.Changes, error) { return ch, nil })
	if err != nil {
		b.Fatal(err)
	}
	set.Subscriptions[n/2].URL = "https://example.com/changed"
	b.Run("one changed", func(b *testing.B) {
		for b.Loop() {
			if ch, d := state.Plan(set, "apply", time.Now()); len(ch.Put) != 1 || len(d) != 1 {
				b.Fatal(len(ch.Put), d)
			}
		}
	})
}
