package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

// settingsFlags are the ways to give settings: a flag for each, a file, the secrets.
type settingsFlags struct {
	spec    *specFlags
	secrets *secretFlags // nil: the kind has none
	file    string
}

func (n *noun[R, S]) settingsFlags(cmd *cobra.Command, without ...string) *settingsFlags {
	s := &settingsFlags{}
	cmd.Flags().StringVarP(&s.file, "file", "f", "", "YAML file with the settings, - for standard input; flags stand above it")
	if n.secrets {
		s.secrets = newSecretFlags(cmd)
	}
	s.spec = newSpecFlags(cmd, n.form(), append(without, "secrets", "owner")...)
	return s
}

func (n *noun[R, S]) newAdd(a *api) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a " + n.name,
		Args:  cobra.ExactArgs(1),
	}
	tenant := n.tenantFlag(a, cmd, "the tenant that it shall belong to; the operator when left out")
	s := n.settingsFlags(cmd, "name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := s.document(a, map[string]any{})
		if err != nil {
			return err
		}
		if d.owner != "" && *tenant == "" {
			*tenant = d.owner
		}
		if err := d.call(args[0]); err != nil {
			return err
		}
		spec, err := n.read(cmd, a, s, d)
		if err != nil {
			return err
		}
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			r, err := n.create(ctx, client, *tenant, spec)
			if err != nil {
				return d.failed(a, err, "add %s %s", n.name, printable(args[0], 64))
			}
			return n.written(a, &r, n.gotten)
		})
	}
	return cmd
}

func (n *noun[R, S]) newSet(a *api) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change the named settings of a " + n.name + ", and no others",
		Long: "Change the named settings of a " + n.name + `, and no others. Lists are replaced as a
whole; --unset takes a setting out; -f replaces all settings by those of a file.
It ends with exit code 4 when somebody else changed the ` + n.name + ` meanwhile.`,
		Args: cobra.ExactArgs(1),
	}
	tenant := n.withName(a, cmd)
	s := n.settingsFlags(cmd)
	s.spec.allowUnset(cmd, s.secrets != nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			was, err := n.find(ctx, client, *tenant, args[0])
			if err != nil {
				return a.failed(err, "change %s %s", n.name, printable(args[0], 64))
			}
			before, m := n.spec(&was), n.meta(&was)
			name := *n.called(before)
			d, err := s.document(a, before)
			if err != nil {
				return err
			}
			if s.file != "" {
				if err := d.call(name); err != nil {
					return err
				}
			}
			spec, err := n.read(cmd, a, s, d)
			if err != nil {
				return err
			}
			r, err := n.update(ctx, client, m.UID, m.Version, m.Tenant, spec)
			if err != nil {
				return d.failed(a, err, "change %s %s", n.name, printable(args[0], 64))
			}
			return n.written(a, &r, "changed")
		})
	}
	return cmd
}

// written says what was done, and shows once what is shown once.
func (n *noun[R, S]) written(a *api, r *R, done string) error {
	made := ""
	if n.made != nil {
		made = n.made(r)
	}
	if wrote, err := a.writeValue(r); wrote {
		return err
	}
	name := printable(*n.called(n.spec(r)), 64)
	if a.named() {
		a.say("%s", name)
		if made != "" { // it would be lost
			fmt.Fprintf(a.stderr, "signing secret, shown this once: %s\n", printable(made, 500))
		}
		return nil
	}
	m, whose := n.meta(r), ""
	if m.Tenant != "" { // the operator's name may have found a tenant's
		whose = " of tenant " + printable(m.Tenant, 64)
	}
	a.say("%s %s%s: %s (uid %s, version %d)", n.name, name, whose, done, m.UID, m.Version)
	if made != "" {
		a.showOnce("signing secret", made, "give it to whoever runs the endpoint, to verify deliveries with; lost, causeway "+n.name+" rotate-secret "+name+" makes another")
	}
	return nil
}

// showOnce prints what causeway cannot show a second time.
func (a *api) showOnce(what, value, advice string) {
	a.say("\n%s, shown this once: %s", what, printable(value, 500))
	a.say("  %s", advice)
}

func (n *noun[R, S]) newRemove(a *api) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a " + n.name,
		Long:  "Remove a " + n.name + ". " + n.loses + ".\nOn a terminal it asks first, unless --yes is given; elsewhere it wants --yes.",
		Args:  cobra.ExactArgs(1),
	}
	tenant := n.withName(a, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		shown := printable(args[0], 64)
		if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("Remove %s %s? %s.", n.name, shown, n.loses)); err != nil {
			return err
		}
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			id, err := n.idOf(ctx, client, *tenant, args[0])
			if err == nil {
				err = n.remove(client, ctx, id, admin.AnyVersion)
			}
			if err != nil {
				return a.failed(err, "remove %s %s", n.name, shown)
			}
			return a.done(n.name, args[0], "removed")
		})
	}
	return cmd
}

