package outbound

import (
	"os"
	"strings"
	"testing"
)

// docs/security.md lists every class and every network, in the right table.
func TestTheDocsNameEveryNetwork(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	unless, whatever, found := strings.Cut(string(page), "Refused whatever the settings say")
	if _, unless, _ = strings.Cut(unless, "Refused unless"); !found || unless == "" {
		t.Fatal("docs/security.md has lost its two tables")
	}
	whatever, _, _ = strings.Cut(whatever, "A refusal is no fault")
	for _, n := range networks() {
		table, name := unless, "the table of what a setting allows"
		if n.never {
			table, name = whatever, "the table of what no setting allows"
		}
		prefix := n.prefix.String()
		if n.prefix.IsSingleIP() {
			prefix = n.prefix.Addr().String()
		}
		if !strings.Contains(table, "`"+prefix+"`") || !strings.Contains(table, n.name) {
			t.Errorf("%s does not hold %s as %s", name, prefix, n.name)
		}
	}
}
