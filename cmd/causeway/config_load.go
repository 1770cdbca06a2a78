package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/catalog"
)

const envConfig = envPrefix + "CONFIG" // the path of the process file

// processFile is a process file that was read, with what is wrong with it so
// far: whoever wants the configuration asks err first.
type processFile struct {
	config   config
	unknown  []string // CAUSEWAY_* that mean nothing here
	warnings []string // what is allowed and probably not meant
	document *document
	path     string
}

// readConfig reads the process file and the environment over it. An empty path
// is an empty file. The error is about the file itself; what is wrong in it
// waits in err, so that the catalog's faults can join.
func readConfig(path string, environ []string) (*processFile, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = readAtMost(path, maxFileSize+1); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	d := readYAML(text, processFileLimits())
	if d.value == nil && len(d.faults) == 0 {
		d.value = map[string]any{}
	}
	p := &processFile{document: d, path: path}
	if len(d.faults) > 0 && d.value == nil {
		return p, nil
	}
	p.unknown = withoutReferenced(d.override(environ), d.value)
	d.value = d.normalize(reflect.TypeFor[config](), d.value, nil)
	if err := d.validate(reflect.TypeFor[config]()); err != nil {
		return nil, err
	}
	// What is not at fault is decoded all the same, so that the checks that need
	// types report their faults in the same breath.
	for _, f := range d.faults {
		d.value = without(d.value, f.keys)
	}
	clean, err := json.Marshal(d.value)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if err := json.Unmarshal(clean, &p.config); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	p.check()
	return p, nil
}

// options are what entries are checked against in this process.
func (p *processFile) options(o catalog.Options) catalog.Options {
	c := p.config.withDefaults()
	o.Prefix = c.Kafka.Prefix
	o.AllowTopics = c.Kafka.Topics.Allow
	o.Registry = len(c.Registry.URLs) > 0
	o.Foreign = c.Egress.Topics
	o.AllowHTTP = o.AllowHTTP || c.Egress.AllowHTTP
	return o
}

// build compiles the file's sources and subscriptions, and notes their faults.
func (p *processFile) build(o catalog.Options) *catalog.Snapshot {
	return p.compile(p.config.Ingress.Sources, p.config.Egress.Subscriptions, o)
}

// foreign checks what of the file is no entry of the catalog: the topics that causeway
// does not write.
func (p *processFile) foreign(o catalog.Options) { p.compile(nil, nil, o) }

func (p *processFile) compile(sources []catalog.SourceSpec, subscriptions []catalog.SubscriptionSpec, o catalog.Options) *catalog.Snapshot {
	snapshot, faults := catalog.Build(sources, subscriptions, p.options(o))
	for _, f := range faults {
		part := "ingress"
		if f.Path[0] != "sources" {
			part = "egress"
		}
		p.fault(keys{part}.and(f.Path...), "%s", f.Text)
	}
	return snapshot
}

// fault notes what a check found, unless the schema found fault with the same place.
func (p *processFile) fault(k keys, format string, args ...any) {
	known := slices.ContainsFunc(p.document.faults, func(f fault) bool { return k.under(f.keys) || f.keys.under(k) })
	if !known {
		p.document.fault(k, p.document.place(k), format, args...)
	}
}

// warn notes what is allowed and probably not meant.
func (p *processFile) warn(text string) { p.warnings = append(p.warnings, text) }

// faulty says whether a part of the file is wrong.
func (p *processFile) faulty(part ...string) bool {
	return slices.ContainsFunc(p.document.faults, func(f fault) bool { return f.keys.under(part) || keys(part).under(f.keys) })
}

// err is everything wrong with the configuration, nil when nothing is.
func (p *processFile) err() error {
	if len(p.document.faults) == 0 {
		return nil
	}
	return &configError{file: p.path, faults: p.document.faults}
}

// readAtMost reads a file and stops at a number of bytes: whoever names a device
// or a dump by mistake must not fill the memory.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(f, most))
}

// without gives the value with what the keys lead to taken out; in a list
// something empty stays, so that the others keep their index.
func without(value any, k keys) any {
	if len(k) == 0 {
		return map[string]any{}
	}
	switch v := value.(type) {
	case map[string]any:
		if len(k) == 1 {
			delete(v, k[0])
		} else if below, ok := v[k[0]]; ok {
			v[k[0]] = without(below, k[1:])
		}
	case []any:
		if i, err := strconv.Atoi(k[0]); err == nil && i < len(v) {
			if len(k) == 1 {
				v[i] = nil
			} else {
				v[i] = without(v[i], k[1:])
			}
		}
	}
	return value
}

// withoutReferenced leaves out the variables that a secret is taken from: they
// are the operator's own and no misspelt setting.
func withoutReferenced(names []string, value any) []string {
	return slices.DeleteFunc(names, func(name string) bool { return mentions(value, "env:"+name) })
}

func mentions(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return v == text
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return mentions(item, text) })
	case map[string]any:
		for _, item := range v {
			if mentions(item, text) {
				return true
			}
		}
	}
	return false
}

// unknownVariable is the warning for a CAUSEWAY_* that means nothing here.
func unknownVariable(name string) string {
	var known []string
	for variable := range variables(reflect.TypeFor[config](), nil) {
		known = append(known, variable)
	}
	slices.Sort(known)
	return strings.TrimSpace(fmt.Sprintf("%s sets nothing here%s", name, didYouMean(name, known)))
}
