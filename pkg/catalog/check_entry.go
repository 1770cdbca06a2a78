package catalog

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"causeway/schemas"
)

// entry checks what entries of all kinds have.
func (x checking) entry(old *Entry) {
	e := x.e
	named := e.Kind == KindTenant || e.Kind == KindKey
	_, bad := uuid.Parse(e.UID)
	switch {
	case !entryName.MatchString(e.Name):
		x.fault("name", "%q is not a name: use 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit", e.Name)
	case named && e.UID != e.Name || !named && bad != nil:
		x.fault("uid", "%q is not the uid of a %s", e.UID, e.Kind)
	default:
		x.unique(old)
	}
	switch owner := x.after.Entry(KindTenant, e.Tenant); {
	case x.by.Tenant != "" && e.Tenant != x.by.Tenant:
		x.fault("owner", "it would belong to somebody else: a tenant writes what is its own")
	case old != nil && old.Tenant != e.Tenant:
		x.fault("owner", "it belongs to %s, and an owner stays: make another one", ownerText(old.Tenant))
	case e.Tenant != "" && owner == nil:
		x.fault("owner", "there is no tenant %q", e.Tenant)
	}
	secrets := e.secrets()
	for text := range e.Retire {
		if slices.Index(secrets, text) < 1 {
			x.fault("retire", "%s is not among the secrets behind the first one: only these retire", showSecret(text))
		}
	}
}

func (x checking) unique(old *Entry) {
	other := x.after.Named(x.e.Kind, x.e.Tenant, x.e.Name)
	switch {
	case other == nil || other.UID == x.e.UID:
	case old != nil && old.Name == x.e.Name && x.before.Named(x.e.Kind, x.e.Tenant, x.e.Name) == old:
		// It is the other one that takes this one's name.
	case x.by.Tenant != "" && other.Tenant != x.by.Tenant:
		x.taken("name", x.e.Name)
	default:
		x.fault("name", "there is another %s named %q: names must be unique", x.e.Kind, x.e.Name)
	}
}

// taken tells a tenant that he cannot have a name, in the same words whether it is
// causeway's or somebody else's.
func (x checking) taken(keys, name string) {
	x.fault(keys, "%q cannot be taken: it is reserved or in use", name)
}

// named checks that the spec says what the entry says.
func (x checking) named(name, owner string) {
	if name != x.e.Name {
		x.fault("name", "the spec says %q and the entry %q", name, x.e.Name)
	}
	if owner != "" && owner != x.e.Tenant {
		x.fault("owner", "the spec says %q, and the entry belongs to %s", owner, ownerText(x.e.Tenant))
	}
}

func (x checking) checkSource(old *Entry) {
	var spec SourceSpec
	if !x.read(&spec) {
		return
	}
	x.named(spec.Name, spec.Owner)
	var before SourceSpec
	var made bool
	if old != nil {
		var err error
		before, err = old.Source()
		made = err == nil
	}
	topic := spec.topic()
	stays := made && before.topic() == topic
	if x.by.Tenant != "" && !stays && (x.reserved(topic) || x.topicOfOthers(topic)) {
		x.taken("topic", topic)
		x.untold = true
	}
	if x.by.Tenant != "" && old == nil && x.wantedByOthers(spec) {
		x.taken("name", spec.Name)
	}
	src := x.source(spec)
	if old != nil && old.Name != x.e.Name {
		// Its events carry it, those that wait as well, and subscriptions know it by it.
		x.fault("name", "it is %q since the source was made, and stays: make another source, and remove this one when its provider sends there", old.Name)
	}
	switch {
	case old != nil && old.Name != x.e.Name && before.Topic == "" && spec.Topic == "": // one fault for one mistake
	case made && before.topic() != topic:
		x.fault("topic", "it is %q since the source was made, and stays: make another source for another topic", before.topic())
	case made:
		was, err := x.format(before)
		if err == nil && was != src.Format {
			x.fault("format", "it is %s since the source was made, and stays: make another source, with another topic, for another format", was)
		}
	}
	x.sharedTopic(topic, src.Format)
	if x.o.MaxBody > 0 && src.MaxBody > x.o.MaxBody {
		x.fault("max_body", "%s is too large: at most %s, which is kafka.topics.max_body in every process's file and sizes the topics", sizeText(src.MaxBody), sizeText(x.o.MaxBody))
	}
	if spec.Partitions < 0 || spec.Partitions > 10000 {
		x.fault("partitions", "%d is out of range: 1 to 10000", spec.Partitions)
	}
	if spec.ReplicationFactor < 0 || spec.ReplicationFactor > 15 {
		x.fault("replication_factor", "%d is out of range: 1 to 15", spec.ReplicationFactor)
	}
	x.oneOf("trace", spec.Trace, "", "continue", "link")
	for i, encoding := range spec.ContentEncoding {
		x.oneOf(fmt.Sprintf("content_encoding.%d", i), encoding, "gzip")
	}
}

// topicOfOthers says whether somebody else writes the topic.
func (x checking) topicOfOthers(topic string) bool {
	return x.known.foreign[topic] || slices.ContainsFunc(x.formats[topic], func(f topicFormat) bool { return f.entry.Tenant != x.e.Tenant })
}

