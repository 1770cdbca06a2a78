package schemas

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guide is the page that tells consumers what this package writes.
func guide(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "consuming.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestGuideNamesEveryHeader(t *testing.T) {
	page := guide(t)
	d := deadDelivery(t)
	d.Due, d.Hops, d.Waits = d.First, []string{"5s"}, 1
	for _, h := range d.DLQRecord("causeway.dlq").Headers {
		if strings.HasPrefix(h.Key, "x-") {
			continue // the provider's
		}
		if !strings.Contains(page, "`"+h.Key+"`") {
			t.Errorf("docs/consuming.md does not name the header %s", h.Key)
		}
	}
	for _, reason := range Reasons() {
		if !strings.Contains(page, "`"+string(reason)+"`") {
			t.Errorf("docs/consuming.md does not name the reason %s", reason)
		}
	}
}

func TestGuidesProgramCompiles(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(guide(t), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/consuming.md has no Go program")
	}
	for _, block := range blocks {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(block[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("go vet: %v\n%s", err, out)
		}
	}
}
