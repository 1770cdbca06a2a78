package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// stateVerbs are the verbs of what receives or delivers: they do not touch the
// settings, but for the secrets.
type stateVerbs[R any] struct {
	pauses, resumes string // what pause and resume mean
	tests           string // what test does
	pause, resume   func(*admin.Client, context.Context, string) (R, error)
	rotate          func(*admin.Client, context.Context, string, admin.RotateInput) (admin.Rotated, error)
	test            func(*admin.Client, context.Context, string) (admin.TestResult, error)
}

func (n *noun[R, S]) stateCommands(a *api, s stateVerbs[R]) []*cobra.Command {
	return []*cobra.Command{
		n.newState(a, "pause", "paused", s.pauses, s.pause),
		n.newState(a, "resume", "resumed", s.resumes, s.resume),
		n.newRotate(a, s.rotate),
		n.newTest(a, s),
	}
}

func (n *noun[R, S]) newState(a *api, verb, done, short string, change func(*admin.Client, context.Context, string) (R, error)) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1)}
	tenant := n.withName(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			var r R
			id, err := n.idOf(ctx, client, *tenant, args[0])
			if err == nil {
				r, err = change(client, ctx, id)
			}
			if err != nil {
				return a.failed(err, "%s %s %s", verb, n.name, printable(args[0], 64))
			}
			return n.written(a, &r, done)
		})
	}
	return cmd
}

func (n *noun[R, S]) newRotate(a *api, rotate func(*admin.Client, context.Context, string, admin.RotateInput) (admin.Rotated, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-secret NAME",
		Short: "Put a new secret first; the old ones count a while longer",
		Long: `Put a new secret first. The old ones count as long as --overlap says, so that
nobody has to change at the same moment.

Without --secret one is made and shown this once.`,
		Args: cobra.ExactArgs(1),
	}
	tenant := n.withName(a, cmd)
	secrets := newSecretFlags(cmd)
	overlap := ""
	cmd.Flags().StringVar(&overlap, "overlap", "", "how long the old ones go on counting; 24h when left out, 0s for not at all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := rotateInput(cmd, a, secrets, overlap)
		if err != nil {
			return err
		}
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			var rotated admin.Rotated
			id, err := n.idOf(ctx, client, *tenant, args[0])
			if err == nil {
				rotated, err = rotate(client, ctx, id, in)
			}
			if err != nil {
				return a.failed(err, "rotate the secret of %s %s", n.name, printable(args[0], 64))
			}
			return n.rotated(a, args[0], rotated)
		})
	}
	return cmd
}

func rotateInput(cmd *cobra.Command, a *api, secrets *secretFlags, overlap string) (in admin.RotateInput, err error) {
	if overlap != "" {
		var d catalog.Duration
		if err := d.UnmarshalText([]byte(overlap)); err != nil {
			return in, usageError{"", fmt.Errorf("--overlap: %w", err)}
		}
		in.Overlap = new(d)
	}
	list, err := secrets.read(cmd.Context(), a)
	switch {
	case err != nil:
		return in, err
	case len(list) > 1:
		return in, usageError{"", errors.New("a rotation has one new secret")}
	case len(list) == 1:
		in.Secret = fmt.Sprint(list[0])
	}
	return in, nil
}

func (n *noun[R, S]) rotated(a *api, name string, r admin.Rotated) error {
	if wrote, err := a.writeValue(r); wrote {
		return err
	}
	shown := printable(name, 64)
	if a.named() {
		a.say("%s", shown)
		if r.Secret != "" { // it would be lost
			fmt.Fprintf(a.stderr, "new secret, shown this once: %s\n", printable(r.Secret, 500))
		}
		return nil
	}
	until := "the old ones do not count any more"
	if r.Retires != nil {
		until = "the old ones count until " + moment(r.Retires)
	}
	a.say("%s %s: has a new secret; %s (version %d)", n.name, shown, until, r.Version)
	if r.Secret != "" {
		a.showOnce("new secret", r.Secret, "give it to the other side before the old ones end; lost, rotate again")
	}
	return nil
}

func (n *noun[R, S]) newTest(a *api, s stateVerbs[R]) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: s.tests,
		Long:  s.tests + ".\nThe exit code is 1 when a check fails.",
		Args:  cobra.ExactArgs(1),
	}
	tenant := n.withName(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd.Context(), func(ctx context.Context, client *admin.Client) error {
			var result admin.TestResult
			id, err := n.idOf(ctx, client, *tenant, args[0])
			if err == nil {
				result, err = s.test(client, ctx, id)
			}
			if err != nil {
				return a.failed(err, "test %s %s", n.name, printable(args[0], 64))
			}
			return n.tested(a, args[0], result)
		})
	}
	return cmd
}

func (n *noun[R, S]) tested(a *api, name string, result admin.TestResult) error {
	wrote, err := a.writeValue(result)
	switch {
	case err != nil:
		return err
	case wrote:
	case a.named():
		if result.OK {
			a.say("%s", printable(name, 256))
		}
	default:
		for _, check := range result.Checks {
			mark := "ok  "
			if !check.OK {
				mark = "FAIL"
			}
			text := ""
			if check.Text != "" {
				text = ": " + check.Text
			}
			a.say("%s  %s", mark, printable(check.What+text, 1000))
		}
		if result.Status != 0 {
			a.say("the endpoint answered %d after %s", result.Status, printable(result.Took, 32))
		}
		if result.Response != "" && !result.OK {
			a.say("its answer: %s", printable(result.Response, 500))
		}
	}
	if !result.OK {
		return errReported
	}
	return nil
}
