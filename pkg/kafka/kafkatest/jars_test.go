package kafkatest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerifyAcceptsOnlyWhatIsPinned(t *testing.T) {
	first, _, _ := strings.Cut(pins, "\n")
	_, name, _ := strings.Cut(first, "  ")
	for about, tc := range map[string]struct{ file, want string }{
		"a jar with other content":  {name, "pinned is"},
		"a file that is no jar":     {"extra.jar", "pinned is"},
		"an empty folder":           {"", "is missing"},
		"a jar's name in a subpath": {"lib-" + name, "pinned is"},
	} {
		t.Run(about, func(t *testing.T) {
			dir := t.TempDir()
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(dir, tc.file), []byte("not it"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := verify(dir); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("verify = %v, want %q in it", err, tc.want)
			}
		})
	}
}
