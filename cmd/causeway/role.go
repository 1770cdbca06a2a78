package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newIngress(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "ingress",
		Short: "The HTTP edge: take webhooks in and write them to Kafka",
		Long: `The HTTP edge: it verifies webhooks, writes them to the Kafka cluster that the
process file names, and answers. It keeps no state: run as many as you like behind
a load balancer that asks /readyz.

On SIGTERM it is not ready at once, goes on accepting for ingress.drain_delay, then
takes no new connections, finishes its requests and ends with 0.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRole(cmd.Context(), c, roles{ingress: true}) },
	}
}

func newEgress(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "egress",
		Short: "The consumer group: deliver the events in Kafka to the subscriptions",
		Long: `The consumer group: it reads events from the Kafka cluster that the process file
names and delivers them. Run as many as you like: Kafka shares the partitions out
among them.

On SIGTERM it finishes the attempts under way, commits, leaves its groups, so that
the others take over at once, and ends with 0.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRole(cmd.Context(), c, roles{egress: true}) },
	}
}

func newAdmin(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "admin",
		Short: "The API by which sources, subscriptions, tenants and keys are looked at and changed",
		Long: `The API by which sources, subscriptions, tenants and keys are looked at and changed.
It keeps no state: one process is enough, several may run at once.

It listens on admin.listen (127.0.0.1:8701), where whoever is on this machine needs no
key. On any other address every request needs one: make the first with causeway key
create on the machine itself.

On SIGTERM it finishes its requests and ends with 0.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRole(cmd.Context(), c, roles{admin: true}) },
	}
}

// runRole plays one role on the cluster that the process file names.
func runRole(ctx context.Context, c *common, r roles) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	p.config = p.config.withDefaults()
	if len(p.config.Kafka.Brokers) == 0 {
		p.fault(keys{"kafka", "brokers"}, "names none, and this verb needs a cluster: write it like [kafka-1:9092, kafka-2:9092]; causeway dev has an embedded broker and needs none")
	}
	return serve(ctx, serveOptions{file: p, roles: r, stderr: c.stderr})
}
