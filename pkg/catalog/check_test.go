package catalog_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// checked is a catalog with two tenants in it, and what the checks need.
type checked struct {
	*catalog.File
	keys    *secret.Keyring
	o       catalog.CheckOptions
	entries map[string]*catalog.Entry // by kind, slash, owner, slash, name
}

var operator = catalog.Author{References: true}

func acme() catalog.Author { return catalog.Author{Tenant: "acme", References: true} } // References must not help him

func newChecked(t *testing.T) *checked {
	t.Helper()
	t.Setenv("TEAM_SECRET", goodSecret)
	t.Setenv("TEAM_SHORT", "whsec_c2hvcnQ=")
	t.Setenv("CAUSEWAY_TEST_SECRET", goodSecret)
	line, err := secret.GenerateKey("k1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secret.ParseKeyring(line)
	if err != nil {
		t.Fatal(err)
	}
	f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := &checked{File: f, keys: keys, entries: map[string]*catalog.Entry{}}
	c.o = catalog.CheckOptions{Options: options(), SecretsAllow: []string{"env:TEAM_*", "env:CAUSEWAY_*"}, MaxBody: 1 << 20}
	c.o.ResolveSources, c.o.ResolveSubscriptions = false, false
	c.o.Resolver = secret.NewResolver().WithKeyring(keys)
	c.o.Foreign = []catalog.ForeignSpec{{Name: "orders", Format: "json"}}
	c.o.Address = func(u *url.URL) error {
		if u.Hostname() == "127.0.0.1" {
			return errors.New("loopback address")
		}
		return nil
	}
	c.put(t,
		tenantEntry("acme", `{"name":"acme","sources":["stripe","shared-*"],"max_subscriptions":2}`),
		tenantEntry("evil", `{"name":"evil"}`),
		c.source(t, "", "stripe", ""), c.source(t, "", "github", ""), c.source(t, "", "shared-a", ""),
		c.source(t, "acme", "acme-own", ""), c.source(t, "evil", "evil-own", ""),
		c.subscription(t, "acme", "billing", `"sources":["acme-own"]`), c.subscription(t, "evil", "theirs", `"sources":["evil-own"]`),
		c.subscription(t, "", "all", `"topics":["webhooks.github"]`),
	)
	return c
}

func (c *checked) put(t *testing.T, entries ...*catalog.Entry) {
	t.Helper()
	put(t, c.File, entries...)
	for _, e := range entries {
		c.entries[string(e.Kind)+"/"+e.Tenant+"/"+e.Name] = c.State().Entry(e.Kind, e.UID)
	}
}

// seal gives an entry a secret of its own, and the rest of its spec.
func (c *checked) seal(t *testing.T, e *catalog.Entry, rest string) *catalog.Entry {
	t.Helper()
	text, err := c.keys.Seal(secret.New([]byte(goodSecret)), secret.Binding{Tenant: e.Tenant, Kind: string(e.Kind), UID: e.UID, Field: "secrets"})
	if err != nil {
		t.Fatal(err)
	}
	e.Spec = json.RawMessage(`{"name":"` + e.Name + `","secrets":["` + text + `"],` + rest + `}`)
	return e
}

func (c *checked) source(t *testing.T, owner, name, rest string) *catalog.Entry {
	if rest == "" {
		rest = `"provider":"stripe"`
	}
	return c.seal(t, entry(catalog.KindSource, owner, name), rest)
}

func (c *checked) subscription(t *testing.T, owner, name, rest string) *catalog.Entry {
	return c.seal(t, entry(catalog.KindSubscription, owner, name), `"url":"https://example.com/hook",`+rest)
}

// spec replaces a part of the entry's spec, or the whole of it.
func spec(e *catalog.Entry, old, text string) *catalog.Entry {
	if old == "" {
		e.Spec = json.RawMessage(text)
		return e
	}
	if !strings.Contains(string(e.Spec), old) {
		panic("the spec has no " + old)
	}
	e.Spec = json.RawMessage(strings.ReplaceAll(string(e.Spec), old, text))
	return e
}

func renamed(e *catalog.Entry, name string) *catalog.Entry {
	e.Name = name
	return e
}

func TestWhatMayNotBeWritten(t *testing.T) {
	c := newChecked(t)
	keyEntry := func(tenant, spec string) *catalog.Entry {
		e := entry(catalog.KindKey, tenant, "k123")
		e.UID, e.Spec = "k123", json.RawMessage(spec)
		return e
	}
	const hash = `"hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	own := func(kind catalog.Kind, owner, name string) *catalog.Entry {
		return c.entries[string(kind)+"/"+owner+"/"+name].Copy()
	}
	for name, tc := range map[string]struct {
		entry      *catalog.Entry
		by         catalog.Author
		path, text string // none: it may be written
	}{
		"a source of the operator":                 {entry: c.source(t, "", "gitlab", ""), by: operator},
		"a source of a tenant":                     {entry: c.source(t, "acme", "new", ""), by: acme()},
		"a subscription of the operator":           {entry: c.subscription(t, "", "new", `"topics":["webhooks.*","orders"]`), by: operator},
		"a subscription of a tenant":               {entry: c.subscription(t, "acme", "new", `"sources":["acme-own","stripe","shared-a"],"topics":["webhooks.stripe"]`), by: acme()},
		"a name that another tenant has":           {entry: c.subscription(t, "acme", "theirs", `"sources":["stripe"]`), by: acme()},
		"a key":                                    {entry: keyEntry("acme", `{`+hash+`,"roles":["viewer","payloads"]}`), by: acme()},
		"a tenant":                                 {entry: tenantEntry("new", `{"name":"new","sources":["*"],"topics":["webhooks.*"],"rate":"5/s"}`), by: operator},
		"an entry once more":                       {entry: own(catalog.KindSubscription, "acme", "billing"), by: acme()},
		"a reference that is allowed":              {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:TEAM_SECRET"]}`), by: operator},
		"a reference that only its user can see":   {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:TEAM_ELSEWHERE"]}`), by: operator},
		"any reference in the process file of dev": {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:CAUSEWAY_TEST_SECRET"]}`), by: catalog.Author{AllReferences: true}},

		"a name that is none":                        {entry: c.source(t, "", "Not A Name", ""), by: operator, path: "name", text: "is not a name"},
		"another name in the spec":                   {entry: spec(c.source(t, "", "new", ""), `"name":"new"`, `"name":"old"`), by: operator, path: "name", text: `the spec says "old"`},
		"another owner in the spec":                  {entry: c.source(t, "", "new", `"provider":"stripe","owner":"acme"`), by: operator, path: "owner", text: "belongs to the operator"},
		"a source's name twice":                      {entry: c.source(t, "", "stripe", `"provider":"stripe","topic":"webhooks.x"`), by: operator, path: "name", text: "there is another source named"},
		"a subscription's name twice":                {entry: c.subscription(t, "acme", "billing", `"sources":["stripe"]`), by: acme(), path: "name", text: "there is another subscription named"},
		"somebody else's source's name":              {entry: c.source(t, "acme", "evil-own", `"provider":"stripe","topic":"webhooks.x"`), by: acme(), path: "name", text: "cannot be taken: it is reserved or in use"},
		"somebody else's topic":                      {entry: c.source(t, "acme", "new", `"provider":"stripe","topic":"webhooks.evil-own"`), by: acme(), path: "topic", text: "cannot be taken: it is reserved or in use"},
		"a reserved topic, for a tenant":             {entry: c.source(t, "acme", "new", `"provider":"stripe","topic":"causeway.dlq"`), by: acme(), path: "topic", text: "cannot be taken: it is reserved or in use"},
		"a foreign topic, for a tenant":              {entry: c.source(t, "acme", "new", `"provider":"stripe","topic":"orders"`), by: acme(), path: "topic", text: "cannot be taken: it is reserved or in use"},
		"a reserved topic":                           {entry: c.source(t, "", "new", `"provider":"stripe","topic":"causeway.dlq"`), by: operator, path: "topic", text: "is reserved"},
		"a topic that is not allowed":                {entry: c.source(t, "", "new", `"provider":"stripe","topic":"other"`), by: operator, path: "topic", text: "kafka.topics.allow"},
		"two formats in one topic":                   {entry: c.source(t, "", "new", `"provider":"stripe","topic":"webhooks.stripe","format":"avro"`), by: operator, path: "format", text: `the source "stripe" writes raw`},
		"another name for a source":                  {entry: renamed(spec(own(catalog.KindSource, "", "stripe"), `"name":"stripe"`, `"name":"pay","topic":"webhooks.stripe"`), "pay"), by: operator, path: "name", text: "since the source was made"},
		"a spec larger than a tenant's may be":       {entry: c.subscription(t, "acme", "new", `"sources":["stripe"],"types":["`+strings.Repeat("x", 40<<10)+`"]`), by: acme(), path: "", text: "at most 32768"},
		"more statuses than there are":               {entry: c.subscription(t, "acme", "new", `"sources":["stripe"],"retry":{"never_on":[`+strings.Repeat("1,", 5000)+`1]}`), by: acme(), path: "retry.never_on", text: "at most 300"},
		"more waits than there may be":               {entry: c.subscription(t, "acme", "new", `"sources":["stripe"],"retry":{"schedule":["5s"`+strings.Repeat(`,"0s"`, 60)+`]}`), by: acme(), path: "retry.schedule", text: "at most 50"},
		"a pattern that is too long":                 {entry: c.subscription(t, "acme", "new", `"sources":["stripe"],"types":["`+strings.Repeat("x", 300)+`"]`), by: acme(), path: "types.0", text: "at most 256"},
		"too many patterns, not looked at":           {entry: c.subscription(t, "", "new", `"topics":["none*"`+strings.Repeat(`,"none*"`, 1000)+`]`), by: operator, path: "topics", text: "at most 1000"},
		"another topic for a source":                 {entry: spec(own(catalog.KindSource, "", "stripe"), `"provider"`, `"topic":"webhooks.x","provider"`), by: operator, path: "topic", text: "since the source was made"},
		"another format for a source":                {entry: spec(own(catalog.KindSource, "", "stripe"), `"provider"`, `"format":"avro","provider"`), by: operator, path: "format", text: "since the source was made"},
		"a format that is none":                      {entry: c.source(t, "", "new", `"provider":"stripe","format":"xml"`), by: operator, path: "format", text: "xml"},
		"a body larger than the topics take":         {entry: c.source(t, "", "new", `"provider":"stripe","max_body":"2MiB"`), by: operator, path: "max_body", text: "at most 1MiB"},
		"an unknown provider":                        {entry: c.source(t, "", "new", `"provider":"strype"`), by: operator, path: "provider", text: "strype"},
		"a trace that is none":                       {entry: c.source(t, "", "new", `"provider":"stripe","trace":"maybe"`), by: operator, path: "trace", text: "none of continue, link"},
		"an encoding that is none":                   {entry: c.source(t, "", "new", `"provider":"stripe","content_encoding":["gzip","br"]`), by: operator, path: "content_encoding.1", text: "none of gzip"},
		"too many partitions":                        {entry: c.source(t, "", "new", `"provider":"stripe","partitions":20000`), by: operator, path: "partitions", text: "out of range"},
		"a spec that is no object":                   {entry: spec(c.source(t, "", "new", ""), "", `[]`), by: operator, path: "", text: "cannot be read"},
		"a spec of a megabyte":                       {entry: c.source(t, "", "new", `"provider":"stripe","key":"`+strings.Repeat("x", 1<<20)+`"`), by: operator, path: "", text: "at most 262144"},
		"a URL with credentials":                     {entry: spec(c.subscription(t, "", "new", `"topics":["orders"]`), "https://", "https://user:pass@"), by: operator, path: "url", text: "user name or password"},
		"a URL with a unicode host":                  {entry: spec(c.subscription(t, "", "new", `"topics":["orders"]`), "example.com", "exämple.com"), by: operator, path: "url", text: "xn--"},
		"a URL with an address of our own":           {entry: spec(c.subscription(t, "", "new", `"topics":["orders"]`), "example.com", "127.0.0.1"), by: operator, path: "url", text: "loopback"},
		"a URL in the clear":                         {entry: spec(c.subscription(t, "", "new", `"topics":["orders"]`), "https://", "http://"), by: operator, path: "url", text: "use https"},
		"an unknown source":                          {entry: c.subscription(t, "", "new", `"sources":["nobody"]`), by: operator, path: "sources.0", text: `there is no source "nobody"`},
		"an unknown topic":                           {entry: c.subscription(t, "", "new", `"topics":["webhooks.nobody"]`), by: operator, path: "topics.0", text: "declared in egress.topics"},
		"an unknown source, for a tenant":            {entry: c.subscription(t, "acme", "new", `"sources":["nobody"]`), by: acme(), path: "sources.0", text: `there is no source "nobody"`},
		"a source that a tenant may not see":         {entry: c.subscription(t, "acme", "new", `"sources":["evil-own"]`), by: acme(), path: "sources.0", text: `there is no source "evil-own"`},
		"the same, said to the operator":             {entry: c.subscription(t, "acme", "new", `"sources":["evil-own"]`), by: operator, path: "sources.0", text: `is not for the tenant "acme"`},
		"an unknown topic, for a tenant":             {entry: c.subscription(t, "acme", "new", `"topics":["webhooks.nobody"]`), by: acme(), path: "topics.0", text: `"webhooks.nobody" is the topic of no source`},
		"a topic that a tenant may not see":          {entry: c.subscription(t, "acme", "new", `"topics":["webhooks.evil-own"]`), by: acme(), path: "topics.0", text: `"webhooks.evil-own" is the topic of no source`},
		"a foreign topic that a tenant may not see":  {entry: c.subscription(t, "acme", "new", `"topics":["orders"]`), by: acme(), path: "topics.0", text: `"orders" is the topic of no source`},
		"a topic that is not his, said to operators": {entry: c.subscription(t, "acme", "new", `"topics":["orders"]`), by: operator, path: "topics.0", text: `is not for the tenant "acme"`},
		"another tenant's events":                    {entry: c.subscription(t, "acme", "new", `"sources":["stripe"],"tenant":"evil"`), by: acme(), path: "tenant", text: "its owner's events only"},
		"too much at once":                           {entry: c.subscription(t, "", "new", `"topics":["orders"],"max_concurrency":5000`), by: operator, path: "max_concurrency", text: "out of range"},
		"a capture that is none":                     {entry: c.subscription(t, "", "new", `"topics":["orders"],"capture_response":"some"`), by: operator, path: "capture_response", text: "none of on, off"},
		"a tenant that is not there":                 {entry: c.subscription(t, "nobody", "new", `"sources":["stripe"]`), by: operator, path: "owner", text: `there is no tenant "nobody"`},
		"an entry of another tenant":                 {entry: own(catalog.KindSubscription, "evil", "theirs"), by: acme(), path: "owner", text: "belong to somebody else"},
		"an entry of the operator":                   {entry: c.subscription(t, "", "new", `"topics":["webhooks.acme-own"]`), by: acme(), path: "owner", text: "belong to somebody else"},

		"a reference by a tenant":             {entry: spec(c.subscription(t, "acme", "new", ""), "", `{"name":"new","url":"https://example.com","sources":["stripe"],"secrets":["env:TEAM_SECRET"]}`), by: acme(), path: "secrets.0", text: "a reference may not be given here"},
		"a reference by one who may not":      {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:TEAM_SECRET"]}`), by: catalog.Author{}, path: "secrets.0", text: "a reference may not be given here"},
		"a reference that is not allowed":     {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:KAFKA_PASSWORD"]}`), by: operator, path: "secrets.0", text: "secrets.allow"},
		"a file that is not allowed":          {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["file:/etc/passwd"]}`), by: operator, path: "secrets.0", text: "secrets.allow"},
		"a variable of causeway's own":        {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:CAUSEWAY_TEST_SECRET"]}`), by: operator, path: "secrets.0", text: "never given away"},
		"the secret itself":                   {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["`+goodSecret+`"]}`), by: operator, path: "secrets.0", text: "does not belong here"},
		"a secret that is weak":               {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["env:TEAM_SHORT"]}`), by: operator, path: "secrets.0", text: "bytes"},
		"no secret":                           {entry: spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":[]}`), by: operator, path: "secrets", text: "no secret"},
		"a secret sealed for another entry":   {entry: spec(c.subscription(t, "acme", "new", ""), "", strings.Replace(string(own(catalog.KindSubscription, "acme", "billing").Spec), "billing", "new", 1)), by: acme(), path: "secrets.0", text: "cannot be opened"},
		"a first secret that retires":         {entry: retiring(c.source(t, "", "new", ""), 0), by: operator, path: "retire", text: "behind the first one"},
		"a secret that retires and is gone":   {entry: retiring(c.source(t, "", "new", ""), -1), by: operator, path: "retire", text: "behind the first one"},
		"a key without roles":                 {entry: keyEntry("", `{`+hash+`,"roles":[]}`), by: operator, path: "roles", text: "no role"},
		"a role that is none":                 {entry: keyEntry("", `{`+hash+`,"roles":["viewer","root"]}`), by: operator, path: "roles.1", text: "none of viewer, operator, editor, payloads, admin"},
		"a key's hash that is none":           {entry: keyEntry("", `{"hash":"cwk_x","roles":["viewer"]}`), by: operator, path: "hash", text: "SHA-256"},
		"a key of a tenant that is not there": {entry: keyEntry("nobody", `{`+hash+`,"roles":["viewer"]}`), by: operator, path: "owner", text: "there is no tenant"},
		"a tenant, by a tenant":               {entry: own(catalog.KindTenant, "", "acme"), by: acme(), path: "owner", text: "belong to somebody else"},
		"a tenant's pattern that is none":     {entry: tenantEntry("new", `{"name":"new","sources":["a*b"]}`), by: operator, path: "sources.0", text: "only at its end"},
		"a tenant's limit that is none":       {entry: tenantEntry("new", `{"name":"new","max_subscriptions":-1}`), by: operator, path: "max_subscriptions", text: "negative"},
		"a kind that is none":                 {entry: entry("robot", "", "r"), by: operator, path: "kind", text: "no kind"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := catalog.NewChecker(c.State(), c.o).Check(tc.entry, tc.by)
			if tc.text == "" {
				if len(faults) > 0 {
					t.Fatalf("refused: %v", faults)
				}
				return
			}
			found := false
			for _, f := range faults {
				found = found || strings.Join(f.Path, ".") == tc.path && strings.Contains(f.Text, tc.text)
				if strings.Contains(f.Text, goodSecret) || strings.Contains(f.Text, "user:pass") {
					t.Errorf("the fault shows a secret: %v", f)
				}
				if tc.by.Tenant != "" && strings.Contains(f.Text, "evil") && !strings.Contains(string(tc.entry.Spec), "evil") {
					t.Errorf("the fault tells of another tenant: %v", f)
				}
			}
			if !found || len(faults) > 2 {
				t.Errorf("faults %v, want one at %q: ...%s...", faults, tc.path, tc.text)
			}
		})
	}
}

