package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllowRef(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"in/..data", "out"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"in/a", "in/..data/mounted", "out/a"} {
		write(t, filepath.Join(root, name), canary)
	}
	for name, target := range map[string]string{
		"in/inside": "a", "in/outside": "../out/a", "in/absolute": filepath.Join(root, "out/a"), "in/chain": "outside",
		"in/nowhere": "../out/missing", "in/loop": "loop", "in/directory": "../out", "in/mounted": "..data/mounted",
		"in/environment": "/proc/self/environ", "way-in": "in",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		patterns, ref string // ROOT is the directory
		want          bool
	}{
		"no patterns, a variable":                      {"", "env:TEAM_A", false},
		"no patterns, a file":                          {"", "file:ROOT/in/a", false},
		"no patterns, a sealed one":                    {"", golden, true},
		"a variable by its name":                       {"env:TEAM_A", "env:TEAM_A", true},
		"a variable by a pattern":                      {"env:TEAM_*", "env:TEAM_A", true},
		"a variable by a range":                        {"env:TEAM_[A-C]", "env:TEAM_B", true},
		"a variable by the second pattern":             {"env:OTHER file:/a env:TEAM_?", "env:TEAM_A", true},
		"another variable":                             {"env:TEAM_*", "env:OTHER_A", false},
		"a pattern is for the whole name":              {"env:TEAM", "env:TEAM_A", false},
		"a variable in other letters":                  {"env:team_*", "env:TEAM_A", false},
		"a pattern without env:":                       {"TEAM_* *", "env:TEAM_A", false},
		"a pattern for files, of a variable":           {"file:/*", "env:TEAM_A", false},
		"a malformed pattern":                          {"env:TEAM_A[", "env:TEAM_A", false},
		"a malformed pattern behind what matches":      {"env:*[", "env:TEAM_A", false},
		"the keys by any name":                         {"env:*", "env:CAUSEWAY_KEYS", false},
		"the keys by their own name":                   {"env:CAUSEWAY_KEYS", "env:CAUSEWAY_KEYS", false},
		"a setting":                                    {"env:CAUSEWAY_*", "env:CAUSEWAY_KAFKA_SASL_PASSWORD", false},
		"a name that only holds causeway's":            {"env:*", "env:MY_CAUSEWAY_KEY", true},
		"a file by its path":                           {"file:ROOT/in/a", "file:ROOT/in/a", true},
		"a file by a pattern":                          {"file:ROOT/in/*", "file:ROOT/in/a", true},
		"a file by a pattern in its directory":         {"file:ROOT/*/a", "file:ROOT/in/a", true},
		"a pattern that is not clean":                  {"file:ROOT/out/..//in/*", "file:ROOT/in/a", true},
		"a pattern without file:":                      {"ROOT/in/*", "file:ROOT/in/a", false},
		"a pattern that is not absolute":               {"file:*", "file:ROOT/in/a", false},
		"a pattern for variables, of a file":           {"env:*", "file:ROOT/in/a", false},
		"a file elsewhere":                             {"file:ROOT/in/*", "file:ROOT/out/a", false},
		"a star does not cross a slash":                {"file:ROOT/*", "file:ROOT/in/a", false},
		"two stars do not either":                      {"file:ROOT/**", "file:ROOT/in/a", false},
		"nor does a question mark":                     {"file:ROOT/in?a", "file:ROOT/in/a", false},
		"nor does a range":                             {"file:ROOT/in[^x]a file:ROOT/in[/]a file:ROOT/in[!-~]a", "file:ROOT/in/a", false},
		"a directory's pattern is not for its files":   {"file:ROOT/in/", "file:ROOT/in/a", false},
		"out through ..":                               {"file:ROOT/in/*", "file:ROOT/in/../out/a", false},
		"out through .. with stars for it":             {"file:ROOT/in/*/*/*", "file:ROOT/in/../out/a", false},
		"in through ..":                                {"file:ROOT/in/*", "file:ROOT/out/../in/a", true},
		"from the root through ..":                     {"file:ROOT/in/*", "file:/../../ROOT/in/a", true},
		"a malformed pattern for a file":               {"file:ROOT/in/[ file:ROOT/in/a[", "file:ROOT/in/a", false},
		"a link inside":                                {"file:ROOT/in/*", "file:ROOT/in/inside", true},
		"a link to outside":                            {"file:ROOT/in/*", "file:ROOT/in/outside", false},
		"a link to outside by its own name":            {"file:ROOT/in/outside", "file:ROOT/in/outside", false},
		"a link to outside, which is allowed":          {"file:ROOT/in/* file:ROOT/out/a", "file:ROOT/in/outside", true},
		"an absolute link to outside":                  {"file:ROOT/in/*", "file:ROOT/in/absolute", false},
		"a link to a link to outside":                  {"file:ROOT/in/*", "file:ROOT/in/chain", false},
		"a link to what is not there yet":              {"file:ROOT/in/*", "file:ROOT/in/nowhere", false},
		"a link to itself":                             {"file:ROOT/in/*", "file:ROOT/in/loop", false},
		"a directory that is a link to outside":        {"file:ROOT/in/* file:ROOT/in/*/*", "file:ROOT/in/directory/a", false},
		"what is not there in a directory elsewhere":   {"file:ROOT/in/* file:ROOT/in/*/*", "file:ROOT/in/directory/missing", false},
		"what is not there in a directory inside":      {"file:ROOT/in/*", "file:ROOT/in/missing", true},
		"what is not there with its directory":         {"file:ROOT/in/*/*", "file:ROOT/in/no/missing", true},
		"what is not there, elsewhere":                 {"file:ROOT/in/*", "file:ROOT/out/missing", false},
		"a file where a directory should be":           {"file:ROOT/in/*/*", "file:ROOT/in/a/b", false},
		"a way in through a link":                      {"file:ROOT/in/*", "file:ROOT/way-in/a", false},
		"a way in through a link, both allowed":        {"file:ROOT/in/* file:ROOT/way-in/*", "file:ROOT/way-in/a", true},
		"what Kubernetes mounts":                       {"file:ROOT/in/* file:ROOT/in/*/*", "file:ROOT/in/mounted", true},
		"what Kubernetes mounts, with half of it":      {"file:ROOT/in/*", "file:ROOT/in/mounted", false},
		"the environment as a file":                    {"file:/*/*/*", "file:/proc/self/environ", false},
		"the environment by its number":                {"file:/proc/1/environ", "file:/proc/1/environ", false},
		"the environment through a link that may lead": {"file:ROOT/in/* file:/*/*/*", "file:ROOT/in/environment", false},
	} {
		t.Run(name, func(t *testing.T) {
			patterns := strings.Fields(strings.ReplaceAll(tc.patterns, "ROOT", root))
			ref := sealedRef(t, strings.ReplaceAll(tc.ref, "ROOT", root))
			if got := AllowRef(patterns, nil, ref); got != tc.want {
				t.Errorf("AllowRef(%q, %s) = %t, want %t", patterns, ref, got, tc.want)
			}
		})
	}
	// What causeway itself works with is not given away by a wide pattern.
	own := []Ref{sealedRef(t, "env:KAFKA_PASSWORD"), sealedRef(t, "file:"+filepath.Join(root, "in/a"))}
	for text, want := range map[string]bool{
		"env:KAFKA_PASSWORD": false, "env:KAFKA_PASSWORD_2": true,
		"file:" + filepath.Join(root, "in/a"): false, "file:" + filepath.Join(root, "in/inside"): false, "file:" + filepath.Join(root, "in/../in/a"): false,
		"file:" + filepath.Join(root, "out/a"): true,
	} {
		if got := AllowRef([]string{"env:*", "file:" + root + "/*/*"}, own, sealedRef(t, text)); got != want {
			t.Errorf("AllowRef(%s) = %t beside causeway's own, want %t", text, got, want)
		}
	}
	for _, ref := range []Ref{{}, Fixed(New([]byte("a")))} {
		if AllowRef([]string{"env:*", "file:/*", "*", ""}, nil, ref) {
			t.Errorf("%s is allowed", ref)
		}
	}
}

