package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"causeway/pkg/secret"
)

const maxSecret = 64 << 10

// confirm asks on a terminal whether something shall be done. Where nobody can be
// asked, it wants --yes.
func (a *api) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usageError{"", errors.New("nobody can be asked here whether this is meant: say so with --yes")}
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	answer, err := waitFor(ctx, func() (string, error) { return bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if !agrees(answer) {
		fmt.Fprintln(a.stderr, "Nothing was done.")
		return errReported
	}
	return nil
}

// agrees says whether an answer is a yes. Everything else is a no.
func agrees(answer string) bool {
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// waitFor lets Ctrl-C end the wait for somebody at a keyboard. What reads on is ended
// with the process, which is what comes next.
func waitFor[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type got struct {
		value T
		err   error
	}
	done := make(chan got, 1)
	go func() {
		value, err := read()
		done <- got{value, err}
	}()
	select {
	case g := <-done:
		return g.value, g.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// secretFlags are the ways to give a secret. None of them puts it on the command line,
// where every user of the machine sees it.
type secretFlags struct {
	refs  []string
	stdin bool
}

func newSecretFlags(cmd *cobra.Command) *secretFlags {
	s := &secretFlags{}
	cmd.Flags().StringArrayVar(&s.refs, "secret", nil, "`reference` env:NAME or file:/path, as the server has it; plain: it is asked for here, and sealed; may be repeated")
	cmd.Flags().BoolVar(&s.stdin, "secret-stdin", false, "read the secret from standard input, to be sealed")
	completeFlag(cmd, "secret", cobra.FixedCompletions([]string{"env:", "file:/", "plain"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	return s
}

// read gives the secrets as the API takes them. Its errors never repeat what was given.
func (s *secretFlags) read(ctx context.Context, a *api) ([]any, error) {
	var secrets []any
	for _, text := range s.refs {
		switch {
		case text == "plain":
			value, err := a.askSecret(ctx)
			if err != nil {
				return nil, err
			}
			secrets = append(secrets, "plain:"+value)
		case strings.HasPrefix(text, "plain:"):
			return nil, usageError{"", errors.New("--secret: everybody on this machine sees a command line: write --secret plain, and it is asked for, or use --secret-stdin; this one is no secret any more")}
		case strings.HasPrefix(text, "sealed:"):
			secrets = append(secrets, text) // one that is there already, kept
		default:
			if _, err := secret.ParseRef(text); err != nil {
				return nil, usageError{"", fmt.Errorf("--secret: %w; or write plain, and it is asked for", err)}
			}
			secrets = append(secrets, text)
		}
	}
	if s.stdin {
		text, err := io.ReadAll(io.LimitReader(a.stdin, maxSecret+1))
		if err != nil {
			return nil, fmt.Errorf("read the secret from standard input: %w", err)
		}
		value := strings.TrimRight(string(text), "\r\n")
		if value == "" || len(text) > maxSecret {
			return nil, usageError{"", errors.New("--secret-stdin: standard input holds no secret: 1 byte to 64 KiB")}
		}
		secrets = append(secrets, "plain:"+value)
	}
	return secrets, nil
}

// askSecret asks on the terminal, without an echo.
func (a *api) askSecret(ctx context.Context) (string, error) {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usageError{"", errors.New("--secret plain asks on a terminal, and there is none: use --secret-stdin")}
	}
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask for the secret: %w", err)
	}
	fmt.Fprint(a.stderr, "Secret (not shown): ")
	value, err := waitFor(ctx, func() ([]byte, error) { return term.ReadPassword(int(in.Fd())) })
	fmt.Fprintln(a.stderr)
	if err != nil {
		// Left in the middle, the terminal would show nothing that is typed from then on.
		return "", fmt.Errorf("ask for the secret: %w", errors.Join(err, term.Restore(int(in.Fd()), state)))
	}
	if len(value) == 0 {
		return "", usageError{"", errors.New("--secret plain: nothing was typed")}
	}
	return string(value), nil
}

// readInput reads a file, or standard input for -, and gives it a name for messages.
func (a *api) readInput(path string, most int64) (name string, text []byte, err error) {
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(a.stdin, most+1))
		return "standard input", text, err
	}
	text, err = readAtMost(path, most+1)
	return path, text, err
}
