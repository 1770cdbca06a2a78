package admin

import (
	"slices"
	"testing"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

func TestAProcessAppliesItsOwnFile(t *testing.T) {
	t.Setenv("ANY_NAME", "a secret of the process file's")
	w := newWorld(t)
	in := ApplyInput{Set: "dev", Prune: true, Sources: []catalog.SourceSpec{{Name: "orders", Provider: "github", Secrets: []string{"env:ANY_NAME"}}}}
	w.refusal(422, "invalid", "POST", "/apply", "", in) // which a request may not name
	done, err := w.Apply(t.Context(), "dev", in)
	if err != nil || len(done.Differences) != 1 {
		t.Fatalf("applied %+v, %v", done, err)
	}
	if w.audit[0].Who != "dev" || w.audit[0].Set != "dev" || w.audit[0].Action != "source.create" {
		t.Errorf("audited %+v", w.audit)
	}
	if _, err := w.Apply(t.Context(), "dev", ApplyInput{Set: "dev", Sources: []catalog.SourceSpec{{Name: "Bad Name"}}}); !isCode(err, "invalid") {
		t.Errorf("a bad file: %v", err)
	}
}

func TestAProcessAdoptsItsKey(t *testing.T) {
	w := newWorld(t)
	key := GenerateKey()
	for range 2 {
		if err := w.Adopt(t.Context(), "dev", key, "of a test"); err != nil {
			t.Fatal(err)
		}
	}
	must[Page[Key]](w, 200, "GET", "/keys", string(key.Reveal()), nil)
	if got := w.actions(); !slices.Equal(got, []string{"key.create"}) {
		t.Errorf("audited %q", got)
	}
	if err := w.Adopt(t.Context(), "dev", secret.New([]byte("hunter2")), ""); err == nil {
		t.Error("adopted what is no key")
	}
}
