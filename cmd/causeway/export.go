package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

func newExport(c *common) *cobra.Command {
	set := ""
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the catalog as a file for causeway apply",
		Long: `Write the catalog as a file for causeway apply: tenants, sources, subscriptions,
without API keys and without what is state, such as pauses.

References to secrets are written as they are. A sealed secret cannot be written: a
comment stands in its place, and apply asks for it.

  causeway export --set team-a > team-a.yaml`,
		Args: cobra.NoArgs,
	}
	a := newAPI(c, cmd)
	a.output = choice{text: "yaml", of: []string{"yaml"}}
	cmd.Flags().StringVar(&set, "set", "", "only what belongs to this set; everything when left out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.callWithin(cmd.Context(), applyTimeout, func(ctx context.Context, client *admin.Client) error {
			file, err := exported(ctx, client, set)
			if err != nil {
				return a.failed(err, "export the catalog")
			}
			if len(file) == 0 {
				fmt.Fprintln(a.stderr, "causeway: there is nothing to export")
				return nil
			}
			return writeYAML(a.stdout, file)
		})
	}
	return cmd
}

// exported is the whole file.
func exported(ctx context.Context, client *admin.Client, set string) (mapping, error) {
	tenants, err := exportedList(ctx, client, set, tenantNoun())
	if err != nil {
		return nil, err
	}
	sources, err := exportedList(ctx, client, set, sourceNoun())
	if err != nil {
		return nil, err
	}
	subscriptions, err := exportedList(ctx, client, set, subscriptionNoun())
	if err != nil {
		return nil, err
	}
	var file mapping
	for _, p := range []pair{{"tenants", tenants}, {"sources", sources}, {"subscriptions", subscriptions}} {
		if list, ok := p.value.([]any); ok && len(list) > 0 {
			file = append(file, p)
		}
	}
	return file, nil
}

func exportedList[R, S any](ctx context.Context, client *admin.Client, set string, n *noun[R, S]) ([]any, error) {
	all, err := collect(ctx, client, admin.ListOptions{Limit: 500, Set: set}, n.list)
	if err != nil {
		return nil, err
	}
	entries := make([]any, 0, len(all))
	for i := range all {
		tree, err := treeOf(n.spec(&all[i]))
		if err != nil {
			return nil, err
		}
		entry, _ := tree.(mapping)
		entries = append(entries, exportedEntry(entry, n.meta(&all[i]).Tenant, n.secrets))
	}
	return entries, nil
}

// exportedEntry is a spec as a file has it: with its owner, and without what is sealed.
func exportedEntry(spec mapping, owner string, secrets bool) mapping {
	var entry mapping
	for _, p := range pruned(spec) {
		switch list, _ := p.value.([]any); {
		case p.key == "owner":
		case p.key == "secrets" && secrets:
			entry = append(entry, exportedSecrets(list)...)
		default:
			entry = append(entry, p)
		}
		if p.key == "name" && owner != "" {
			entry = append(entry, pair{"owner", owner})
		}
	}
	return entry
}

// exportedSecrets keeps the references, and puts a comment in the place of the others.
func exportedSecrets(list []any) mapping {
	var kept []any
	var lines mapping
	for _, item := range list {
		text := fmt.Sprint(item)
		if !strings.HasPrefix(text, "sealed:") {
			kept = append(kept, item)
			continue
		}
		lines = append(lines, pair{"", "a secret is sealed (" + strings.TrimPrefix(text, "sealed:") + ") and was left out: give it again as env:NAME or file:/path"})
	}
	if len(kept) > 0 {
		lines = slices.Insert(lines, 0, pair{"secrets", kept})
	}
	return lines
}
