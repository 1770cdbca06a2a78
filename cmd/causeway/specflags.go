package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// specFlags are a flag for every setting of a spec, made from its Go type as the
// variables of the process file are: --url, --retry.max_age; lists are repeated.
type specFlags struct {
	form   reflect.Type
	fields map[string]*specFlag // by flag
	others []keys               // that have flags of another kind
	unset  []string
}

// specFlag is the flag of one setting. Its texts are read when all are there, so that
// everything wrong is said at once.
type specFlag struct {
	keys  keys
	kind  reflect.Type
	texts []string
}

func (f *specFlag) String() string { return strings.Join(f.texts, " ") }

// Type names the value in the help.
func (f *specFlag) Type() string {
	switch f.kind.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Slice:
		return "list"
	default:
		return "value"
	}
}

// Set notes a text; a setting that is no list keeps the last one.
func (f *specFlag) Set(text string) error {
	if f.kind.Kind() != reflect.Slice {
		f.texts = nil
	}
	f.texts = append(f.texts, text)
	return nil
}

// newSpecFlags gives a command the flags of a spec, but for its secrets, which have
// flags of their own. A setting whose flag the verb has already is --spec.NAME.
func newSpecFlags(cmd *cobra.Command, form reflect.Type, without ...string) *specFlags {
	s := &specFlags{form: form, fields: map[string]*specFlag{}}
	known := func(name string) bool {
		return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
	}
	for k, field := range leaves(form, nil) {
		name := strings.Join(split(k), ".")
		if slices.Contains(without, name) {
			continue
		}
		if known(name) {
			name = "spec." + name
		}
		flag := &specFlag{keys: split(k), kind: pointee(field.Type)}
		s.fields[name] = flag
		usage := strings.TrimSuffix(field.Tag.Get("doc"), ".")
		enum := field.Tag.Get("enum")
		if enum != "" {
			usage += " (" + strings.ReplaceAll(enum, ",", ", ") + ")"
		}
		// Backquotes would name the value in pflag's help.
		added := cmd.Flags().VarPF(flag, name, "", strings.ReplaceAll(usage, "`", "'"))
		if flag.kind.Kind() == reflect.Bool {
			added.NoOptDefVal = "true"
		}
		if enum != "" {
			completeFlag(cmd, name, cobra.FixedCompletions(strings.Split(enum, ","), cobra.ShellCompDirectiveNoFileComp))
		}
	}
	// --max-body is --max_body for whoever is used to it.
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if written := strings.ReplaceAll(name, "-", "_"); s.fields[written] != nil {
			name = written
		}
		return pflag.NormalizedName(name)
	})
	return s
}

// allowUnset adds --unset, for a verb that changes what is there. Without its secrets a
// subscription gets a new one.
func (s *specFlags) allowUnset(cmd *cobra.Command, secrets bool) {
	if secrets {
		s.others = []keys{{"secrets"}}
	}
	cmd.Flags().StringArrayVar(&s.unset, "unset", nil, "take a setting out, as in --unset retry.max_age; may be repeated")
	completeFlag(cmd, "unset", cobra.FixedCompletions(s.unsettable(), cobra.ShellCompDirectiveNoFileComp))
}

// unsettable are the settings that can be taken out.
func (s *specFlags) unsettable() []string {
	var names []string
	for _, f := range s.fields {
		names = append(names, strings.Join(f.keys, "."))
	}
	for _, k := range s.others {
		names = append(names, strings.Join(k, "."))
	}
	slices.Sort(names)
	return names
}

// leaves are the settings of a form that a flag can give: every scalar, and lists of
// scalars; by keys.id.
func leaves(form reflect.Type, above keys) map[string]reflect.StructField {
	found := map[string]reflect.StructField{}
	for _, field := range settings(form) {
		k := above.and(settingName(field))
		switch ft := pointee(field.Type); {
		case ft.Kind() == reflect.Slice && len(settings(ft.Elem())) > 0:
		case len(settings(ft)) > 0:
			maps.Copy(found, leaves(ft, k))
		default:
			found[k.id()] = field
		}
	}
	return found
}

func split(id string) keys { return strings.Split(id, "\x00") }

// put writes what the flags say over the document's value. It says whether they said
// anything.
func (s *specFlags) put(d *document, flags *pflag.FlagSet) (said bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		f := s.fields[name]
		if !flags.Changed(name) {
			continue
		}
		said = true
		value, err := f.value()
		if err != nil {
			d.fault(f.keys, position{variable: "--" + name}, "%v", err)
			continue
		}
		d.set(f.keys, value, "--"+name)
	}
	for _, name := range s.unset {
		k := keys(strings.Split(name, "."))
		known := s.unsettable()
		within := func(one string) bool { return one == name || strings.HasPrefix(one, name+".") } // event stands for all of event.*
		if !slices.ContainsFunc(known, within) {
			return said, usageError{"", fmt.Errorf("--unset %s: there is no such setting%s", printable(name, 64), didYouMean(name, known))}
		}
		said = true
		d.value = without(d.value, k)
	}
	return said, nil
}

// value reads the texts as the YAML of the setting would be read.
func (f *specFlag) value() (any, error) {
	if f.kind.Kind() != reflect.Slice {
		return variable{kind: f.kind}.value(f.texts[0])
	}
	list := []any{}
	for _, text := range f.texts {
		item, err := variable{kind: f.kind.Elem()}.value(text)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// decodeSpec checks a document's value against the form of a spec and gives the spec.
// A setting that is missing is the API's to miss: it knows which must be there.
func decodeSpec[S any](d *document) (S, error) {
	var spec S
	form := reflect.TypeFor[S]()
	d.value = d.normalize(form, d.value, nil)
	d.partial = true
	if err := d.validate(form); err != nil {
		return spec, err
	}
	if len(d.faults) > 0 {
		return spec, nil
	}
	text, err := json.Marshal(d.value)
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return spec, fmt.Errorf("read the settings: %w", err)
	}
	return spec, nil
}

// documentOf is a spec as a document that flags can be put over.
func documentOf(spec any) (*document, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	d := &document{places: map[string]position{}}
	if err := json.Unmarshal(text, &d.value); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	return d, nil
}

// specKeys are the keys that a location of a problem names below body.spec.
func specKeys(location string) (keys, bool) {
	rest, ok := strings.CutPrefix(location, "body.spec.")
	if !ok {
		return nil, false
	}
	return locationKeys(rest), true
}

// locationKeys takes a location apart: retry.schedule[0] and retry.schedule.0 alike.
func locationKeys(location string) keys {
	return strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(location), ".")
}

// where says where a fault stands: at a flag, in a file, or only which setting it is.
func (f fault) where(file string) string {
	switch {
	case f.at.variable != "":
		return f.at.variable
	case file != "" && f.at.line > 0:
		return file + ":" + strconv.Itoa(f.at.line) + ":" + strconv.Itoa(f.at.column) + ": " + f.keys.String()
	case len(f.keys) == 0:
		return "settings"
	}
	return f.keys.String()
}
