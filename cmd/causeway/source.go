package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/provider"
)

func sourceNoun() *noun[admin.Source, catalog.SourceSpec] {
	return &noun[admin.Source, catalog.SourceSpec]{
		name: "source", plural: "sources",
		titles: []string{"NAME", "PROVIDER", "TOPIC", "STATE", "TENANT", "SET"},
		row: func(s *admin.Source) []string {
			return []string{column(s.Spec.Name), column(s.Spec.Provider), column(s.Topic), state(s.Paused, s.Fault), column(s.Tenant), column(s.Set)}
		},
		head: func(s *admin.Source) [][2]string {
			lines := stateLines(s.Paused, s.Fault, s.Retiring)
			if s.URL != "" {
				lines = append(lines, [2]string{"url", s.URL})
			}
			return append(lines, [2]string{"topic", s.Topic})
		},
		meta:    func(s *admin.Source) *admin.Meta { return &s.Meta },
		spec:    func(s *admin.Source) *catalog.SourceSpec { return &s.Spec },
		called:  func(s *catalog.SourceSpec) *string { return &s.Name },
		secrets: true,
		owned:   true,
		loses:   "Its URL answers 404 from then on; its topic stays",
		gotten:  "added",
		list:    (*admin.Client).Sources,
		get:     (*admin.Client).Source,
		create: func(ctx context.Context, c *admin.Client, tenant string, spec catalog.SourceSpec) (admin.Source, error) {
			return c.CreateSource(ctx, admin.SourceInput{Tenant: tenant, Spec: spec})
		},
		update: func(ctx context.Context, c *admin.Client, id string, version int64, tenant string, spec catalog.SourceSpec) (admin.Source, error) {
			return c.UpdateSource(ctx, id, version, admin.SourceInput{Tenant: tenant, Spec: spec})
		},
		remove: (*admin.Client).DeleteSource,
	}
}

func newSource(c *common) *cobra.Command {
	n := sourceNoun()
	cmd, a := n.command(c, "Sources of webhooks: list, show, add, change, pause, test",
		`Sources of webhooks. A change is live in every process within a second.

  causeway source add stripe --provider stripe --secret env:STRIPE_WEBHOOK_SECRET
  causeway source set stripe --max_body 2MiB
  causeway source pause stripe

See causeway help exit-codes for what the exit codes mean.`)
	cmd.AddCommand(n.stateCommands(a, stateVerbs[admin.Source]{
		pauses:  "Let the door answer 503, so that the provider sends again later",
		resumes: "Open the door again",
		tests:   "Say whether webhooks of the source could be verified and stored",
		pause:   (*admin.Client).PauseSource,
		resume:  (*admin.Client).ResumeSource,
		rotate:  (*admin.Client).RotateSourceSecret,
		test:    (*admin.Client).TestSource,
	})...)
	for _, verb := range cmd.Commands() {
		if verb.Flags().Lookup("provider") != nil {
			completeFlag(verb, "provider", providerNames)
		}
	}
	return cmd
}

// providerNames proposes the providers.
func providerNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return provider.Names(), cobra.ShellCompDirectiveNoFileComp
}

// sourcesAndProviders proposes what a webhook can be sent as.
func sourcesAndProviders(c *common) completion {
	names := sourceNoun().names(&api{common: c, data: defaultData})
	return func(cmd *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective) {
		sources, how := names(cmd, args, begins)
		all := append(sources, provider.Names()...)
		slices.Sort(all)
		return slices.Compact(all), how
	}
}
