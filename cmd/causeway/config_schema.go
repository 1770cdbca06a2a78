package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// configSchema is the JSON Schema of the process file, made from its Go types.
func configSchema() ([]byte, error) {
	return schemaOf(reflect.TypeFor[config](), "causeway's process file")
}

// schemaOf is the JSON Schema of what a Go type is the form of.
func schemaOf(form reflect.Type, title string) ([]byte, error) {
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	top := registry.Schema(form, false, "")
	defs, err := json.Marshal(registry.Map())
	if err != nil {
		return nil, fmt.Errorf("write the schema of %s: %w", title, err)
	}
	body, err := json.Marshal(top)
	if err != nil {
		return nil, fmt.Errorf("write the schema of %s: %w", title, err)
	}
	var schema bytes.Buffer
	whole := `{"$schema":"https://json-schema.org/draft/2020-12/schema","title":` + strconv.Quote(title) + `,"$defs":` + string(defs) + "," + string(body[1:])
	if err := json.Indent(&schema, []byte(whole), "", "  "); err != nil {
		return nil, fmt.Errorf("write the schema of %s: %w", title, err)
	}
	return append(schema.Bytes(), '\n'), nil
}

// validate compares a document's value with the schema of a form and notes every fault.
func (d *document) validate(form reflect.Type) error {
	d.form = form
	text, err := schemaOf(form, "causeway")
	if err != nil {
		return err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("causeway.json", schema); err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	compiled, err := compiler.Compile("causeway.json")
	if err != nil {
		return fmt.Errorf("compile the schema: %w", err)
	}
	var invalid *jsonschema.ValidationError
	if err := compiled.Validate(d.value); errors.As(err, &invalid) {
		d.leaves(invalid)
	}
	return nil
}

// leaves turns the ends of a tree of causes into faults: what is above them
// only says that something below is wrong.
func (d *document) leaves(e *jsonschema.ValidationError) {
	for _, cause := range e.Causes {
		d.leaves(cause)
	}
	if len(e.Causes) > 0 {
		return
	}
	at := keys(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		allowed := settingsAt(d.form, at)
		for _, name := range k.Properties {
			hint := didYouMean(name, allowed)
			if hint == "" {
				hint = "; known here: " + strings.Join(allowed, ", ")
			}
			d.fault(at.and(name), d.place(at.and(name)), "unknown key%s", hint)
		}
	case *kind.Required:
		if d.partial {
			return
		}
		for _, name := range k.Missing {
			d.fault(at.and(name), d.place(at), "missing")
		}
	case *kind.Type:
		want := make([]string, 0, len(k.Want))
		for _, name := range k.Want {
			if name != "null" {
				want = append(want, typeName(name))
			}
		}
		hint := ""
		if slices.Contains(k.Want, "string") && k.Got != "object" && k.Got != "array" {
			hint = ": put it in quotes"
		}
		d.fault(at, d.place(at), "is %s, must be %s%s", typeName(k.Got), strings.Join(want, " or "), hint)
	case *kind.Enum:
		allowed := make([]string, 0, len(k.Want))
		for _, word := range k.Want {
			allowed = append(allowed, fmt.Sprint(word))
		}
		d.fault(at, d.place(at), "%q is not one of %s%s", k.Got, strings.Join(allowed, ", "), didYouMean(fmt.Sprint(k.Got), allowed))
	case *kind.Minimum:
		d.fault(at, d.place(at), "%s is below %s", decimal(k.Got), decimal(k.Want))
	case *kind.Maximum:
		d.fault(at, d.place(at), "%s is above %s", decimal(k.Got), decimal(k.Want))
	default:
		d.fault(at, d.place(at), "is not as the schema says (%s): see causeway config schema", strings.Join(k.KeywordPath(), "/"))
	}
}

// decimal writes a number as people do: 1.5, not 3/2.
func decimal(n *big.Rat) string {
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// typeName says a JSON type in the words of somebody who writes YAML.
func typeName(name string) string {
	return map[string]string{
		"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false",
		"integer": "a whole number", "number": "a number", "null": "empty",
	}[name]
}

// normalize makes a value fit for the schema: what is empty counts as left out,
// and a setting that is read from text (a size, a duration) may be written as a
// bare number. It notes texts that their type refuses, which no schema can say.
func (d *document) normalize(t reflect.Type, value any, k keys) any {
	t = pointee(t)
	if isText(t) {
		switch value.(type) {
		case map[string]any, []any, bool, nil:
			return value
		}
		text := fmt.Sprint(value)
		if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			d.fault(k, d.place(k), "%v", err)
		}
		return text
	}
	switch v := value.(type) {
	case map[string]any:
		for name, item := range v {
			if item == nil {
				delete(v, name)
			} else if field, ok := d.setting(t, name); ok {
				v[name] = d.normalize(field.Type, item, k.and(name))
			}
		}
	case []any:
		for i, item := range v {
			if t.Kind() == reflect.Slice {
				v[i] = d.normalize(t.Elem(), item, k.and(strconv.Itoa(i)))
			}
		}
	}
	return value
}

// setting is settingOf, which it asks once for each type: a file for causeway apply
// has 100,000 entries of one.
func (d *document) setting(t reflect.Type, name string) (reflect.StructField, bool) {
	known, ok := d.known[t]
	if !ok {
		known = map[string]reflect.StructField{}
		for _, field := range settings(t) {
			known[settingName(field)] = field
		}
		if d.known == nil {
			d.known = map[reflect.Type]map[string]reflect.StructField{}
		}
		d.known[t] = known
	}
	field, ok := known[name]
	return field, ok
}

func pointee(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// isText says whether a setting is written as text that its type reads itself.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// settings are the fields of a struct that are keys of the file, those of
// embedded structs too.
func settings(t reflect.Type) []reflect.StructField {
	if t = pointee(t); t.Kind() != reflect.Struct || isText(t) {
		return nil
	}
	var fields []reflect.StructField
	for _, field := range reflect.VisibleFields(t) {
		if name := settingName(field); name != "" && name != "-" {
			fields = append(fields, field)
		}
	}
	return fields
}

func settingName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

func settingOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, field := range settings(t) {
		if settingName(field) == name {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

// settingsAt are the names that are known below the keys.
func settingsAt(t reflect.Type, k keys) []string {
	for _, key := range k {
		if t = pointee(t); t.Kind() == reflect.Slice {
			t = t.Elem()
			continue
		}
		field, ok := settingOf(t, key)
		if !ok {
			return nil
		}
		t = field.Type
	}
	var names []string
	for _, field := range settings(t) {
		names = append(names, settingName(field))
	}
	return names
}