// retiring gives the entry's spec a second secret, and lets the one of that number
// retire, or one that is not there.
func retiring(e *catalog.Entry, i int) *catalog.Entry {
	text := "env:TEAM_GONE"
	if i == 0 {
		var s catalog.SourceSpec
		if err := json.Unmarshal(e.Spec, &s); err != nil {
			panic(err)
		}
		text = s.Secrets[0]
	}
	e.Retire = map[string]time.Time{text: time.Now().Add(time.Hour)}
	return e
}

// What is hidden from a tenant and what is not there are refused in the same words.
func TestARefusalDoesNotTellWhatOthersHave(t *testing.T) {
	c := newChecked(t)
	check := catalog.NewChecker(c.State(), c.o)
	said := func(e *catalog.Entry) string {
		faults := check.Check(e, acme())
		if len(faults) == 0 {
			t.Fatal("it may be written")
		}
		text := ""
		for _, f := range faults {
			text += f.Error() + "\n"
		}
		for _, name := range []string{"evil-own", "nobody", "causeway.secret"} {
			text = strings.ReplaceAll(text, name, "X")
		}
		return text
	}
	for what, rest := range map[string]string{
		"a source":       `"sources":["NAME"]`,
		"a topic":        `"topics":["webhooks.NAME"]`,
		"a topic by *":   `"topics":["webhooks.NAME*"]`,
		"both":           `"topics":["webhooks.NAME"],"sources":["NAME"]`,
		"only its topic": `"sources":["stripe"],"topics":["webhooks.NAME"]`,
	} {
		hidden := said(c.subscription(t, "acme", "new", strings.ReplaceAll(rest, "NAME", "evil-own")))
		missing := said(c.subscription(t, "acme", "new", strings.ReplaceAll(rest, "NAME", "nobody")))
		if hidden != missing {
			t.Errorf("%s: hidden\n%smissing\n%s", what, hidden, missing)
		}
	}
	taken := said(c.source(t, "acme", "new", `"provider":"stripe","topic":"webhooks.evil-own"`))
	reserved := said(c.source(t, "acme", "new", `"provider":"stripe","topic":"causeway.secret"`))
	if strings.ReplaceAll(taken, "webhooks.", "") != reserved {
		t.Errorf("taken\n%sreserved\n%s", taken, reserved)
	}
}

