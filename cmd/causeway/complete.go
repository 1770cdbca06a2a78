package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

const (
	completeWithin = time.Second
	completeMost   = 200 // names; a shell shows fewer
)

// completion proposes what a word that begins so may become.
type completion func(cmd *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective)

// completeFlag tells the shell what a flag's value may be.
func completeFlag(cmd *cobra.Command, flag string, c func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)) {
	// It fails when the flag is not there or has one already, which newRoot would
	// show in every test.
	if err := cmd.RegisterFlagCompletionFunc(flag, c); err != nil {
		panic(err)
	}
}

// live proposes names that the API has. It says nothing when there is no answer in a
// moment: whoever pressed a key waits for letters.
func live(a *api, names func(ctx context.Context, client *admin.Client, o admin.ListOptions) ([]string, error)) completion {
	return func(cmd *cobra.Command, _ []string, begins string) ([]string, cobra.ShellCompDirective) {
		client, err := a.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		found, err := names(ctx, client, admin.ListOptions{Prefix: begins, Limit: completeMost})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// A name with what a terminal could take as a command is none to type.
		found = slices.DeleteFunc(found, func(name string) bool {
			return !strings.HasPrefix(name, begins) || printable(name, 256) != name
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// first proposes for the first argument only.
func firstArgument(c completion) completion {
	return func(cmd *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c(cmd, args, begins)
	}
}

// namesOf gives the names on the first page of a list.
func namesOf[R any](list func(*admin.Client, context.Context, admin.ListOptions) (admin.Page[R], error), name func(*R) string) func(context.Context, *admin.Client, admin.ListOptions) ([]string, error) {
	return func(ctx context.Context, client *admin.Client, o admin.ListOptions) ([]string, error) {
		page, err := list(client, ctx, o)
		names := make([]string, 0, len(page.Items))
		for i := range page.Items {
			names = append(names, name(&page.Items[i]))
		}
		return names, err
	}
}
