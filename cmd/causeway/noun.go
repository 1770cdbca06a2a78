package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

// noun is a kind of resource, R as the API shows it and S its spec, with what its
// verbs call.
type noun[R, S any] struct {
	name, plural string
	titles       []string
	row          func(*R) []string
	head         func(*R) [][2]string // what show says above the settings
	meta         func(*R) *admin.Meta
	spec         func(*R) *S
	called       func(*S) *string // the spec's name
	secrets      bool             // it has secrets
	owned        bool             // each belongs to a tenant or to the operator
	loses        string           // what removing one means
	gotten       string           // what is said when one was made

	list   func(*admin.Client, context.Context, admin.ListOptions) (admin.Page[R], error)
	get    func(*admin.Client, context.Context, string) (R, error)
	create func(ctx context.Context, c *admin.Client, tenant string, spec S) (R, error)
	update func(ctx context.Context, c *admin.Client, id string, version int64, tenant string, spec S) (R, error)
	remove func(*admin.Client, context.Context, string, int64) error
	made   func(*R) string // a secret that is shown once
}

// command is the noun with the verbs that all nouns have.
func (n *noun[R, S]) command(c *common, short, long string) (*cobra.Command, *api) {
	cmd := &cobra.Command{
		Use:   n.name,
		Short: short,
		Long:  long,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a := newAPI(c, cmd)
	cmd.AddCommand(n.newList(a), n.newShow(a), n.newAdd(a), n.newSet(a), n.newRemove(a))
	return cmd, a
}

// names proposes the names of this kind.
func (n *noun[R, S]) names(a *api) completion {
	return live(a, namesOf(n.list, func(r *R) string { return *n.called(n.spec(r)) }))
}

// withName gives a verb on one resource its completion and, where resources belong to
// tenants, --tenant.
func (n *noun[R, S]) withName(a *api, cmd *cobra.Command) (tenant *string) {
	cmd.ValidArgsFunction = firstArgument(n.names(a))
	return n.tenantFlag(a, cmd, "the tenant that it belongs to, where several have one of that name")
}

func (n *noun[R, S]) tenantFlag(a *api, cmd *cobra.Command, usage string) *string {
	if !n.owned {
		return new("")
	}
	tenant := cmd.Flags().String("tenant", "", usage)
	completeFlag(cmd, "tenant", tenantNames(a))
	return tenant
}

func (n *noun[R, S]) newList(a *api) *cobra.Command {
	o := admin.ListOptions{Limit: 500}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List " + n.plural,
		Args:  cobra.NoArgs,
	}
	tenant := n.tenantFlag(a, cmd, "only what belongs to this tenant")
	cmd.Flags().StringVar(&o.Set, "set", "", "only what belongs to this set of causeway apply")
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only names that begin so")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Tenant = *tenant
		var all []R
		err := a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			var err error
			all, err = collect(ctx, client, o, n.list)
			return a.failed(err, "list %s", n.plural)
		})
		if err != nil {
			return err
		}
		return writeResources(a, all, n.titles, n.row, func(r *R) string { return *n.called(n.spec(r)) })
	}
	return cmd
}

// collect reads all pages of a list.
func collect[R any](ctx context.Context, client *admin.Client, o admin.ListOptions, list func(*admin.Client, context.Context, admin.ListOptions) (admin.Page[R], error)) ([]R, error) {
	all := []R{}
	for item, err := range admin.Each(ctx, o, func(ctx context.Context, o admin.ListOptions) (admin.Page[R], error) { return list(client, ctx, o) }) {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// writeResources writes a list in the form that was asked for.
func writeResources[R any](a *api, all []R, titles []string, row func(*R) []string, name func(*R) string) error {
	if done, err := a.writeValue(all); done {
		return err
	}
	if a.named() {
		for i := range all {
			a.say("%s", printable(name(&all[i]), 256))
		}
		return nil
	}
	w := newTable(a.stdout, titles...)
	for i := range all {
		fmt.Fprintln(w, strings.Join(row(&all[i]), "\t"))
	}
	return w.Flush()
}

func (n *noun[R, S]) newShow(a *api) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show one " + n.name + ", by its name or uid",
		Args:  cobra.ExactArgs(1),
	}
	tenant := n.withName(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			r, err := n.find(ctx, client, *tenant, args[0])
			if err != nil {
				return a.failed(err, "show %s %s", n.name, printable(args[0], 64))
			}
			return n.write(a, &r)
		})
	}
	return cmd
}