// The number of a tenant's subscriptions is limited, however many come at once; a limit
// that was lowered since keeps nobody from changing what is there.
func TestATenantsNumberOfSubscriptions(t *testing.T) {
	c := newChecked(t)
	check := catalog.NewChecker(c.State(), c.o)
	one, two := c.subscription(t, "acme", "one", `"sources":["stripe"]`), c.subscription(t, "acme", "two", `"sources":["stripe"]`)
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{one}}, acme()); got != nil {
		t.Errorf("the second of two: %v", got)
	}
	got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{one, two}}, acme())
	if len(got) != 2 || !strings.Contains(got[0].Faults[0].Text, "may have 2 subscriptions") {
		t.Errorf("the second and third at once: %v", got)
	}
	billing := c.entries["subscription/acme/billing"]
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{one, two}, Remove: []*catalog.Entry{billing}}, acme()); got != nil {
		t.Errorf("and one goes: %v", got)
	}
	c.put(t, one, tenantEntry("acme", `{"name":"acme","sources":["stripe"],"max_subscriptions":1}`))
	if faults := catalog.NewChecker(c.State(), c.o).Check(one, acme()); faults != nil {
		t.Errorf("one of two, of which one is allowed now: %v", faults)
	}
}

// What comes in one change may refer to each other, and be in each other's way.
func TestAChangeIsCheckedAsAWhole(t *testing.T) {
	c := newChecked(t)
	check := catalog.NewChecker(c.State(), c.o)
	src := c.source(t, "later", "later-own", "")
	sub := c.subscription(t, "later", "new", `"sources":["later-own"]`)
	tenant := tenantEntry("later", `{"name":"later"}`)
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{sub, src, tenant}}, operator); got != nil {
		t.Errorf("all of it: %v", got)
	}
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{sub, tenant}}, operator); len(got) != 1 || got[0].Entry != sub {
		t.Errorf("without the source: %v", got)
	}
	twin := c.source(t, "", "later-own", `"provider":"stripe","topic":"webhooks.x"`)
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{tenant, src, twin}}, operator); len(got) != 1 {
		t.Errorf("one name twice: %v", got)
	}
	a := c.source(t, "", "a", `"provider":"stripe","topic":"webhooks.one"`)
	b := c.source(t, "", "b", `"provider":"stripe","topic":"webhooks.one","format":"cloudevents"`)
	if got := check.CheckChanges(catalog.Changes{Put: []*catalog.Entry{a, b}}, operator); len(got) == 0 {
		t.Error("two formats in one new topic")
	}
}

