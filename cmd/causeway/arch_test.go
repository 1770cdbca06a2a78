package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "causeway/"
	maxLines = 500
)

// places lists the packages from the bottom up: one may import only what stands before it.
// A folder stands for everything in it that has no line of its own.
func places() []string {
	return []string{
		"schemas",
		"pkg/deadline", "pkg/limit", "pkg/secret", "pkg/seen", "pkg/health", "pkg/outbound", "pkg/signature", "pkg/provider", "pkg/catalog", "pkg/cursor",
		"pkg/registry", "pkg/tracing", "pkg/kafka", "pkg/history", "pkg/admin", "pkg/dashboard",
		"ingress", "egress",
		"cmd",
	}
}

// source is one Go file of ours.
type source struct {
	name  string // from the module's root
	dir   string
	test  bool
	lines int
	file  *ast.File // imports and comments only
}

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root := moduleRoot(t)
	var found []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "causeway-data") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		found = append(found, source{rel, path.Dir(rel), strings.HasSuffix(rel, "_test.go"), bytes.Count(text, []byte("\n")), parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// moduleRoot walks up to go.mod.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// place is the index in places of the longest entry that holds dir, or -1.
func place(dir string) int {
	all := places()
	for ; dir != "."; dir = path.Dir(dir) {
		if i := slices.Index(all, dir); i >= 0 {
			return i
		}
	}
	return -1
}

// mayImport says whether a file in from may import the package in to.
func mayImport(from, to string) bool {
	within := func(dir, house string) bool { return dir == house || strings.HasPrefix(dir, house+"/") }
	switch {
	case place(from) < 0 || place(to) < 0:
		return false // a folder that the design doesn't know
	case within(from, "ingress") && within(to, "egress"), within(from, "egress") && within(to, "ingress"):
		return false // they meet only in Kafka
	case from == "pkg/kafka/kafkatest" && to == "pkg/kafka":
		return true // deliberate: test code by another name, which hands out client options; lint keeps it in tests
	case strings.HasPrefix(from, to+"/"):
		return false // a part never imports its parent
	case place(from) == place(to) && within(from, "cmd"):
		return false // programs share nothing
	default:
		return place(to) <= place(from)
	}
}

func TestImportsPointDown(t *testing.T) {
	looked := 0
	for _, src := range sources(t) {
		if src.test {
			continue // bridge_test.go sees both halves
		}
		for _, im := range src.file.Imports {
			name, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			to, ours := strings.CutPrefix(name, module)
			if !ours {
				continue
			}
			looked++
			if !mayImport(src.dir, to) {
				t.Errorf("%s must not import %s", src.name, to)
			}
		}
	}
	if looked == 0 {
		t.Fatal("no import of ours was looked at: the walk started in the wrong place")
	}
}

func TestTheImportRuleItself(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		want     bool
	}{
		"a house uses its parts":              {"ingress", "ingress/dedup", true},
		"a part never its parent":             {"ingress/dedup", "ingress", false},
		"a part may use a part beside it":     {"egress/retry", "egress/target", true},
		"ingress never egress":                {"ingress", "egress/retry", false},
		"egress never ingress":                {"egress/gate", "ingress", false},
		"pkg never a house":                   {"pkg/kafka", "egress", false},
		"but for kafkatest":                   {"pkg/kafka/kafkatest", "pkg/kafka", true},
		"which is no way up":                  {"pkg/kafka/kafkatest", "egress", false},
		"schemas nothing":                     {"schemas", "pkg/secret", false},
		"later in pkg uses earlier":           {"pkg/catalog", "pkg/provider", true},
		"earlier in pkg never later":          {"pkg/provider", "pkg/catalog", false},
		"cmd uses everything":                 {"cmd/causeway", "pkg/kafka/embedded", true},
		"programs share nothing":              {"cmd/bench", "cmd/causeway", false},
		"an unknown folder is used by nobody": {"ingress", "pkg/util", false},
		"an unknown folder uses nothing":      {"pkg/util", "schemas", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mayImport(tc.from, tc.to); got != tc.want {
				t.Errorf("mayImport(%q, %q) = %v, want %v", tc.from, tc.to, got, tc.want)
			}
		})
	}
}

func TestEachPackageSaysWhatItIsOnce(t *testing.T) {
	docs := map[string]int{}
	for _, src := range sources(t) {
		if src.test {
			continue
		}
		if src.file.Doc != nil {
			docs[src.dir]++
		} else {
			docs[src.dir] += 0
		}
	}
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package comments, want one", dir, n)
		}
	}
}

func TestNoFileIsTooLongToRead(t *testing.T) {
	for _, src := range sources(t) {
		if src.lines > maxLines {
			t.Errorf("%s has %d lines; it holds more than one idea (at most %d)", src.name, src.lines, maxLines)
		}
	}
}
