package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

func tenantNoun() *noun[admin.Tenant, catalog.TenantSpec] {
	return &noun[admin.Tenant, catalog.TenantSpec]{
		name: "tenant", plural: "tenants",
		titles: []string{"NAME", "SUBSCRIPTIONS", "MOST", "SOURCES", "SET"},
		row: func(t *admin.Tenant) []string {
			most := "-"
			if t.Spec.MaxSubscriptions > 0 {
				most = fmt.Sprint(t.Spec.MaxSubscriptions)
			}
			return []string{column(t.Spec.Name), fmt.Sprint(t.Subscriptions), most, several(t.Spec.Sources), column(t.Set)}
		},
		head: func(t *admin.Tenant) [][2]string {
			return [][2]string{{"subscriptions", fmt.Sprint(t.Subscriptions)}}
		},
		meta:   func(t *admin.Tenant) *admin.Meta { return &t.Meta },
		spec:   func(t *admin.Tenant) *catalog.TenantSpec { return &t.Spec },
		called: func(s *catalog.TenantSpec) *string { return &s.Name },
		loses:  "It has to own nothing any more",
		gotten: "added",
		list:   (*admin.Client).Tenants,
		get:    (*admin.Client).Tenant,
		create: func(ctx context.Context, c *admin.Client, _ string, spec catalog.TenantSpec) (admin.Tenant, error) {
			return c.CreateTenant(ctx, admin.TenantInput{Spec: spec})
		},
		update: func(ctx context.Context, c *admin.Client, id string, version int64, _ string, spec catalog.TenantSpec) (admin.Tenant, error) {
			return c.UpdateTenant(ctx, id, version, admin.TenantInput{Spec: spec})
		},
		remove: (*admin.Client).DeleteTenant,
	}
}

func newTenant(c *common) *cobra.Command {
	n := tenantNoun()
	cmd, a := n.command(c, "Tenants: customers with subscriptions of their own, and their limits",
		`Tenants: customers with subscriptions and API keys of their own, and their limits.

  causeway tenant add acme --sources 'shop-*' --max_subscriptions 20
  causeway key create --tenant acme --role editor --note "acme's console"

See causeway help exit-codes for what the exit codes mean.`)
	sources := sourceNoun()
	for _, verb := range cmd.Commands() {
		if verb.Flags().Lookup("sources") != nil {
			completeFlag(verb, "sources", sources.names(a))
		}
	}
	return cmd
}

// tenantNames proposes the names of tenants.
func tenantNames(a *api) completion {
	return live(a, namesOf((*admin.Client).Tenants, func(t *admin.Tenant) string { return t.Spec.Name }))
}
