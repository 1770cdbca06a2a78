package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

func newHealth(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say how the process that answers the admin API is",
		Long: `Say how the process that answers the admin API is, and what it finds wrong. The exit
code is 1 when it is not ready.`,
		Args: cobra.NoArgs,
	}
	a := newAPI(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			h, err := client.Health(ctx)
			if err != nil {
				return a.failed(err, "ask for the health")
			}
			return writeHealth(a, h)
		})
	}
	return cmd
}

func writeHealth(a *api, h admin.Health) error {
	ready := "ready"
	if !h.Ready {
		ready = "not ready"
	}
	wrote, err := a.writeValue(h)
	switch {
	case err != nil:
		return err
	case wrote:
	case a.named() || h.Version == "": // a tenant is told no more
		a.say("%s", ready)
	default:
		a.say("%s: release %s, catalog version %d", ready, printable(h.Version, 64), h.Catalog)
		if len(h.Failing) > 0 {
			w := newTable(a.stdout, "CONDITION", "SINCE", "WHY")
			for _, f := range h.Failing {
				fmt.Fprintf(w, "%s\t%s\t%s\n", column(f.Code), moment(&f.Since), printable(f.Title+": "+f.Text, 500))
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	if !h.Ready {
		return errReported
	}
	return nil
}

// newTopicLag is the one verb of topic that asks the API: egress alone knows what it
// has not settled.
func newTopicLag(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lag",
		Short: "List causeway's topics with what egress has not settled, as the admin API sees it",
		Args:  cobra.NoArgs,
	}
	a := newAPI(c, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var all []admin.Topic
		err := a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			var err error
			all, err = collect(ctx, client, admin.ListOptions{Limit: 500}, (*admin.Client).Topics)
			return a.failed(err, "list topics")
		})
		if err != nil {
			return err
		}
		row := func(t *admin.Topic) []string {
			lag := "-"
			if t.Lag != nil {
				lag = fmt.Sprint(*t.Lag)
			}
			if t.Missing {
				return []string{column(t.Name), column(t.Kind), "missing", "-", "-", "-"}
			}
			return []string{column(t.Name), column(t.Kind), fmt.Sprint(t.Partitions), fmt.Sprint(t.Copies), fmt.Sprint(t.Records), lag}
		}
		return writeResources(a, all, []string{"TOPIC", "KIND", "PARTITIONS", "COPIES", "RECORDS", "NOT SETTLED"}, row, func(t *admin.Topic) string { return t.Name })
	}
	return cmd
}
