package catalog

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"causeway/pkg/outbound"
	"causeway/pkg/provider"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

// Fault is one thing wrong with an entry: the keys that lead to it from the
// list of sources or subscriptions, and what is wrong and what is allowed.
type Fault struct {
	Path []string // "sources" or "subscriptions", index, key...
	Text string
}

func (f Fault) Error() string {
	if len(f.Path) == 0 {
		return f.Text
	}
	return strings.Join(f.Path, ".") + ": " + f.Text
}

// Options says how Build checks and resolves entries.
type Options struct {
	Resolver *secret.Resolver
	// Prefix begins the names of causeway's own topics; no source may use it.
	Prefix string
	// AllowTopics are the patterns (path.Match) that source topics must match.
	AllowTopics []string
	// AllowHTTP lets subscriptions use plain http URLs.
	AllowHTTP bool
	// Registry says that there is a schema registry: sources that name no format are
	// then avro.
	Registry bool
	// Foreign are the topics that causeway did not write and may deliver.
	Foreign []ForeignSpec
	// ResolveSources and ResolveSubscriptions say whose secrets this process
	// uses: only they are resolved.
	ResolveSources, ResolveSubscriptions bool
}

// Build checks every entry and compiles them into a snapshot. The snapshot is
// nil when there is any fault.
func Build(sources []SourceSpec, subscriptions []SubscriptionSpec, o Options) (*Snapshot, []Fault) {
	b := &builder{Options: o, names: map[string]bool{}}
	var live []*Source
	var wanted []*Subscription
	names := make(map[string]knownSource, len(sources))
	for i, spec := range sources {
		at := b.at("sources", strconv.Itoa(i))
		at.unique("source", spec.Name)
		src := at.source(spec)
		src.UID = UID("source", spec.Name)
		if spec.Owner != "" {
			src.Tenant = constant(spec.Owner)
		}
		live = append(live, src)
		names[src.Name] = knownSource{spec.Owner, src.Topic}
	}
	foreign := b.foreignTopics(live)
	known := newKnown(names, nil, o.Foreign)
	b.names = map[string]bool{}
	for i, spec := range subscriptions {
		at := b.at("subscriptions", strconv.Itoa(i))
		// Each tenant has names of its own.
		at.unique("subscription", spec.Name, spec.Owner)
		sub := at.subscription(spec, known)
		sub.UID = UID("subscription", spec.Name)
		if spec.Owner != "" {
			sub.Tenant = spec.Owner
		}
		wanted = append(wanted, sub)
	}
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	return NewSnapshot(0, live, wanted).WithForeign(foreign), nil
}

type builder struct {
	Options
	loose  bool                 // what an entry refers to may have gone since it was written
	sealed *secret.Binding      // of an entry of the catalog, where secrets may be sealed; nil in the process file
	retire map[string]time.Time // of an entry of the catalog
	check  *secretCheck         // whether it may be written; nil: it was, or it is the process file's
	names  map[string]bool
	scheme *signature.Compiled // that of deliveries; nil: not compiled yet
	// untold is set where a tenant was told all about a topic that he is to know.
	untold bool
	faults []Fault
}

// place is a builder at one entry.
type place struct {
	*builder
	path []string
}

func (b *builder) at(path ...string) place { return place{b, path} }

// fault notes what is wrong at the keys, joined with dots, below the entry.
func (p place) fault(keys, format string, args ...any) {
	if p.check != nil && len(p.faults) >= mostFaults {
		return // somebody else pays for each
	}
	at := slices.Clone(p.path)
	if keys != "" { // else it is the entry itself
		at = append(at, strings.Split(keys, ".")...)
	}
	p.faults = append(p.faults, Fault{Path: at, Text: fmt.Sprintf(format, args...)})
}

// mostFaults is how many faults one entry of a request is told of.
const mostFaults = 50

var entryName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func (p place) unique(kind, name string, owner ...string) {
	room := strings.Join(append(owner, name), "/")
	switch {
	case !entryName.MatchString(name):
		p.fault("name", "%q is not a name: use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit", name)
	case p.names[room]:
		p.fault("name", "there is another %s named %q: names must be unique", kind, name)
	}
	p.names[room] = true
}

