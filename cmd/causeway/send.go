package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// fewLines is up to how many webhooks each gets a line of its own.
const fewLines = 10

type sendOptions struct {
	count, concurrency                   int
	rate                                 catalog.Rate
	typ, url, secret, data, tamper, name string
}

// tampering is a way to make a webhook that must be refused.
type tampering struct {
	doc      string
	needs    []string      // what provider.Replay must say for it to make sense
	shift    time.Duration // of the time of signing
	wrong    bool          // signed with another secret
	body     bool          // body changed after signing
	unsigned bool
}

func tamperings() map[string]tampering {
	signs := []string{"timestamp", "window"}
	return map[string]tampering{
		"signature": {doc: "signed with another secret", wrong: true},
		"body":      {doc: "body changed after signing", needs: signs, body: true},
		"timestamp": {doc: "signed an hour ago", needs: signs[:1], shift: -time.Hour},
		"future":    {doc: "signed in an hour", needs: signs[:1], shift: time.Hour},
		"unsigned":  {doc: "no signature at all", unsigned: true},
	}
}

func newSend(c *common) *cobra.Command {
	o := sendOptions{}
	rate := ""
	cmd := &cobra.Command{
		Use:   "send PROVIDER",
		Short: "Send a correctly signed sample webhook",
		Long: `Send a correctly signed sample webhook, or many. PROVIDER is the name of a source
in the process file or of causeway dev, or of a provider; then --url and --secret
say where to and with what.

The exit code is 1 if any answer is not the expected one: 200, or with --tamper 401.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			if rate != "" {
				if err := o.rate.UnmarshalText([]byte(withUnit(rate))); err != nil {
					return usageError{"send", fmt.Errorf("--rate: %w", err)}
				}
			}
			return runSend(cmd.Context(), c, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 1, "how many")
	f.IntVar(&o.concurrency, "concurrency", 32, "how many at once, at most")
	f.StringVar(&rate, "rate", "", "how many per second, like 100 or 100/s; as fast as they are answered when left out")
	f.StringVar(&o.typ, "type", "", "event type; the provider's default sample when left out")
	f.StringVar(&o.url, "url", "", "where to send; the ingress of this machine when left out")
	f.StringVar(&o.secret, "secret", "", "reference to the signing secret: env:NAME or file:/path")
	f.StringVar(&o.data, "data", defaultData, "data directory of causeway dev, where the secret is")
	cmd.ValidArgsFunction = firstArgument(sourcesAndProviders(c))
	f.StringVar(&o.tamper, "tamper", "", "make it one to be refused: "+strings.Join(slices.Sorted(maps.Keys(tamperings())), ", "))
	return cmd
}

func withUnit(rate string) string {
	if strings.Contains(rate, "/") {
		return rate
	}
	return rate + "/s"
}

func runSend(ctx context.Context, c *common, o sendOptions) error {
	s, err := newSender(c, o)
	if err != nil {
		return err
	}
	started := time.Now()
	s.sendAll(ctx)
	if o.count > fewLines || s.unexpected > 0 {
		fmt.Fprint(c.stdout, s.summary(time.Since(started)))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %d of %d", len(s.took), o.count)
	}
	if s.unexpected > 0 {
		if fromDev := c.configPath == "" && o.secret == ""; fromDev && o.tamper == "" && s.answers["401 invalid_signature"] > 0 {
			fmt.Fprintf(c.stdout, "signed with the secret in %s/%s: if the process there runs with -c causeway.yaml, send with it too; if it is a causeway dev in another folder, name its data directory with --data\n", o.data, devFile)
		}
		if s.unreached > 0 {
			fmt.Fprintf(c.stdout, "nobody answers at %s: start causeway dev, or name another address with --url\n", s.host())
		}
		return errReported
	}
	return nil
}

func newSender(c *common, o sendOptions) (*sender, error) {
	var errs []error
	if o.count < 1 {
		errs = append(errs, fmt.Errorf("--count %d: at least 1", o.count))
	}
	if o.concurrency < 1 || o.concurrency > 4096 {
		errs = append(errs, fmt.Errorf("--concurrency %d: 1 to 4096", o.concurrency))
	}
	if o.url != "" {
		errs = append(errs, checkURL("--url", o.url))
	}
	tamper, ok := tamperings()[o.tamper]
	if o.tamper != "" && !ok {
		errs = append(errs, fmt.Errorf("--tamper %q: use one of %s", o.tamper, strings.Join(slices.Sorted(maps.Keys(tamperings())), ", ")))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{"send", err}
	}
	to, err := findTarget(c, o)
	if err != nil {
		return nil, err
	}
	s := &sender{
		options: o, provider: to.provider, tamper: tamper, url: to.url, signedURL: to.signedURL, want: http.StatusOK,
		client: plainClient(o.concurrency), out: c.stdout, answers: map[string]int{},
	}
	if reply, ok := s.provider.Reply(); ok {
		s.want = reply.Status
	}
	if o.tamper != "" {
		s.want = http.StatusUnauthorized
		if tamper.needs != nil && !slices.Contains(tamper.needs, s.provider.Replay()) {
			return nil, usageError{"send", fmt.Errorf("--tamper %s: %s does not sign that, so nothing would be refused", o.tamper, s.provider.Name())}
		}
	}
	key := to.secret
	if tamper.wrong {
		key = secret.New([]byte(s.provider.Generate()))
	}
	k, err := s.provider.Key(key, to.allowWeak)
	if err != nil {
		return nil, fmt.Errorf("the secret of %s: %w", o.name, err)
	}
	s.keys = []signature.Key{k}
	if _, err := s.provider.Sample(o.typ, 1); err != nil {
		return nil, usageError{"send", fmt.Errorf("--type: %w", err)}
	}
	return s, nil
}

// target is where to send, as what, signed with what.
type target struct {
	provider  *provider.Provider
	url       string
	signedURL string // as ingress sees it, for schemes that sign it
	secret    secret.Secret
	allowWeak bool
}

// findTarget looks for the source in the process file, then among the examples
// of causeway dev, then takes the name for a provider's.
func findTarget(c *common, o sendOptions) (target, error) {
	p, err := c.load()
	if err != nil {
		return target{}, err
	}
	if err := p.err(); err != nil {
		return target{}, err
	}
	spec := catalog.SourceSpec{Name: o.name, Provider: o.name}
	to := target{url: o.url}
	named := func(s catalog.SourceSpec) bool { return s.Name == o.name }
	sold := func(s catalog.SourceSpec) bool { return s.Provider == o.name }
	sources := p.config.Ingress.Sources
	if len(sources) == 0 {
		for _, ex := range examples() {
			sources = append(sources, catalog.SourceSpec{Name: ex.name, Provider: ex.provider})
		}
	}
	i := slices.IndexFunc(sources, named)
	if i < 0 {
		i = slices.IndexFunc(sources, sold)
	}
	if i >= 0 {
		spec = sources[i]
	}
	to.allowWeak = spec.AllowWeak
	if to.provider, err = provider.New(spec.Provider, spec.Settings); err != nil {
		name := printable(o.name, 64)
		return target{}, fmt.Errorf("%s is neither a source of the process file nor a provider: %w; for a source of the catalog name its provider, and its --url that ends with /webhooks/%s and --secret", name, err, name)
	}
	if to.secret, err = findSecret(o, spec); err != nil {
		return target{}, err
	}
	to.signedURL = to.url
	if to.url == "" {
		path := "/webhooks/" + spec.Name
		to.url = "http://" + reachable(cmp.Or(p.config.Ingress.Listen, defaultIngress)) + path
		to.signedURL = p.config.publicURL() + path
	}
	return to, nil
}

func findSecret(o sendOptions, spec catalog.SourceSpec) (secret.Secret, error) {
	if o.secret != "" {
		return resolveFlag("--secret", o.secret)
	}
	if len(spec.Secrets) > 0 {
		ref, err := secret.ParseRef(spec.Secrets[0])
		if err != nil {
			return secret.Secret{}, fmt.Errorf("the secret of source %s: %w", spec.Name, err)
		}
		return secret.NewResolver().Resolve(ref)
	}
	secrets, err := readDevSecrets(o.data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return secret.Secret{}, fmt.Errorf("find the secret of %s: %w", spec.Name, err)
	}
	if s := secrets[spec.Name]; !s.IsZero() {
		return s, nil
	}
	return secret.Secret{}, fmt.Errorf("no secret for %s: %s/%s has none; start causeway dev here first, or name one with --secret env:NAME, or a process file with -c", printable(spec.Name, 64), o.data, devFile)
}

// reachable turns a listener's address into one to connect to.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}