// done says that something was done of which there is nothing to show.
func (a *api) done(kind, name, what string) error {
	if wrote, err := a.writeValue(map[string]string{"name": name, "done": what}); wrote {
		return err
	}
	if a.named() {
		a.say("%s", printable(name, 256))
		return nil
	}
	a.say("%s %s: %s", kind, printable(name, 64), what)
	return nil
}

// specDocument is the settings of one resource, with the file that they came from.
type specDocument struct {
	*document
	file  string
	owner string // as the file has it: an entry's, not a setting
	flags *settingsFlags
}

// document gives the settings that a verb begins with: those of the file, or those
// that are there.
func (s *settingsFlags) document(a *api, before any) (*specDocument, error) {
	if s.file == "" {
		d, err := documentOf(before)
		return &specDocument{document: d, flags: s}, err
	}
	if s.file == "-" && s.secrets != nil && s.secrets.stdin {
		return nil, usageError{"", errors.New("-f - and --secret-stdin both read standard input: give one of them another way")}
	}
	name, text, err := a.readInput(s.file, maxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	d := &specDocument{document: readYAML(text, processFileLimits()), file: name, flags: s}
	m, ok := d.value.(map[string]any)
	if d.value == nil && len(d.faults) == 0 {
		d.value, ok = map[string]any{}, true
	}
	if !ok && len(d.faults) == 0 {
		d.fault(nil, position{line: 1, column: 1}, "holds no settings: write them like url: https://example.com/hooks")
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	d.owner, _ = m["owner"].(string)
	delete(m, "owner")
	return d, nil
}

// call puts the name into the settings; a file may have the same one.
func (d *specDocument) call(name string) error {
	m, _ := d.value.(map[string]any)
	if written, ok := m["name"]; ok && written != name {
		d.fault(keys{"name"}, d.place(keys{"name"}), "is another name than that of the command line, %q", name)
		return d.err()
	}
	m["name"] = name
	return nil
}

// read puts the flags over the document and gives the spec.
func (n *noun[R, S]) read(cmd *cobra.Command, a *api, s *settingsFlags, d *specDocument) (spec S, err error) {
	said, err := s.spec.put(d.document, cmd.Flags())
	if err != nil {
		return spec, err
	}
	if s.secrets != nil {
		secrets, err := s.secrets.read(cmd.Context(), a)
		if err != nil {
			return spec, err
		}
		if len(secrets) > 0 {
			said = true
			d.set(keys{"secrets"}, secrets, "--secret")
		}
	}
	if !said && s.file == "" && cmd.Name() == "set" {
		return spec, usageError{"", errors.New("name what to change, as in --url https://example.com/hooks")}
	}
	if spec, err = decodeSpec[S](d.document); err != nil {
		return spec, err
	}
	return spec, d.err()
}

// err is everything wrong with the settings: of flags, a wrong command line.
func (d *specDocument) err() error {
	if len(d.faults) == 0 {
		return nil
	}
	var errs []error
	flags := true
	for _, f := range d.faults {
		flags = flags && f.at.variable != ""
		errs = append(errs, errors.New(printable(f.where(d.file)+": "+f.text, 2000)))
	}
	if flags {
		return usageError{"", errors.Join(errs...)}
	}
	return errors.Join(errs...)
}

// failed says what the API found wrong at the flag or the line that it is about.
func (d *specDocument) failed(a *api, err error, format string, args ...any) error {
	problem, ok := errors.AsType[*admin.Problem](err)
	if !ok || len(problem.Errors) == 0 {
		return a.failed(err, format, args...)
	}
	located := *problem
	located.Errors = nil
	for _, item := range problem.Errors {
		if k, ok := specKeys(item.Location); ok {
			item.Location = fault{keys: k, at: d.origin(k)}.where(d.file)
			if d.file == "" && strings.HasPrefix(item.Message, "no secret:") {
				item.Message = "no secret: pipe it into --secret-stdin, or name a variable or file that secrets.allow lets through, as env:NAME or file:/path"
			}
		}
		located.Errors = append(located.Errors, item)
	}
	return a.failed(&located, format, args...)
}

// origin is where a setting was given or, when there is no file, the flag to give it with.
func (d *specDocument) origin(k keys) position {
	if at, found := d.places[k.id()]; found {
		return at
	}
	switch flag := d.flags.of(k); {
	case d.file != "":
		return d.place(k)
	case flag != "":
		return position{variable: "--" + flag}
	}
	return position{}
}

// of is the flag that gives a setting, or what is above it.
func (s *settingsFlags) of(k keys) string {
	if s.secrets != nil && k[0] == "secrets" {
		return "secret"
	}
	for name, f := range s.spec.fields {
		if k.under(f.keys) {
			return name
		}
	}
	return ""
}
