package main

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/secret"
)

const envPrefix = "CAUSEWAY_"

// variables are the settings that an environment variable can set, by the
// variable's name: every scalar, and lists of texts, outside of lists.
func variables(t reflect.Type, above keys) map[string]variable {
	found := map[string]variable{}
	for _, field := range settings(t) {
		k := above.and(settingName(field))
		switch ft := pointee(field.Type); {
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() != reflect.String:
		case len(settings(ft)) > 0:
			maps.Copy(found, variables(ft, k))
		default:
			found[envPrefix+strings.ToUpper(strings.Join(k, "_"))] = variable{keys: k, kind: ft}
		}
	}
	return found
}

type variable struct {
	keys keys
	kind reflect.Type
}

// value reads the text of a variable as the YAML of its setting would be read.
func (v variable) value(text string) (any, error) {
	switch {
	case isText(v.kind), v.kind.Kind() == reflect.String:
		return text, nil
	case v.kind.Kind() == reflect.Slice:
		var list []any
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list, nil
	case v.kind.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not true or false", text)
		}
		return b, nil
	case v.kind.Kind() == reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		return n, nil
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	}
}

// otherVariables are those that causeway reads and that set nothing in the process file.
func otherVariables() []string { return []string{envConfig, secret.KeysVariable, envServer, envAPIKey} }

// override puts settings from the environment over those of the document. It
// returns the names it does not know: no fault, for Kubernetes sets its own
// CAUSEWAY_* for a service of that name.
func (d *document) override(environ []string) (unknown []string) {
	known := variables(reflect.TypeFor[config](), nil)
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || text == "" || slices.Contains(otherVariables(), name) {
			continue // an empty one is how compose files and scripts leave a setting out
		}
		setting, ok := known[name]
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		value, err := setting.value(text)
		if err != nil {
			d.fault(setting.keys, position{variable: name}, "%v", err)
			continue
		}
		d.set(setting.keys, value, name)
	}
	slices.Sort(unknown)
	return unknown
}

// set puts a value into the document, making the mappings above it.
func (d *document) set(k keys, value any, name string) {
	if d.value == nil {
		d.value = map[string]any{}
	}
	at, ok := d.value.(map[string]any)
	for _, key := range k[:len(k)-1] {
		if !ok {
			return // what stands there instead of a mapping is a fault of the schema's
		}
		if at[key] == nil {
			at[key] = map[string]any{}
		}
		at, ok = at[key].(map[string]any)
	}
	if !ok {
		return
	}
	at[k[len(k)-1]] = value
	d.places[k.id()] = position{variable: name}
	if list, ok := value.([]any); ok {
		for i := range list {
			d.places[k.and(strconv.Itoa(i)).id()] = position{variable: name}
		}
	}
}
