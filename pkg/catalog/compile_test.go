package catalog_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// compiled is a store and what is made of its states.
type compiled struct {
	*catalog.File
	*catalog.Compiler
	t *testing.T
}

func newCompiled(t *testing.T, keys *secret.Keyring) *compiled {
	t.Helper()
	t.Setenv("CATALOG_TEST", goodSecret)
	f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Resolver = secret.NewResolver().WithKeyring(keys)
	return &compiled{f, catalog.NewCompiler(o), t}
}

func sourceEntry(name, spec string) *catalog.Entry {
	e := entry(catalog.KindSource, "", name)
	e.Spec = json.RawMessage(spec)
	return e
}

const (
	stripeSpec  = `{"name":"stripe","provider":"stripe","secrets":["env:CATALOG_TEST"]}`
	billingSpec = `{"name":"billing","topics":["webhooks.stripe"],"url":"https://example.com/hook","secrets":["env:CATALOG_TEST"]}`
)

func subscriptionEntry(tenant, name, spec string) *catalog.Entry {
	e := entry(catalog.KindSubscription, tenant, name)
	e.Spec = json.RawMessage(spec)
	return e
}

func tenantEntry(name, spec string) *catalog.Entry {
	e := entry(catalog.KindTenant, "", name)
	e.UID, e.Spec = name, json.RawMessage(spec)
	return e
}

func (c *compiled) after(entries ...*catalog.Entry) *catalog.Snapshot {
	c.t.Helper()
	return c.Compile(put(c.t, c.File, entries...))
}

func TestASnapshotOfTheCatalog(t *testing.T) {
	c := newCompiled(t, nil)
	src, sub := sourceEntry("stripe", stripeSpec), subscriptionEntry("acme", "billing", billingSpec)
	sub.Paused = true
	sub.Starts = map[string]catalog.Start{"webhooks.stripe": {Offsets: []int64{4}}}
	s := c.after(src, sub, tenantEntry("acme", `{"name":"acme","sources":["stripe"],"rate":"5/s"}`))
	got := s.Subscriptions[0]
	if got.UID.String() != sub.UID || !got.Paused || got.Tenant != "acme" || got.Fault != nil || got.Starts["webhooks.stripe"].Added != got.Version {
		t.Errorf("got %+v", got)
	}
	if s.Source("stripe").UID.String() != src.UID || s.Version != c.State().Version || s.Subscription(got.UID) != got {
		t.Errorf("got %+v", s.Source("stripe"))
	}
}

// An entry's owner decides whose events it gets, whatever its spec says.
func TestAnEntryGetsItsOwnersEventsOnly(t *testing.T) {
	c := newCompiled(t, nil)
	s := c.after(sourceEntry("stripe", stripeSpec), subscriptionEntry("acme", "billing", strings.Replace(billingSpec, `{`, `{"tenant":"other",`, 1)))
	if got := s.Subscriptions[0].Tenant; got != "acme" {
		t.Errorf("tenant %q", got)
	}
}

// What one change does not touch is the same before and after it, with the keys that
// it has decoded.
func TestOnlyWhatChangedIsCompiled(t *testing.T) {
	c := newCompiled(t, nil)
	a, b := subscriptionEntry("", "a", billingSpec), subscriptionEntry("", "b", billingSpec)
	before := c.after(sourceEntry("stripe", stripeSpec), a, b)
	after := c.after(c.State().Entry(a.Kind, a.UID).Copy())
	same := 0
	for _, sub := range before.Subscriptions {
		if after.Subscription(sub.UID) == sub {
			same++
		}
	}
	if same != 1 || after.Source("stripe") != before.Source("stripe") {
		t.Errorf("%d of 2 subscriptions stayed, want 1, and the source", same)
	}
}

// One entry that cannot be used here is in the snapshot with its fault, and disturbs
// nobody; what it refers to may have gone since it was written.
func TestAFaultStaysWhereItIs(t *testing.T) {
	c := newCompiled(t, nil)
	s := c.after(
		sourceEntry("stripe", stripeSpec),
		sourceEntry("broken", `{"name":"broken","provider":"strype","secrets":["env:CATALOG_TEST"]}`),
		sourceEntry("locked", `{"name":"locked","provider":"stripe","secrets":["env:CATALOG_NOT_SET"]}`),
		subscriptionEntry("", "billing", billingSpec),
		subscriptionEntry("", "orphan", strings.Replace(billingSpec, "webhooks.stripe", "webhooks.gone", 1)),
		subscriptionEntry("", "nowhere", strings.Replace(billingSpec, "https://", "ftp://", 1)),
	)
	want := map[string]string{"broken": "strype", "locked": "CATALOG_NOT_SET", "nowhere": "ftp"}
	for _, src := range s.Sources {
		checkFault(t, src.Name, src.Fault, want[src.Name])
	}
	for _, sub := range s.Subscriptions {
		checkFault(t, sub.Name, sub.Fault, want[sub.Name])
	}
	if len(s.Sources) != 3 || len(s.Subscriptions) != 3 {
		t.Errorf("%d sources and %d subscriptions", len(s.Sources), len(s.Subscriptions))
	}
	t.Setenv("CATALOG_NOT_SET", goodSecret)
	if src := c.Compile(c.State()).Source("locked"); src.Fault != nil {
		t.Errorf("mended: %v", src.Fault)
	}
}

