package main

import (
	"github.com/spf13/cobra"
)

func newConfig(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "About the process file",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the process file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := configSchema()
			if err != nil {
				return err
			}
			_, err = c.stdout.Write(schema)
			return err
		},
	})
	return cmd
}
