package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/secret"
)

func newKey(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "API keys, and the keys that secrets are sealed under",
		Long: `API keys, with which people and programs use the admin API: list, create, revoke.
And the keys in CAUSEWAY_KEYS, under which secrets are sealed: generate, rotate.

See causeway help exit-codes for what the exit codes mean.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a := newAPI(c, cmd)
	cmd.AddCommand(newKeyList(a), newKeyCreate(a), newKeyRevoke(a), newKeyGenerate(a), newKeyRotate(a))
	return cmd
}

func newKeyList(a *api) *cobra.Command {
	o := admin.ListOptions{Limit: 500}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List API keys, without the keys themselves",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []admin.Key
			err := a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
				var err error
				all, err = collect(ctx, client, o, (*admin.Client).Keys)
				return a.failed(err, "list API keys")
			})
			if err != nil {
				return err
			}
			row := func(k *admin.Key) []string {
				return []string{column(k.UID), several(k.Roles), column(k.Tenant), moment(k.Expires), moment(k.LastUsed), column(k.Note)}
			}
			return writeResources(a, all, []string{"ID", "ROLES", "TENANT", "EXPIRES", "LAST USED", "NOTE"}, row, keyID)
		},
	}
	cmd.Flags().StringVar(&o.Tenant, "tenant", "", "only keys of this tenant")
	completeFlag(cmd, "tenant", tenantNames(a))
	return cmd
}

func keyID(k *admin.Key) string { return k.UID }

// keyRoles are what an API key may be for.
func keyRoles() []string { return []string{"viewer", "operator", "editor", "payloads", "admin"} }

func newKeyCreate(a *api) *cobra.Command {
	in := admin.KeyInput{}
	expires := ""
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an API key, and show it this once",
		Long: `Make an API key, and show it this once.

  causeway key create --role viewer --role operator --note "on call" --expires 90d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(in.Roles) == 0 {
				return usageError{"", fmt.Errorf("name what it may do with --role: %s", strings.Join(keyRoles(), ", "))}
			}
			if expires != "" {
				at, err := parseExpiry(expires, time.Now())
				if err != nil {
					return usageError{"", fmt.Errorf("--expires: %w", err)}
				}
				in.Expires = &at
			}
			return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
				key, err := client.CreateKey(ctx, in)
				if err != nil {
					return a.failed(err, "create an API key")
				}
				return keyCreated(a, &key)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&in.Roles, "role", nil, "what it may do: "+strings.Join(keyRoles(), ", ")+"; may be repeated")
	f.StringVar(&in.Tenant, "tenant", "", "tenant that it is for; the operator when left out")
	f.StringVar(&in.Note, "note", "", "whose it is, what for")
	f.StringVar(&expires, "expires", "", "when it stops to count: after 12h or 90d, or at 2027-01-31 or 2027-01-31T12:00:00Z; never when left out")
	completeFlag(cmd, "role", cobra.FixedCompletions(keyRoles(), cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "tenant", tenantNames(a))
	return cmd
}

func keyCreated(a *api, key *admin.Key) error {
	if wrote, err := a.writeValue(key); wrote {
		return err
	}
	if a.named() {
		a.say("%s", printable(key.UID, 256))
		fmt.Fprintf(a.stderr, "API key, shown this once: %s\n", printable(key.Key, 500)) // it would be lost
		return nil
	}
	until := ""
	if key.Expires != nil {
		until = ", until " + moment(key.Expires)
	}
	a.say("API key %s: made, %s%s", printable(key.UID, 64), strings.Join(key.Roles, " "), until)
	a.showOnce("API key", key.Key, "put it into "+envAPIKey+" or a file for --key-file; lost, revoke it and make another")
	return nil
}

// parseExpiry reads a time, a day, or how long from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			if !at.After(now) {
				return at, fmt.Errorf("%s is over already", text)
			}
			return at, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return now.AddDate(0, 0, int(n)), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time to come: write it like 12h, 90d, 2027-01-31 or 2027-01-31T12:00:00Z", printable(text, 64))
}

func newKeyRevoke(a *api) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End an API key, everywhere within a second",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Somebody may paste the key itself: what is behind its id stays out of the URL.
			id := args[0]
			if rest, ok := strings.CutPrefix(id, "cwk_"); ok {
				id, _, _ = strings.Cut(rest, "_")
			}
			if err := a.confirm(cmd.Context(), yes, fmt.Sprintf("Revoke API key %s? Who uses it is refused from then on.", printable(id, 64))); err != nil {
				return err
			}
			return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
				if err := client.RevokeKey(ctx, id); err != nil {
					return a.failed(err, "revoke API key %s", printable(id, 64))
				}
				return a.done("API key", id, "revoked")
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.ValidArgsFunction = firstArgument(live(a, namesOf((*admin.Client).Keys, keyID)))
	return cmd
}

func newKeyGenerate(a *api) *cobra.Command {
	return &cobra.Command{
		Use:   "generate [ID]",
		Short: "Print a key for CAUSEWAY_KEYS, under which secrets are sealed",
		Long: `Print a key for CAUSEWAY_KEYS, under which secrets are sealed: one line, id:key, and
nothing else. ID is k and today's date when left out. Nothing is asked of the API.

Whoever has this key and can read the catalog's topic has the secrets. Keep it where
you keep passwords; without it, sealed secrets have to be given again.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id := "k" + time.Now().UTC().Format("20060102")
			if len(args) > 0 {
				id = args[0]
			}
			line, err := secret.GenerateKey(id)
			if err != nil {
				return usageError{"", err}
			}
			a.say("%s", line.Reveal())
			return nil
		},
	}
}

func newKeyRotate(a *api) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Seal every secret under the first key of CAUSEWAY_KEYS",
		Long: `Seal every secret under the first key of CAUSEWAY_KEYS. To replace a key:

  1. causeway key generate prints a new one. Put it behind the others in CAUSEWAY_KEYS
     of every process (old,new), and restart them: now each can open what the new one
     seals.
  2. Put it first (new,old), and restart them again: now it seals.
  3. causeway key rotate
  4. Take the old one out (new), and restart them once more.

Each step can be repeated. If rotate ends with an error, nothing was changed unless it
says that it may have been.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.callWithin(cmd.Context(), applyTimeout, func(ctx context.Context, client *admin.Client) error {
				r, err := client.Reseal(ctx)
				if err != nil {
					return a.failed(err, "rotate the key of the sealed secrets")
				}
				if wrote, err := a.writeValue(r); wrote {
					return err
				}
				a.say("%d secrets sealed anew, %d were under the first key already (version %d)", r.Resealed, r.Kept, r.Version)
				if r.Resealed+r.Kept > 0 {
					a.say("The other keys can be taken out of %s now.", secret.KeysVariable)
				}
				return nil
			})
		},
	}
}
