package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

type applyOptions struct {
	files       []string
	set         string
	dryRun      bool
	prune, seal bool
}

func newApply(c *common) *cobra.Command {
	o := applyOptions{}
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the catalog hold what files say",
		Long: `Make the catalog hold what files say: all of it or nothing, live in every process
within a second. What is made belongs to the set, and its settings are changed with
apply alone from then on; pausing, resuming and testing stay free.

  causeway apply -f team-a.yaml --set team-a --dry-run
  causeway apply -f team-a.yaml --set team-a --prune

A file has the lists tenants, sources and subscriptions, or the form of a process file
(ingress.sources, egress.subscriptions), the rest of which is not looked at. Several
files, and several documents in one, join. A tenant's own entries say so with owner.

Secrets are references, env:NAME or file:/path, which the processes resolve. With
--seal they are resolved here and sealed into the catalog instead.

Interrupted, it has done all or nothing: --dry-run says which. The exit code is 0 when
done, also with nothing to do, and 3 when --dry-run finds differences; see causeway
help exit-codes for the others.`,
		Args: cobra.NoArgs,
	}
	a := newAPI(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.apply(cmd.Context(), o) }
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "file", "f", nil, "file to apply, - for standard input; may be repeated")
	f.StringVar(&o.set, "set", "", "name of the set that the files are the whole of, or a part of")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&o.prune, "prune", false, "remove what the set has and the files do not")
	f.BoolVar(&o.seal, "seal", false, "resolve the secrets on this machine and have them sealed")
	return cmd
}

func (a *api) apply(ctx context.Context, o applyOptions) error {
	switch {
	case len(o.files) == 0:
		return usageError{"", errors.New("name what to apply with -f")}
	case o.set == "":
		return usageError{"", errors.New("name the set that the entries belong to with --set")}
	case countOf(o.files, "-") > 1:
		return usageError{"", errors.New("-f - reads standard input, which is there once")}
	}
	r, err := a.readApply(o)
	if err != nil {
		return err
	}
	for _, line := range r.ignored() {
		fmt.Fprintf(a.stderr, "causeway: %s\n", printable(line, 1000))
	}
	var applied admin.Applied
	err = a.callWithin(ctx, applyTimeout, func(ctx context.Context, client *admin.Client) error {
		var err error
		applied, err = client.Apply(ctx, r.input)
		return err
	})
	if err != nil {
		return a.applyFailed(err, r, o)
	}
	return a.applied(applied, o)
}

func countOf(list []string, word string) int {
	return len(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s != word }))
}

// readApply reads all files and says everything that is wrong with them at once.
func (a *api) readApply(o applyOptions) (*applyRequest, error) {
	r := &applyRequest{origins: map[string][]origin{}}
	r.input.Set, r.input.Prune, r.input.DryRun = o.set, o.prune, o.dryRun
	for _, path := range o.files {
		name, text, err := a.readInput(path, maxApply)
		if err != nil {
			return nil, fmt.Errorf("read what to apply: %w", err)
		}
		if err := r.add(name, text); err != nil {
			return nil, err
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	if o.seal {
		r.seal()
	}
	return r, r.err()
}

// applyFailed says what the API found wrong at the lines that it is about.
func (a *api) applyFailed(err error, r *applyRequest, o applyOptions) error {
	problem, ok := errors.AsType[*admin.Problem](err)
	if !ok || len(problem.Errors) == 0 {
		return a.failed(err, "apply %s to set %s", r.sizes(), printable(o.set, 64))
	}
	rest := *problem
	rest.Errors = r.locate(problem.Errors)
	return errors.Join(a.failed(&rest, "apply %s to set %s", r.sizes(), printable(o.set, 64)), r.err())
}

// applied shows what was done, or would be, and ends with the code that says so.
func (a *api) applied(applied admin.Applied, o applyOptions) error {
	if applied.Differences == nil {
		applied.Differences = []catalog.Difference{}
	}
	wrote, err := a.writeValue(applied)
	switch {
	case err != nil:
		return err
	case wrote:
	case a.named():
		for _, d := range applied.Differences {
			a.say("%s/%s", d.Kind, printable(d.Name, 256))
		}
	default:
		writeDifferences(a.stdout, applied, o.dryRun, colours(a.stdout))
		if o.dryRun && len(applied.Differences) > 0 {
			a.say("Nothing was changed: this was --dry-run.")
		}
	}
	switch {
	case countActions(applied.Differences)[catalog.ActionConflict] > 0:
		return reported(exitConflict)
	case o.dryRun && len(applied.Differences) > 0:
		return reported(exitDifferent)
	}
	return nil
}
