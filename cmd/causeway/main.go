// Command causeway carries webhooks into Kafka and out again.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ballast := make([]byte, heapFloor)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	runtime.KeepAlive(ballast)
	stop()
	os.Exit(code)
}

// heapFloor is how much the heap may grow by before it is collected, however little of
// it is in use: what is in use between two webhooks is so little that Go would collect
// many times a second. It is never written to, so it is no memory but a number that
// the collector counts with; a heap in use of n bytes is collected at 2n + heapFloor
// instead of 2n.
const heapFloor = 64 << 20

// run is the whole program but for the process around it. It returns the exit code,
// one of exitCodes.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if usage, misused := errors.AsType[usageError](err); misused {
		fmt.Fprintf(stderr, "causeway: %v\nSee %s --help.\n", err, strings.TrimSpace("causeway "+usage.verb))
	} else if _, told := errors.AsType[reported](err); err != nil && !told {
		fmt.Fprintf(stderr, "causeway: %v\n", err)
	}
	return exitCodeOf(err)
}

// usageError is a command line that makes no sense.
type usageError struct {
	verb string // "": the one that runs
	err  error
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// common are the flags that every verb has, and where it writes.
type common struct {
	configPath string
	logFormat  string
	stdin      io.Reader
	stdout     io.Writer
	stderr     io.Writer
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	c := &common{stdin: os.Stdin, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "causeway",
		Short: "Carries webhooks into Kafka and out again",
		Long: `Carries webhooks into Kafka and out again.

causeway completion --help says how a shell completes verbs, flags and the names of
sources, subscriptions, tenants and keys, which it asks the admin API for.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{verbOf(cmd), err} })
	root.PersistentFlags().StringVarP(&c.configPath, "config", "c", os.Getenv(envConfig), "process file (also CAUSEWAY_CONFIG)")
	root.PersistentFlags().StringVar(&c.logFormat, "log-format", "", "console or json; console on a terminal")
	root.AddCommand(
		newDev(c), newIngress(c), newEgress(c), newAdmin(c), newCheck(c), newSend(c), newListen(c),
		newConfig(c), newTopic(c), newTail(c), newPlan(c), newVersion(c),
		newSource(c), newSubscription(c), newTenant(c), newKey(c), newApply(c), newExport(c), newHealth(c),
		newExitCodes(),
	)
	for _, cmd := range root.Commands() {
		teach(cmd)
	}
	return root
}

// knownVerb refuses what is left when no verb was found.
func knownVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var verbs []string
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			verbs = append(verbs, cmd.Name())
		}
	}
	return usageError{"", fmt.Errorf("there is no verb %q%s", printable(args[0], 64), didYouMean(args[0], verbs))}
}

// verbOf is a command as it is typed, without the program's name.
func verbOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "causeway"), " ")
}

// teach makes wrong arguments of a verb a usage error, like wrong flags, and lets one
// that comes from further down know which verb it was.
func teach(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				verb := verbOf(cmd)
				if _, names, has := strings.Cut(cmd.Use, " "); has && len(args) == 0 {
					err = fmt.Errorf("%s what? Write it like causeway %s %s", verb, verb, names)
				}
				return usageError{verb, err}
			}
			return nil
		}
	}
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := do(cmd, args)
			if usage, misused := errors.AsType[usageError](err); misused && usage.verb == "" {
				return usageError{verbOf(cmd), err}
			}
			return err
		}
	}
	for _, sub := range cmd.Commands() {
		teach(sub)
	}
}

// load reads the process file and the environment over it.
func (c *common) load() (*processFile, error) {
	p, err := readConfig(c.configPath, os.Environ())
	if err != nil {
		return nil, err
	}
	if c.logFormat != "" {
		p.config.Log.Format = c.logFormat
	}
	return p, nil
}