func checkFault(t *testing.T, name string, fault error, want string) {
	t.Helper()
	if (fault != nil) != (want != "") || fault != nil && !strings.Contains(fault.Error(), want) {
		t.Errorf("%s: fault %v, want %q in it", name, fault, want)
	}
}

// A secret that is sealed for one entry opens in that one alone.
func TestASealedSecretOpensInItsEntry(t *testing.T) {
	line, err := secret.GenerateKey("k1")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := secret.ParseKeyring(line)
	if err != nil {
		t.Fatal(err)
	}
	c := newCompiled(t, keys)
	own, thief := subscriptionEntry("acme", "own", ""), subscriptionEntry("acme", "thief", "")
	text, err := keys.Seal(secret.New([]byte(goodSecret)), secret.Binding{Tenant: "acme", Kind: "subscription", UID: own.UID, Field: "secrets"})
	if err != nil {
		t.Fatal(err)
	}
	own.Spec = json.RawMessage(strings.Replace(billingSpec, "env:CATALOG_TEST", text, 1))
	thief.Spec = own.Spec
	s := c.after(sourceEntry("stripe", stripeSpec), own, thief, tenantEntry("acme", `{"name":"acme"}`))
	for _, sub := range s.Subscriptions {
		want := ""
		if sub.Name == "thief" {
			want = "cannot be opened"
		}
		checkFault(t, sub.Name, sub.Fault, want)
		if sub.Fault != nil && strings.Contains(sub.Fault.Error(), text[20:]) {
			t.Error("the fault repeats the ciphertext")
		}
	}
}

// TestATopicThatMayBeNoSources: whoever wrote past the checks must not make egress read,
// or admin make, what is not for sources.
func TestATopicThatMayBeNoSources(t *testing.T) {
	c := newCompiled(t, nil)
	for _, topic := range []string{"causeway.audit", "__consumer_offsets", "payroll", "a b"} {
		spec := strings.Replace(stripeSpec, `"provider"`, `"topic":"`+topic+`","provider"`, 1)
		snapshot := c.after(sourceEntry("stripe", spec))
		src := snapshot.Source("stripe")
		if src.Fault == nil || src.Topic != "" || len(snapshot.Readable()) > 0 {
			t.Errorf("%s: fault %v, topic %q, read: %v", topic, src.Fault, src.Topic, snapshot.Readable())
		}
	}
}

// A later release lets a text be more than it may be here, and goes on writing the same
// schema. Who is to get which event is not known then, until the entry can be read.
func TestASpecThatCannotBeReadLeavesNobodyOut(t *testing.T) {
	orphan := entry(catalog.KindOrphan, "", "webhooks.old")
	orphan.UID, orphan.Spec = "webhooks.old", json.RawMessage(`{"writers":[{"source":"old"}]}`)
	for name, tc := range map[string]struct {
		entry *catalog.Entry
		wider string
	}{
		`source "stripe"`:        {sourceEntry("stripe", stripeSpec), strings.Replace(stripeSpec, `{`, `{"max_body":"1.5MiB",`, 1)},
		`subscription "billing"`: {subscriptionEntry("", "billing", billingSpec), strings.Replace(billingSpec, `{`, `{"retry":{"max_age":"7d"},`, 1)},
		`tenant "acme"`:          {tenantEntry("acme", `{"name":"acme","sources":["stripe"]}`), `{"name":"acme","rate":"5 per second","sources":["stripe"]}`},
		`orphan "webhooks.old"`:  {orphan, `{"writers":["old"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCompiled(t, nil)
			if err := c.after(tc.entry).Newer; err != nil {
				t.Fatalf("what can be read is said to be of a newer release: %v", err)
			}
			wider := c.State().Entry(tc.entry.Kind, tc.entry.UID).Copy()
			wider.Spec = json.RawMessage(tc.wider)
			err := c.after(wider).Newer
			if err == nil || !strings.Contains(err.Error(), name+" cannot be read here: update this process") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the snapshot says %v of what cannot be read", err)
			}
			if again := c.Compile(c.State()).Newer; again == nil {
				t.Error("compiled anew, it is forgotten")
			}
			if err := c.after(tc.entry.Copy()).Newer; err != nil {
				t.Errorf("mended, it still says %v", err)
			}
		})
	}
}