func TestWhatMayNotBeRemoved(t *testing.T) {
	c := newChecked(t)
	c.put(t, c.subscription(t, "", "of acme's", `"sources":["acme-own"]`))
	at := func(key string) *catalog.Entry { return c.entries[key] }
	for name, tc := range map[string]struct {
		remove []string
		by     catalog.Author
		text   string
	}{
		"a subscription":                           {[]string{"subscription/acme/billing"}, acme(), ""},
		"somebody else's":                          {[]string{"subscription/evil/theirs"}, acme(), "belongs to somebody else"},
		"a tenant with entries":                    {[]string{"tenant//evil"}, operator, `source "evil-own", subscription "theirs"`},
		"a tenant with all that it has":            {[]string{"subscription/evil/theirs", "source/evil/evil-own", "tenant//evil"}, operator, ""},
		"a tenant, by himself":                     {[]string{"tenant//acme"}, acme(), "belongs to somebody else"},
		"a source that a subscription names":       {[]string{"source/evil/evil-own"}, operator, `"theirs"`},
		"the topic of which one names":             {[]string{"source//github"}, operator, `"all"`},
		"with the subscription":                    {[]string{"source//github", "subscription//all"}, operator, ""},
		"a source that nobody names":               {[]string{"source//stripe"}, operator, ""},
		"a source that only the operator names":    {[]string{"source/acme/acme-own", "subscription/acme/billing"}, acme(), ""},
		"the same, by the operator":                {[]string{"source/acme/acme-own", "subscription/acme/billing"}, operator, `"of acme's"`},
		"a source that his own subscription names": {[]string{"source/acme/acme-own"}, acme(), `topic: "billing":`},
	} {
		t.Run(name, func(t *testing.T) {
			var ch catalog.Changes
			for _, key := range tc.remove {
				ch.Remove = append(ch.Remove, at(key))
			}
			got := catalog.NewChecker(c.State(), c.o).CheckChanges(ch, tc.by)
			switch {
			case tc.text == "" && len(got) > 0:
				t.Errorf("refused: %v", got)
			case tc.text != "" && (len(got) != 1 || !strings.Contains(got[0].Faults[0].Text, tc.text)):
				t.Errorf("got %v, want %q", got, tc.text)
			}
		})
	}
}

