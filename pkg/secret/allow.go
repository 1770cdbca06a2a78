package secret

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// CheckAllow checks one pattern of secrets.allow: a reference whose name or path
// may have what path.Match knows, as in env:TEAM_* and file:/run/secrets/*.
func CheckAllow(pattern string) error {
	scheme, name, _ := strings.Cut(pattern, ":")
	switch {
	case scheme != "env" && scheme != "file" || name == "":
		return errors.New("wants a reference, which may have * ? [a-z] in it, like env:TEAM_* or file:/run/secrets/*")
	case scheme == "env" && strings.HasPrefix(name, reservedNames):
		return errors.New("variables that begin with " + reservedNames + " are never given away")
	case scheme == "file" && !filepath.IsAbs(name):
		return errors.New("file: wants an absolute path after it, as in file:/run/secrets/*")
	}
	for part := range strings.SplitSeq(name, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return errors.New(`has a [ without its ], or a \ with nothing after it`)
		}
	}
	return nil
}

// reservedNames begins the names of causeway's own variables: CAUSEWAY_KEYS opens
// every sealed secret, and each setting of the process file has one.
const reservedNames = "CAUSEWAY_"

// AllowRef says whether a reference may come through the API: a sealed one may,
// because it opens nowhere but in its place; a variable or a file only if one of
// the patterns of secrets.allow matches (so none without patterns, as for tenants),
// and causeway's own variables never.
//
// In a file's pattern * stands for a part of one name, never for a slash. A file
// that is there is allowed only if what its path leads to, through all links, is
// allowed as well. That shuts out the links of others, and it means that both
// file:/run/secrets/* and file:/run/secrets/*/* are needed where Kubernetes mounts
// a secret, for its files are links into a directory beside them.
//
// Own are what the process file itself refers to: what opens Kafka signs nothing, and
// goes in no header, however wide a pattern is.
func AllowRef(patterns []string, own []Ref, ref Ref) bool {
	switch ref.kind {
	case sealed:
		return true
	case env:
		return !ref.among(own) && !strings.HasPrefix(ref.name, reservedNames) && slices.ContainsFunc(patterns, func(pattern string) bool {
			name, ok := strings.CutPrefix(pattern, "env:")
			match, err := path.Match(name, ref.name)
			return ok && match && err == nil
		})
	case file:
		target, err := followed(ref.name)
		// What a process was started with, CAUSEWAY_KEYS too, is a file there.
		return err == nil && !ref.among(own) && !strings.HasPrefix(target, "/proc/") && allowFile(patterns, ref.name) && allowFile(patterns, target)
	case fixed, none:
	}
	return false
}

// among says whether one of the references names the same variable, or leads to the same
// file.
func (r Ref) among(refs []Ref) bool {
	return slices.ContainsFunc(refs, func(o Ref) bool {
		if o.kind != r.kind || o.name == r.name || r.kind != file {
			return o.kind == r.kind && o.name == r.name
		}
		one, err := followed(r.name)
		other, otherErr := followed(o.name)
		return err == nil && otherErr == nil && one == other
	})
}

func allowFile(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		pattern, ok := strings.CutPrefix(pattern, "file:")
		return ok && filepath.IsAbs(pattern) && matchPath(filepath.Clean(pattern), name)
	})
}

// matchPath matches name by name: as a whole, [^a] would match a slash.
func matchPath(pattern, name string) bool {
	patterns, names := strings.Split(pattern, "/"), strings.Split(name, "/")
	return len(patterns) == len(names) && !slices.ContainsFunc(patterns, func(p string) bool {
		match, err := path.Match(p, names[0])
		names = names[1:]
		return err != nil || !match
	})
}

// followed gives where a path leads through all its links. What is not there, for
// another machine may be the one that reads it, is taken by its name in the
// directory that is; a link to what is not there is an error.
func followed(name string) (string, error) {
	target, err := filepath.EvalSymlinks(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if _, lstat := os.Lstat(name); lstat == nil {
		return "", err
	}
	dir, err := followed(filepath.Dir(name))
	return filepath.Join(dir, filepath.Base(name)), err
}
