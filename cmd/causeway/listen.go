package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/secret"
)

const (
	defaultReceiver = "127.0.0.1:8790"
	summaryEvery    = 10 * time.Second
)

type listenOptions struct {
	listen, data, secret, forward string
	fail, status                  int
	delay                         time.Duration
}

func newListen(c *common) *cobra.Command {
	o := listenOptions{}
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive deliveries: verify them and print a line for each",
		Long: `Receive deliveries: verify their Standard Webhooks signatures and print a line
for each. It can also play a bad subscriber, and then says how long each webhook
was away between a failure and the next attempt.

The secret is the one that causeway dev keeps in its data directory, unless
--secret names another.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runListen(cmd.Context(), c, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", defaultReceiver, "address to listen on")
	f.StringVar(&o.data, "data", defaultData, "data directory of causeway dev, where the secret is")
	f.StringVar(&o.secret, "secret", "", "reference to the signing secret: env:NAME or file:/path")
	f.IntVar(&o.fail, "fail", 0, "fail the first so many attempts of each webhook")
	f.IntVar(&o.status, "status", 0, "answer failures with this status (500); without --fail, everything")
	f.DurationVar(&o.delay, "delay", 0, "wait so long before each answer")
	f.StringVar(&o.forward, "forward-to", "", "send deliveries on to this URL and answer with its status")
	return cmd
}

func (o listenOptions) check() error {
	var errs []error
	if o.fail < 0 {
		errs = append(errs, fmt.Errorf("--fail %d: must not be negative", o.fail))
	}
	if o.status != 0 && (o.status < 200 || o.status > 599) {
		errs = append(errs, fmt.Errorf("--status %d: use 200 to 599", o.status))
	}
	if o.delay < 0 {
		errs = append(errs, fmt.Errorf("--delay %s: must not be negative", o.delay))
	}
	if o.forward != "" {
		errs = append(errs, checkURL("--forward-to", o.forward))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{"listen", err}
	}
	return nil
}

func runListen(ctx context.Context, c *common, o listenOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	r := newReceiver(c.stdout)
	r.fail, r.status, r.delay, r.forward, r.client = o.fail, o.status, o.delay, o.forward, plainClient(64)
	key, err := listenSecret(o)
	if err != nil {
		return err
	}
	if !key.IsZero() {
		if r.scheme, r.keys, err = standardKey(key); err != nil {
			return fmt.Errorf("the signing secret: %w", err)
		}
	}
	ln, err := listen(ctx, o.listen, "--listen")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "listening on http://%s\n", ln.Addr())
	if r.scheme == nil {
		fmt.Fprintf(c.stdout, "signatures are not checked: there is no %s/%s; start causeway dev first or name a secret with --secret\n", o.data, devFile)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	reporting, stop := context.WithCancel(ctx)
	var reports sync.WaitGroup
	reports.Go(func() { r.report(reporting) })
	err = serveUntil(ctx, server, func() error { return server.Serve(ln) }, 5*time.Second)
	stop()
	reports.Wait()
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.listen, err)
	}
	fmt.Fprint(c.stdout, r.summary())
	return nil
}

// listenSecret is the secret that was asked for, or the one of causeway dev if
// there is one.
func listenSecret(o listenOptions) (secret.Secret, error) {
	if o.secret != "" {
		return resolveFlag("--secret", o.secret)
	}
	secrets, err := readDevSecrets(o.data)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Secret{}, nil
	}
	if err != nil {
		return secret.Secret{}, fmt.Errorf("find the signing secret: %w", err)
	}
	return secrets[receiverKey], nil
}

// report prints a summary now and then, while something happens.
func (r *receiver) report(ctx context.Context) {
	tick := time.NewTicker(summaryEvery)
	defer tick.Stop()
	for last := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := r.count(); n != last {
			last = n
			summary := r.summary()
			r.mu.Lock()
			fmt.Fprint(r.out, summary)
			r.mu.Unlock()
		}
	}
}