// A tenant may remove a source that the operator's subscription names. Nobody but the
// operator takes its name then: the events of whoever did would be delivered as the old
// one's.
func TestWhoComesInTheNameOfASourceThatIsGone(t *testing.T) {
	c := newChecked(t)
	c.put(t, c.subscription(t, "", "by name", `"sources":["acme-own"]`), c.subscription(t, "", "by topic", `"topics":["webhooks.evil-own"]`),
		c.subscription(t, "", "acme's by name", `"sources":["shared-a"],"tenant":"acme"`), c.subscription(t, "", "by prefix", `"topics":["webhooks.*"]`))
	var gone catalog.Changes
	for _, key := range []string{"source/acme/acme-own", "source/evil/evil-own", "source//shared-a"} {
		gone.Remove = append(gone.Remove, c.entries[key])
	}
	if _, err := c.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) { return gone, nil }); err != nil {
		t.Fatal(err)
	}
	evil := catalog.Author{Tenant: "evil"}
	for name, tc := range map[string]struct {
		source *catalog.Entry
		by     catalog.Author
		text   string
	}{
		"its name":                       {c.source(t, "evil", "acme-own", ""), evil, `"acme-own" cannot be taken`},
		"its topic's":                    {c.source(t, "acme", "evil-own", ""), acme(), `"evil-own" cannot be taken`},
		"its topic under another name":   {c.source(t, "acme", "new", `"provider":"stripe","topic":"webhooks.evil-own"`), acme(), `"new" cannot be taken`},
		"its name, by the operator":      {c.source(t, "", "acme-own", ""), operator, ""},
		"one of which it wants nothing":  {c.source(t, "evil", "shared-a", ""), evil, ""},
		"one that only a pattern covers": {c.source(t, "evil", "fresh", ""), evil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			faults := catalog.NewChecker(c.State(), c.o).Check(tc.source, tc.by)
			switch {
			case tc.text == "" && len(faults) > 0:
				t.Errorf("refused: %v", faults)
			case tc.text != "" && (len(faults) != 1 || !strings.Contains(faults[0].Text, tc.text)):
				t.Errorf("got %v, want %q", faults, tc.text)
			}
		})
	}
}