// wantedByOthers says whether a subscription of somebody else would take the events of a
// new source because it names the source, or its topic. It means one that is gone, which
// somebody else may have had: whoever takes that name would deliver in it.
func (x checking) wantedByOthers(spec SourceSpec) bool {
	for sub := range x.after.All(KindSubscription) {
		if sub.Tenant != "" {
			continue // it gets its owner's events only, and a source makes those of its own
		}
		if wants, err := sub.Subscription(); err == nil && (wants.Tenant == "" || wants.Tenant == x.e.Tenant) &&
			(slices.Contains(wants.Sources, spec.Name) || slices.Contains(wants.Topics, spec.topic())) {
			return true
		}
	}
	return false
}

// sharedTopic checks the topic against the others who write it.
func (x checking) sharedTopic(topic string, format schemas.Format) {
	if x.untold {
		return
	}
	if x.known.foreign[topic] {
		x.fault("topic", "%q is declared in egress.topics as one that causeway does not write", topic)
	}
	for _, other := range x.formats[topic] {
		if other.entry.UID != x.e.UID && other.format != format {
			x.fault("format", "%s, and the source %q writes %s to the same topic: all of a topic has one format", format, other.entry.Name, other.format)
			return
		}
	}
}

func sizeText(n int64) string {
	text, _ := Size(n).MarshalText() // never fails
	return string(text)
}

func (x checking) oneOf(keys, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		x.fault(keys, "%q is none of %s", value, strings.Join(slices.DeleteFunc(allowed, func(s string) bool { return s == "" }), ", "))
	}
}

// How long the lists of a subscription may be, and each of what is in them: they are
// looked at for each event, on everybody's time.
const (
	mostFilters   = 1000
	longestFilter = 256
)

// lists checks how long the lists are. What is too long is not looked at any further.
func (x checking) lists(spec SubscriptionSpec) bool {
	right := true
	for _, l := range []struct {
		at    string
		texts []string
	}{{"topics", spec.Topics}, {"sources", spec.Sources}, {"types", spec.Types}} {
		if len(l.texts) > mostFilters {
			x.fault(l.at, "%d of them: at most %d", len(l.texts), mostFilters)
			right = false
			continue
		}
		for i, text := range l.texts {
			if len(text) > longestFilter {
				x.fault(fmt.Sprintf("%s.%d", l.at, i), "%d bytes: at most %d", len(text), longestFilter)
				right = false
			}
		}
	}
	return right
}

func (x checking) checkSubscription(old *Entry) {
	var spec SubscriptionSpec
	if !x.read(&spec) {
		return
	}
	x.named(spec.Name, spec.Owner)
	if !x.lists(spec) {
		return
	}
	known := x.known
	if tenant := x.tenants[x.e.Tenant]; x.e.Tenant != "" && tenant != nil {
		known = x.known.seenBy(tenant, x.by.Tenant == "")
		count := x.counts[x.e.Tenant]
		if x.after.Entry(KindSubscription, x.e.UID) == nil {
			count++
		}
		if most := tenant.MaxSubscriptions; old == nil && most > 0 && count > most {
			x.fault("owner", "the tenant %q may have %d subscriptions, and would have %d", x.e.Tenant, most, count)
		}
		if spec.Tenant != "" && spec.Tenant != x.e.Tenant {
			x.fault("tenant", "%q, and the subscription belongs to %s: it gets its owner's events only, so leave it out", spec.Tenant, ownerText(x.e.Tenant))
		}
	}
	sub := x.subscription(spec, known)
	x.standard = x.scheme // compiled once for all
	if sub.Endpoint != nil {
		x.address(sub.Endpoint)
	}
	if spec.MaxConcurrency < 0 || spec.MaxConcurrency > 4096 {
		x.fault("max_concurrency", "%d is out of range: 1 to 4096", spec.MaxConcurrency)
	}
	x.oneOf("capture_response", spec.CaptureResponse, "", "on", "off")
}

func (x checking) address(to *url.URL) {
	if x.o.Address == nil {
		return
	}
	if err := x.o.Address(to); err != nil {
		x.fault("url", "%v", err)
	}
}

func (x checking) checkTenant() {
	var spec TenantSpec
	if !x.read(&spec) {
		return
	}
	if x.by.Tenant != "" {
		x.fault("", "tenants are the operator's to write")
		return
	}
	x.named(spec.Name, "")
	if x.e.Tenant != "" {
		x.fault("owner", "a tenant belongs to the operator")
	}
	for at, patterns := range map[string][]string{"sources": spec.Sources, "topics": spec.Topics} {
		for i, pattern := range patterns {
			if bad := badPattern(pattern); bad != "" {
				x.fault(fmt.Sprintf("%s.%d", at, i), "%q %s", pattern, bad)
			}
		}
	}
	if spec.MaxSubscriptions < 0 {
		x.fault("max_subscriptions", "%d is negative: 0 is no limit", spec.MaxSubscriptions)
	}
}

func (x checking) checkKey() {
	var spec KeySpec
	if !x.read(&spec) {
		return
	}
	if sum, err := hex.DecodeString(spec.Hash); err != nil || len(sum) != 32 {
		x.fault("hash", "it is not a SHA-256 in hex")
	}
	if len(spec.Roles) == 0 {
		x.fault("roles", "no role: name at least one of %s", strings.Join(Roles(), ", "))
	}
	for i, role := range spec.Roles {
		x.oneOf(fmt.Sprintf("roles.%d", i), role, Roles()...)
	}
	if len(spec.Note) > 256 {
		x.fault("note", "%d bytes: at most 256", len(spec.Note))
	}
}