func (p place) source(spec SourceSpec) *Source {
	src := &Source{
		Name:    spec.Name,
		Topic:   spec.Topic,
		MaxBody: int64(spec.MaxBody),
		Rate:    float64(spec.Rate),
		Gzip:    slices.Contains(spec.ContentEncoding, "gzip"),

		Partitions: spec.Partitions, ReplicationFactor: spec.ReplicationFactor,

		LinkTraces: spec.Trace == "link",
	}
	src.Topic = spec.topic()
	told := !p.untold && (spec.Topic != "" || entryName.MatchString(spec.Name)) // one fault for one mistake
	if told && !p.topic(src.Topic) {
		src.Topic = "" // so that nobody reads or makes what it may not be
	}
	if src.MaxBody == 0 {
		src.MaxBody = 1 << 20
	}
	var err error
	if src.Format, err = p.format(spec); err != nil {
		p.fault("format", "%v", err)
	}
	for i, text := range spec.AllowCIDRs {
		prefix, err := ParsePrefix(text)
		if err != nil {
			p.fault(fmt.Sprintf("allow_cidrs.%d", i), "%v", err)
		}
		src.AllowCIDRs = append(src.AllowCIDRs, prefix)
	}
	src.Key = p.pick(spec.Key, "key")
	src.Tenant = p.pick(spec.Tenant, "tenant")
	prov, err := provider.New(spec.Provider, spec.Settings)
	for _, e := range each(err) {
		p.providerFault(e)
	}
	if prov == nil {
		return src
	}
	src.Provider = prov
	src.Headers = storedHeaders(prov, spec.Headers)
	src.Keys = p.keys(spec.Secrets, p.ResolveSources, func(s secret.Secret) (signature.Key, error) { return prov.Key(s, spec.AllowWeak) })
	return src
}

// topic is where the source's events go.
func (s SourceSpec) topic() string {
	if s.Topic == "" {
		return "webhooks." + s.Name
	}
	return s.Topic
}

// format is what the values in a source's topic are.
func (o Options) format(spec SourceSpec) (schemas.Format, error) {
	switch {
	case spec.Format != "":
		return schemas.ParseFormat(spec.Format)
	case o.Registry:
		return schemas.Avro, nil
	default:
		return schemas.Raw, nil
	}
}

// constant picks the same value out of every request.
func constant(value string) func(*signature.Message) string {
	return func(*signature.Message) string { return value }
}

// providerFault notes a fault of the settings at its own key, or at the provider's.
func (p place) providerFault(err error) {
	var f signature.Fault
	if errors.As(err, &f) && f.Key != "" {
		p.fault(strings.NewReplacer("[", ".", "]", "").Replace(f.Key), "%s", f.Text)
		return
	}
	p.fault("provider", "%v", err)
}

