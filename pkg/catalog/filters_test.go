package catalog

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Filters are looked at for each event: one tenant's must not cost the others much.
func TestFiltersAreFew(t *testing.T) {
	spec := SubscriptionSpec{Name: "probe", URL: "https://probe.example.com/", Sources: []string{"github"}}
	for n, want := range map[int]bool{mostFilters: true, mostFilters + 1: false} {
		spec.Types = slices.Repeat([]string{"push"}, n)
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		e := &Entry{Kind: KindSubscription, UID: NewUID(), Name: spec.Name, Spec: text}
		fine := true
		for _, f := range NewChecker(emptyState(), CheckOptions{}).Check(e, Author{}) {
			fine = fine && (len(f.Path) == 0 || f.Path[0] != "types" || !strings.Contains(f.Text, "at most 1000"))
		}
		if fine != want {
			t.Errorf("%d types are fine: %v", n, fine)
		}
	}
	sub := (&builder{}).at("subscription").subscription(spec, newKnown(nil, nil, nil))
	if len(sub.Types) != 1 || len(sub.Sources) != 1 {
		t.Errorf("compiled with %d types, %d sources", len(sub.Types), len(sub.Sources))
	}
}
