package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/embedded"
)

// devSubscription is the subscription that causeway dev adds. Its name never
// changes: what is parked for it finds it again after a restart.
const devSubscription = "dev"

// devSet is the set as which causeway dev puts what its file says into the catalog.
const devSet = "dev"

type devOptions struct {
	data, forward, broker string
	max                   catalog.Size
	secrets               []string // name=reference
}

func newDev(c *common) *cobra.Command {
	o := devOptions{}
	largest := ""
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Everything in one process, on an embedded broker",
		Long: `Everything in one process, on an embedded broker that keeps its data in a
directory. Without -c it comes with example sources (stripe, github, demo) whose
secrets it makes, and with a receiver that prints what is delivered.

It is for one machine: one copy of the data, and deliveries may go to this
machine and over plain http.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.max.UnmarshalText([]byte(largest)); err != nil {
				return usageError{"dev", fmt.Errorf("--data-max: %w", err)}
			}
			return runDev(cmd.Context(), c, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", defaultData, "directory for the broker's data and the secrets that were made")
	f.StringVar(&largest, "data-max", "1GiB", "most that the broker may hold; beyond it ingress answers 503")
	f.StringVar(&o.forward, "forward-to", "", "deliver everything to this URL")
	f.StringArrayVar(&o.secrets, "secret", nil, "use this secret for a source, NAME=env:VARIABLE or NAME=file:/path; may be repeated")
	f.StringVar(&o.broker, "broker-listen", defaultBroker, "address of the embedded broker")
	return cmd
}

func runDev(ctx context.Context, c *common, o devOptions) error {
	if o.forward != "" {
		if err := checkURL("--forward-to", o.forward); err != nil {
			return usageError{"dev", err}
		}
	}
	p, err := c.load()
	if err != nil {
		return err
	}
	// Before anything else: a causeway listen that starts at the same moment
	// looks for its secret here.
	_, err = os.Stat(filepath.Join(o.data, devFile))
	fresh := errors.Is(err, fs.ErrNotExist)
	secrets, err := makeDevSecrets(o.data)
	if err != nil {
		return err
	}
	refs, err := secrets.export()
	if err != nil {
		return err
	}
	d := &dev{options: o, file: p, out: c.stdout, refs: refs, secrets: secrets}
	err = d.run(ctx, c)
	if err != nil && !d.served && fresh {
		// Refused: what was made for it would only mislead a causeway send here, which
		// would sign with secrets that nobody knows.
		_ = os.Remove(filepath.Join(o.data, devFile))
		_ = os.Remove(o.data) // unless something else is in it
	}
	return err
}

// dev is one run of causeway dev.
type dev struct {
	options   devOptions
	file      *processFile
	out       io.Writer
	refs      map[string]string // of the secrets that were made
	secrets   devSecrets
	examples  bool // its sources are the examples
	receiving bool // its own receiver takes the deliveries
	served    bool // it was ready once
}

func (d *dev) run(ctx context.Context, c *common) error {
	if err := d.defaults(); err != nil {
		return err
	}
	so := serveOptions{
		file: d.file, roles: roles{ingress: true, egress: true, admin: true}, applies: devSet, apiKey: d.secrets[devAPIKey], loopback: true,
		stderr: c.stderr, ready: func(s serving) { d.served = true; d.welcome(s) },
	}
	if len(d.file.config.Kafka.Brokers) == 0 {
		so.catalog = filepath.Join(d.options.data, "catalog.jsonl")
		so.embedded = &embedded.Options{
			Dir: filepath.Join(d.options.data, "kafka"), Listen: d.options.broker, MaxBytes: int64(d.options.max),
		}
	}
	if !d.examples || d.options.forward != "" {
		return serve(ctx, so)
	}
	return d.withReceiver(ctx, func() error { return serve(ctx, so) })
}

// defaults turns the process file into one for dev: on loopback, without a drain,
// with the examples if it names no sources of its own, and with a subscription.
func (d *dev) defaults() error {
	c := &d.file.config
	if c.Ingress.Listen == "" {
		c.Ingress.Listen = defaultIngress
	}
	if c.Ingress.DrainDelay == nil {
		c.Ingress.DrainDelay = new(catalog.Duration(0))
	}
	d.examples = len(c.Ingress.Sources) == 0
	if d.examples {
		for _, ex := range examples() {
			c.Ingress.Sources = append(c.Ingress.Sources, catalog.SourceSpec{
				Name: ex.name, Provider: ex.provider, Secrets: []string{d.refs[ex.name]},
			})
		}
	}
	if err := d.override(c.Ingress.Sources); err != nil {
		return usageError{"dev", err}
	}
	if d.examples || d.options.forward != "" {
		sub := catalog.SubscriptionSpec{Name: devSubscription, URL: d.options.forward, Secrets: []string{d.refs[receiverKey]}}
		for _, src := range c.Ingress.Sources {
			sub.Sources = append(sub.Sources, src.Name)
		}
		c.Egress.Subscriptions = append(c.Egress.Subscriptions, sub)
	}
	for _, src := range c.Ingress.Sources {
		c.Kafka.Topics.MaxBody = max(c.Kafka.Topics.MaxBody, src.MaxBody) // its own file says what it needs
	}
	d.file.config = c.withDefaults()
	return nil
}

// override applies --secret. Its errors never repeat what stands behind the =,
// which may be the secret itself.
func (d *dev) override(sources []catalog.SourceSpec) error {
	var errs []error
	for _, text := range d.options.secrets {
		name, ref, ok := strings.Cut(text, "=")
		i := slices.IndexFunc(sources, func(s catalog.SourceSpec) bool { return s.Name == name })
		switch {
		case !ok:
			errs = append(errs, errors.New("--secret: write it like stripe=env:STRIPE_WEBHOOK_SECRET"))
		case i < 0:
			errs = append(errs, fmt.Errorf("--secret: there is no source %q", printable(name, 64)))
		default:
			sources[i].Secrets = []string{ref}
		}
	}
	return errors.Join(errs...)
}

// withReceiver runs the built-in receiver around something that delivers to it.
func (d *dev) withReceiver(ctx context.Context, deliver func() error) error {
	r := newReceiver(d.out)
	var err error
	if r.scheme, r.keys, err = standardKey(d.secrets[receiverKey]); err != nil {
		return fmt.Errorf("the receiver's secret in %s: %w", filepath.Join(d.options.data, devFile), err)
	}
	ln, err := listen(ctx, "127.0.0.1:0", "--forward-to")
	if err != nil {
		return err
	}
	subs := d.file.config.Egress.Subscriptions
	subs[len(subs)-1].URL = "http://" + ln.Addr().String()

	d.receiving = true
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	receiving, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		done <- serveUntil(receiving, server, func() error { return server.Serve(ln) }, time.Second)
	}()
	err = deliver()
	stop() // after egress, which may still have deliveries under way
	return errors.Join(err, <-done)
}