func TestCheckAllow(t *testing.T) {
	for name, tc := range map[string]struct{ pattern, err string }{
		"a variable":                       {"env:STRIPE_SECRET", ""},
		"variables":                        {"env:TEAM_[A-C]_*", ""},
		"all variables":                    {"env:*", ""},
		"files":                            {"file:/run/secrets/*", ""},
		"files in directories":             {"file:/run/secrets/*/v[0-9]", ""},
		"nothing":                          {"", "wants a reference"},
		"everything":                       {"*", "wants a reference"},
		"a name alone":                     {"STRIPE_SECRET", "wants a reference"},
		"a path alone":                     {"/run/secrets/*", "wants a reference"},
		"no name":                          {"env:", "wants a reference"},
		"no path":                          {"file:", "wants a reference"},
		"sealed ones, which always are":    {"sealed:*", "wants a reference"},
		"a relative path":                  {"file:secrets/*", "absolute path"},
		"any path":                         {"file:*", "absolute path"},
		"the keys":                         {"env:CAUSEWAY_KEYS", "never"},
		"settings":                         {"env:CAUSEWAY_*", "never"},
		"a range without end":              {"env:TEAM_[A", "[ without its ]"},
		"a range without end in directory": {"file:/run/[a/b", "[ without its ]"},
		"a range over a slash":             {"file:/run/[/]a", "[ without its ]"},
		"a backslash at the end":           {`env:A\`, `\ with nothing after it`},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckAllow(tc.pattern)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("CheckAllow(%q): %v, want %q", tc.pattern, err, tc.err)
			}
		})
	}
}