// A reference that the operator wrote into a tenant's entry does not keep the tenant
// from changing the rest of it; he cannot put another one there.
func TestAReferenceThatIsThereMayStay(t *testing.T) {
	c := newChecked(t)
	given := spec(c.subscription(t, "acme", "given", ""), "", `{"name":"given","url":"https://example.com","sources":["stripe"],"secrets":["env:TEAM_SECRET"]}`)
	c.put(t, given)
	check := catalog.NewChecker(c.State(), c.o)
	edited := spec(given.Copy(), "example.com", "example.org")
	if faults := check.Check(edited, acme()); faults != nil {
		t.Errorf("refused: %v", faults)
	}
	for _, other := range []string{"env:TEAM_OTHER", "file:/run/secrets/team"} {
		if faults := check.Check(spec(edited.Copy(), "env:TEAM_SECRET", other), acme()); len(faults) != 1 {
			t.Errorf("%s: %v", other, faults)
		}
	}
}

// Nothing is looked up for one who may not have it: not even whether it is there.
func TestAReferenceThatIsRefusedIsNotLookedUp(t *testing.T) {
	c := newChecked(t)
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.o.ResolveSources = true
	check := catalog.NewChecker(c.State(), c.o)
	said := func(ref string) string {
		e := spec(c.source(t, "", "new", ""), "", `{"name":"new","provider":"stripe","secrets":["`+ref+`"]}`)
		faults := check.Check(e, operator)
		if len(faults) != 1 {
			t.Fatalf("%s: %v", ref, faults)
		}
		return faults[0].Text
	}
	if one, other := said("file:"+there), said("file:"+filepath.Join(dir, "missing")); one != other {
		t.Errorf("there: %s\nmissing: %s", one, other)
	}
	if one, other := said("env:PATH"), said("env:NOT_THERE_AT_ALL"); one != other {
		t.Errorf("there: %s\nmissing: %s", one, other)
	}
}
