package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// apiPage is the page that people read, whose tables have to be those of the code.
func apiPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rows are the rows of the page's table that begins with this head.
func rows(t *testing.T, page, head string) [][]string {
	t.Helper()
	_, table, ok := strings.Cut(page, "\n"+head)
	if !ok {
		t.Fatalf("docs/api.md has no table %q", head)
	}
	var all [][]string
	for i, line := range strings.Split(table, "\n")[1:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i == 0 {
			continue // the line under the head
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

func TestPageOfRights(t *testing.T) {
	roles := []string{"viewer", "operator", "editor", "payloads", "admin"}
	table, seen := rightsOf(), map[right]bool{}
	if got := slices.Sorted(maps.Keys(table)); !slices.Equal(got, slices.Sorted(slices.Values(roles))) {
		t.Errorf("the roles are %q: docs/api.md needs them all", got)
	}
	for _, row := range rows(t, apiPage(t), "| right | viewer | operator | editor | payloads | admin |") {
		r := right(strings.Trim(row[0], "`"))
		seen[r] = true
		for i, role := range roles {
			if has := slices.Contains(table[role], r); has != (row[1+i] == "yes") {
				t.Errorf("docs/api.md: %s of %s is %q, and it is %v", r, role, row[1+i], has)
			}
		}
	}
	for _, r := range table["admin"] {
		if !seen[r] {
			t.Errorf("docs/api.md does not have the right %s", r)
		}
	}
}

// TestPageOfOperations holds the page's operations against those that there are: what
// each needs, and whether it is the operator's alone.
func TestPageOfOperations(t *testing.T) {
	type needs struct {
		rights   string
		operator bool
	}
	want := map[string]needs{}
	about := regexp.MustCompile(`^Needs the right ([a-z, ]+) \(`)
	for path, item := range newWorld(t).api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op == nil {
				continue
			}
			m := about.FindStringSubmatch(op.Description)
			if m == nil {
				t.Fatalf("%s says %q", op.OperationID, op.Description)
			}
			want[op.Method+" "+strings.TrimPrefix(path, BasePath)] = needs{m[1], strings.Contains(op.Description, "Not for a tenant's key.")}
		}
	}
	rights := regexp.MustCompile("`([a-z]+)`")
	for _, row := range rows(t, apiPage(t), "| operation | needs |") {
		always, _, _ := strings.Cut(row[1], ";") // what stands behind it depends on the change
		var list []string
		for _, m := range rights.FindAllStringSubmatch(always, -1) {
			list = append(list, m[1])
		}
		got := needs{strings.Join(list, ", "), row[2] == "no"}
		for op := range strings.SplitSeq(row[0], ", ") {
			op = strings.Trim(op, "`")
			if want[op] != got {
				t.Errorf("docs/api.md: %s needs %+v, and it is %+v", op, got, want[op])
			}
			delete(want, op)
		}
	}
	for op := range want {
		t.Errorf("docs/api.md does not have %s", op)
	}
}

// TestPageOfCodes reads the codes out of the sources: each is written down where it is
// given.
func TestPageOfCodes(t *testing.T) {
	want := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "refuse" && len(n.Args) > 2 {
					if code, ok := literal(n.Args[1]); ok {
						want[code] = statusOf(n.Args[0])
					}
				}
			case *ast.AssignStmt:
				if field, ok := n.Lhs[0].(*ast.SelectorExpr); ok && field.Sel.Name == "Code" {
					if code, ok := literal(n.Rhs[0]); ok {
						want[code] = "422" // of what is invalid, named more closely
					}
				}
			}
			return true
		})
	}
	for _, row := range rows(t, apiPage(t), "| code | status |") {
		code := strings.Trim(row[0], "`")
		if want[code] != row[1] {
			t.Errorf("docs/api.md: %s has status %s, and it is %q", code, row[1], want[code])
		}
		delete(want, code)
	}
	for code := range want {
		t.Errorf("docs/api.md does not have the code %s", code)
	}
}

// statusOf is the number of http.StatusConflict and its like.
func statusOf(e ast.Expr) string {
	name, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	for status := range 600 {
		if "Status"+strings.ReplaceAll(http.StatusText(status), " ", "") == name.Sel.Name {
			return strconv.Itoa(status)
		}
	}
	return name.Sel.Name
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
