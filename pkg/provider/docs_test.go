package provider

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"causeway/pkg/secret"
)

// What docs/sources shows can be written into the file as it stands, and every
// provider has a place there.
func TestTheSourcesInTheDocsAreGood(t *testing.T) {
	pages, err := filepath.Glob("../../docs/sources/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	type source struct {
		Name, Provider string
		Secrets        []string
		Settings
	}
	seen := map[string]bool{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fenced(string(text), "yaml") {
			if !strings.HasPrefix(block, "ingress:") {
				block = "ingress:\n  sources:\n    - name: stripe\n      provider: stripe\n      secrets: [env:A]\n" + block
			}
			converted, err := yaml.YAMLToJSON([]byte(block))
			if err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block)
				continue
			}
			var file struct{ Ingress struct{ Sources []source } }
			d := json.NewDecoder(bytes.NewReader(converted))
			d.DisallowUnknownFields()
			if err := d.Decode(&file); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block)
			}
			for _, s := range file.Ingress.Sources {
				seen[s.Provider] = true
				if _, err := New(s.Provider, s.Settings); err != nil {
					t.Errorf("%s: source %s: %v", page, s.Name, err)
				}
				for _, ref := range s.Secrets {
					if _, err := secret.ParseRef(ref); err != nil {
						t.Errorf("%s: source %s: %v", page, s.Name, err)
					}
				}
			}
		}
	}
	for _, name := range Names() {
		if !seen[name] {
			t.Errorf("no page shows a source of provider %s", name)
		}
		if index, err := os.ReadFile("../../docs/sources/README.md"); err != nil || !strings.Contains(string(index), "[`"+name+"`]") {
			t.Errorf("the index does not name %s", name)
		}
	}
}

// fenced gives the code blocks of a language.
func fenced(text, language string) []string {
	var blocks []string
	for i, part := range strings.Split(text, "```") {
		if body, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			blocks = append(blocks, body)
		}
	}
	return blocks
}
