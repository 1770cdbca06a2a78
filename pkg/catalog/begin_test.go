package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"causeway/pkg/catalog"
)

// This admin's process file does not declare orders, and a newer release wrote the source
// robots: that a subscription reads their topics is not to be seen here. Where it begins
// in them stays all the same, whatever is changed of it.
func TestStartsInTopicsThatAreNotKnownHere(t *testing.T) {
	const (
		uid  = "6a2f6b4e-0000-4000-8000-000000000001"
		text = `{"schema":1,"version":3}
{"version":1,"key":"source/6a2f6b4e-0000-4000-8000-000000000002","value":{"schema":2,"kind":"source","uid":"6a2f6b4e-0000-4000-8000-000000000002","name":"robots","spec":{"provider":["x"]}}}
{"version":2,"key":"source/6a2f6b4e-0000-4000-8000-000000000003","value":{"schema":1,"kind":"source","uid":"6a2f6b4e-0000-4000-8000-000000000003","name":"one","spec":{"name":"one","provider":"stripe"},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}}
{"version":3,"key":"subscription/` + uid + `","value":{"schema":1,"kind":"subscription","uid":"` + uid + `","name":"billing","spec":{"name":"billing","topics":["orders","webhooks.robots","webhooks.one"]},"starts":{"orders":{"offsets":[7]},"webhooks.robots":{"offsets":[8]},"webhooks.one":{"offsets":[9]}},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}}
{"entries":3}
`
	)
	path := filepath.Join(t.TempDir(), "catalog")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*catalog.Entry) error
		want   string
	}{
		"a pause": {
			func(e *catalog.Entry) error { e.Paused = true; return nil },
			"map[orders:{3 [7]} webhooks.one:{3 [9]} webhooks.robots:{3 [8]}]",
		},
		"a topic that is known here is taken out": {
			func(e *catalog.Entry) error {
				return e.SetSpec(catalog.SubscriptionSpec{Name: "billing", Topics: []string{"orders", "webhooks.robots"}})
			},
			"map[orders:{3 [7]} webhooks.robots:{3 [8]}]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := f.State().Entry(catalog.KindSubscription, uid).Copy()
			if err := tc.change(e); err != nil {
				t.Fatal(err)
			}
			checker := catalog.NewChecker(f.State(), catalog.CheckOptions{Options: options()})
			if err := checker.Begin(catalog.Changes{Put: []*catalog.Entry{e}}, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
				t.Errorf("asked where %q end", topics)
				return nil, nil
			}}); err != nil {
				t.Fatal(err)
			}
			want(t, fmt.Sprint(e.Starts), tc.want)
		})
	}
}