// storedHeaders is the allow-list of original headers without those that authenticate.
func storedHeaders(prov *provider.Provider, more []string) []string {
	never := append([]string{"authorization", "proxy-authorization", "cookie"}, prov.AuthHeaders()...)
	var kept []string
	for _, name := range append(prov.Headers(), more...) {
		name = strings.ToLower(name)
		forbidden := slices.ContainsFunc(never, func(n string) bool { return strings.EqualFold(n, name) })
		if !forbidden && !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func isTopic(name string) bool {
	return topicName.MatchString(name) && name != "." && name != ".."
}

func (o Options) reserved(name string) bool {
	return strings.HasPrefix(name, o.Prefix) || strings.HasPrefix(name, "__")
}

// topic says whether a source may have the topic.
func (p place) topic(name string) bool {
	allowed := slices.ContainsFunc(p.AllowTopics, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
	switch {
	case !isTopic(name):
		p.fault("topic", "%q is not a Kafka topic name: use 1 to 249 of a-z A-Z 0-9 . _ -", name)
	case p.reserved(name):
		p.fault("topic", "%q is reserved: names that begin with %q or \"__\" belong to causeway and Kafka", name, p.Prefix)
	case !allowed:
		p.fault("topic", "%q is not allowed: kafka.topics.allow has %s", name, strings.Join(p.AllowTopics, ", "))
	default:
		return true
	}
	return false
}

func (p place) pick(text, key string) func(*signature.Message) string {
	if text == "" {
		return nil
	}
	pick, err := provider.ParsePick(text)
	if err != nil {
		p.fault(key, "%v", err)
	}
	return pick
}

// keys checks the references and gives the function that resolves them. Without
// resolve this process has no use for the secrets: it only reads the references.
func (p place) keys(texts []string, resolve bool, decode func(secret.Secret) (signature.Key, error)) func() ([]signature.Key, error) {
	if len(texts) == 0 {
		p.fault("secrets", "no secret: name at least one as env:NAME or file:/path")
	}
	var refs []liveRef
	for i, text := range texts {
		ref, err := p.ref(text, "secrets")
		if err != nil {
			p.fault(fmt.Sprintf("secrets.%d", i), "%v", err)
			continue
		}
		until, retires := p.retire[text]
		retires = retires && i > 0 // whatever the entry says: there must always be one
		if !retires {
			until = time.Time{}
		}
		refs = append(refs, liveRef{ref, until})
		if p.check != nil {
			if err := p.check.secret(text, ref, p.binding("secrets"), resolve, decode); err != nil {
				p.fault(fmt.Sprintf("secrets.%d", i), "%v", err)
			}
			continue
		}
		if !resolve || retires {
			continue
		}
		if _, err := key(p.Resolver, ref, decode); err != nil {
			p.fault(fmt.Sprintf("secrets.%d", i), "%v", err)
		}
	}
	resolver := p.Resolver
	cache := &keyCache{}
	return func() ([]signature.Key, error) { return cache.keys(resolver, refs, decode) }
}

// ref reads a reference to a secret in a field of the entry.
func (p place) ref(text, field string) (secret.Ref, error) {
	if p.sealed == nil {
		return secret.ParseRef(text)
	}
	ref, err := secret.ParseSealedRef(text)
	return ref.Bound(p.binding(field)), err
}

// binding is the place of a field of the entry.
func (p place) binding(field string) secret.Binding {
	b := *p.sealed
	b.Field = field
	return b
}

func (p place) subscription(spec SubscriptionSpec, known *known) *Subscription {
	sub := &Subscription{
		Name:            spec.Name,
		Topics:          once(spec.Topics),
		Sources:         once(spec.Sources),
		Types:           once(spec.Types),
		Tenant:          spec.Tenant,
		URL:             spec.URL,
		Timeout:         time.Duration(spec.Timeout),
		MaxConcurrency:  spec.MaxConcurrency,
		MaxAge:          time.Duration(spec.Retry.MaxAge),
		NeverOn:         spec.Retry.NeverOn,
		CaptureResponse: spec.CaptureResponse != "off",
	}
	if sub.Timeout == 0 {
		sub.Timeout = 15 * time.Second
	}
	if sub.Timeout < 0 || sub.Timeout > time.Minute {
		p.fault("timeout", "%s is out of range: 1ms to 1m", sub.Timeout)
	}
	if sub.MaxConcurrency == 0 {
		sub.MaxConcurrency = 64
	}
	p.retry(spec.Retry, sub)
	p.filters(spec, known, sub)
	var err error
	if sub.Endpoint, err = outbound.CheckURL(spec.URL, p.AllowHTTP); err != nil {
		p.fault("url", "%v", err)
	}
	scheme, err := p.standard()
	if err != nil {
		p.fault("signature", "%v", err)
		return sub
	}
	sub.Scheme = scheme
	sub.Keys = p.keys(spec.Secrets, p.ResolveSubscriptions, func(s secret.Secret) (signature.Key, error) {
		k, err := scheme.Key(s, spec.AllowWeak)
		if err == nil && !k.CanSign() {
			err = errors.New("it is a public key (whpk_): signing needs the private one (whsk_)")
		}
		return k, err
	})
	return sub
}

// once is a list without what it repeats: each pattern costs something for each event.
func once(list []string) []string {
	if len(list) < 2 {
		return list
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// standard is the scheme that signs deliveries, compiled once for all of them.
func (b *builder) standard() (*signature.Compiled, error) {
	if b.scheme != nil {
		return b.scheme, nil
	}
	var err error
	b.scheme, err = signature.Standard().Compile()
	return b.scheme, err
}

func (p place) filters(spec SubscriptionSpec, known *known, sub *Subscription) {
	for i, name := range spec.Sources {
		src, found := known.source(name)
		if !found && p.loose {
			continue
		}
		if !found {
			p.fault(fmt.Sprintf("sources.%d", i), "%s", known.noSource(name))
			continue
		}
		if len(spec.Topics) == 0 && !slices.Contains(sub.Topics, src.topic) {
			sub.Topics = append(sub.Topics, src.topic)
		}
	}
	if len(spec.Topics) == 0 && len(spec.Sources) == 0 {
		p.fault("topics", "nothing to deliver: name topics (exact or prefix*) or sources")
	}
	for i, pattern := range spec.Topics {
		if bad := badPattern(pattern); bad != "" {
			p.fault(fmt.Sprintf("topics.%d", i), "%q %s", pattern, bad)
			continue
		}
		if !p.loose && !known.has(pattern) {
			p.fault(fmt.Sprintf("topics.%d", i), "%s", known.noTopic(pattern))
		}
	}
	for i, pattern := range spec.Types {
		bad := badPattern(pattern)
		if rest, prefix := strings.CutSuffix(pattern, "*"); bad == "" && prefix && rest != "" && !strings.HasSuffix(rest, ".") {
			bad = "may have * only after a dot, like invoice.*"
		}
		if bad != "" {
			p.fault(fmt.Sprintf("types.%d", i), "%q %s", pattern, bad)
		}
	}
}

func badPattern(pattern string) string {
	switch star := strings.IndexByte(pattern, '*'); {
	case pattern == "":
		return "is empty"
	case star >= 0 && star != len(pattern)-1:
		return "may have * only at its end"
	}
	return ""
}

// Matches says whether an exact or prefix* pattern holds for the text.
func Matches(pattern, text string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(text, prefix)
	}
	return pattern == text
}

// ParsePrefix reads a network (203.0.113.0/24) or a single address.
func ParsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network: write it like 203.0.113.0/24, 2001:db8::/32 or a single address", text)
	}
	return prefix.Masked(), nil
}

// each takes a joined error apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
