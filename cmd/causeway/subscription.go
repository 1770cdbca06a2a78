package main

import (
	"context"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

func subscriptionNoun() *noun[admin.Subscription, catalog.SubscriptionSpec] {
	return &noun[admin.Subscription, catalog.SubscriptionSpec]{
		name: "subscription", plural: "subscriptions",
		titles: []string{"NAME", "URL", "SOURCES", "TYPES", "STATE", "TENANT", "SET"},
		row: func(s *admin.Subscription) []string {
			return []string{column(s.Spec.Name), column(s.Spec.URL), several(s.Spec.Sources), several(s.Spec.Types), state(s.Paused, s.Fault), column(s.Tenant), column(s.Set)}
		},
		head: func(s *admin.Subscription) [][2]string {
			return stateLines(s.Paused, s.Fault, s.Retiring)
		},
		meta:    func(s *admin.Subscription) *admin.Meta { return &s.Meta },
		spec:    func(s *admin.Subscription) *catalog.SubscriptionSpec { return &s.Spec },
		called:  func(s *catalog.SubscriptionSpec) *string { return &s.Name },
		secrets: true,
		owned:   true,
		loses:   "What waits for it is dead-lettered, and one made again under its name gets only what comes after",
		gotten:  "added; it gets what is stored from now on",
		list:    (*admin.Client).Subscriptions,
		get:     (*admin.Client).Subscription,
		create: func(ctx context.Context, c *admin.Client, tenant string, spec catalog.SubscriptionSpec) (admin.Subscription, error) {
			return c.CreateSubscription(ctx, admin.SubscriptionInput{Tenant: tenant, Spec: spec})
		},
		update: func(ctx context.Context, c *admin.Client, id string, version int64, tenant string, spec catalog.SubscriptionSpec) (admin.Subscription, error) {
			return c.UpdateSubscription(ctx, id, version, admin.SubscriptionInput{Tenant: tenant, Spec: spec})
		},
		remove: (*admin.Client).DeleteSubscription,
		made:   func(s *admin.Subscription) string { return s.Secret },
	}
}

func newSubscription(c *common) *cobra.Command {
	n := subscriptionNoun()
	cmd, a := n.command(c, "Subscriptions: who gets which events",
		`Subscriptions: who gets which events. A change is live in every process within a
second.

  causeway subscription add billing --url https://billing.example.com/hooks --sources stripe --types 'invoice.*'
  causeway subscription set billing --retry.max_age 24h
  causeway subscription test billing

Without --secret a signing secret is made, and shown once.
See causeway help exit-codes for what the exit codes mean.`)
	cmd.AddCommand(n.stateCommands(a, stateVerbs[admin.Subscription]{
		pauses:  "Let its deliveries wait",
		resumes: "Let its deliveries go on",
		tests:   "Send one signed test event to its URL",
		pause:   (*admin.Client).PauseSubscription,
		resume:  (*admin.Client).ResumeSubscription,
		rotate:  (*admin.Client).RotateSubscriptionSecret,
		test:    (*admin.Client).TestSubscription,
	})...)
	sources := sourceNoun()
	for _, verb := range cmd.Commands() {
		if verb.Flags().Lookup("sources") != nil {
			completeFlag(verb, "sources", sources.names(a))
		}
	}
	return cmd
}