// find gives the resource of that name or uid. A tenant's is looked for among its own.
func (n *noun[R, S]) find(ctx context.Context, client *admin.Client, tenant, name string) (R, error) {
	if tenant == "" {
		return n.get(client, ctx, name)
	}
	for r, err := range admin.Each(ctx, admin.ListOptions{Tenant: tenant, Prefix: name}, func(ctx context.Context, o admin.ListOptions) (admin.Page[R], error) { return n.list(client, ctx, o) }) {
		if err != nil || *n.called(n.spec(&r)) == name {
			return r, err
		}
	}
	var none R
	return none, &admin.Problem{Status: http.StatusNotFound, Code: "not_found", Detail: fmt.Sprintf("tenant %q has no %s %q", tenant, n.name, name)}
}

// idOf is what a call names a resource by: without a tenant, as it was written.
func (n *noun[R, S]) idOf(ctx context.Context, client *admin.Client, tenant, name string) (string, error) {
	if tenant == "" {
		return name, nil
	}
	r, err := n.find(ctx, client, tenant, name)
	return n.meta(&r).UID, err
}

// write shows one resource: what causeway knows about it, and the settings as a file
// would have them.
func (n *noun[R, S]) write(a *api, r *R) error {
	if done, err := a.writeValue(r); done {
		return err
	}
	name := *n.called(n.spec(r))
	if a.named() {
		a.say("%s", printable(name, 256))
		return nil
	}
	m := n.meta(r)
	lines := append([][2]string{{n.name, name}, {"uid", m.UID}, {"version", fmt.Sprint(m.Version)}}, n.head(r)...)
	if m.Tenant != "" {
		lines = append(lines, [2]string{"tenant", m.Tenant})
	}
	if m.Set != "" {
		lines = append(lines, [2]string{"set", m.Set + ": its settings are changed with causeway apply"})
	}
	lines = append(lines, [2]string{"made", moment(&m.Created)})
	by := ""
	if m.By != "" {
		by = " by " + m.By
	}
	lines = append(lines, [2]string{"changed", moment(&m.Changed) + by})
	for _, line := range lines {
		fmt.Fprintf(a.stdout, "%-13s %s\n", line[0]+":", printable(line[1], 300))
	}
	tree, err := treeOf(n.spec(r))
	if err != nil {
		return err
	}
	settings, ok := tree.(mapping)
	if !ok {
		return errors.New("show the settings: they are no mapping")
	}
	fmt.Fprintln(a.stdout)
	return writeYAML(a.stdout, pruned(settings))
}

// form is the type of the spec.
func (n *noun[R, S]) form() reflect.Type { return reflect.TypeFor[S]() }

// state says whether something is paused or at fault.
func state(paused bool, fault string) string {
	switch {
	case fault != "":
		return "fault"
	case paused:
		return "paused"
	}
	return "live"
}

// stateLines are the lines of show about it.
func stateLines(paused bool, fault string, retiring []admin.Retiring) [][2]string {
	lines := [][2]string{{"state", state(paused, "")}}
	if fault != "" {
		lines = append(lines, [2]string{"fault", fault})
	}
	for _, r := range retiring {
		lines = append(lines, [2]string{"retiring", r.Secret + " counts until " + moment(&r.Until)})
	}
	return lines
}
