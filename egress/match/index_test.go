package match

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

func TestMatch(t *testing.T) {
	subs := []*catalog.Subscription{
		{Name: "all", Topics: []string{"webhooks.a"}},
		{Name: "every topic", Topics: []string{"webhooks.*"}},
		{Name: "other topic", Topics: []string{"webhooks.b"}},
		{Name: "paid", Topics: []string{"webhooks.a"}, Types: []string{"invoice.paid"}},
		{Name: "invoices", Topics: []string{"webhooks.a"}, Types: []string{"invoice.*"}},
		{Name: "both patterns", Topics: []string{"webhooks.a"}, Types: []string{"invoice.*", "invoice.paid", "*"}},
		{Name: "acme", Topics: []string{"webhooks.a"}, Tenant: "acme"},
		{Name: "acme's invoices", Topics: []string{"webhooks.a"}, Tenant: "acme", Types: []string{"invoice.*"}},
		{Name: "of a source", Topics: []string{"webhooks.a"}, Sources: []string{"stripe"}},
		{Name: "two topics that both fit", Topics: []string{"webhooks.a", "webhooks.*"}},
	}
	index := New(catalog.NewSnapshot(0, nil, subs))
	for name, tc := range map[string]struct {
		key  Key
		want []string
	}{
		"a type that nobody names": {Key{Topic: "webhooks.a", Type: "order.new"}, []string{"all", "both patterns", "every topic", "two topics that both fit"}},
		"an event without a type":  {Key{Topic: "webhooks.a"}, []string{"all", "both patterns", "every topic", "two topics that both fit"}},
		"an exact type and its prefix, each subscription once": {
			Key{Topic: "webhooks.a", Type: "invoice.paid"},
			[]string{"all", "both patterns", "every topic", "invoices", "paid", "two topics that both fit"},
		},
		"a prefix reaches all depths": {
			Key{Topic: "webhooks.a", Type: "invoice.line.added"},
			[]string{"all", "both patterns", "every topic", "invoices", "two topics that both fit"},
		},
		"a prefix is not the word itself": {Key{Topic: "webhooks.a", Type: "invoice"}, []string{"all", "both patterns", "every topic", "two topics that both fit"}},
		"a tenant's events go to the tenant's and to everybody's": {
			Key{Topic: "webhooks.a", Tenant: "acme", Type: "invoice.paid"},
			[]string{"acme", "acme's invoices", "all", "both patterns", "every topic", "invoices", "paid", "two topics that both fit"},
		},
		"another tenant's do not":      {Key{Topic: "webhooks.a", Tenant: "evil"}, []string{"all", "both patterns", "every topic", "two topics that both fit"}},
		"a source":                     {Key{Topic: "webhooks.a", Source: "stripe"}, []string{"all", "both patterns", "every topic", "of a source", "two topics that both fit"}},
		"another topic":                {Key{Topic: "webhooks.b"}, []string{"every topic", "other topic", "two topics that both fit"}},
		"a topic nobody subscribed to": {Key{Topic: "orders"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, sub := range index.Match(tc.key) {
				got = append(got, sub.Name)
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("Match(%+v) = %q, want %q", tc.key, got, tc.want)
			}
		})
	}
}

// What a tenant's subscription gets is what he is allowed now, by topic and by source,
// of his own events alone.
func TestATenantsLimitsHoldForEachEvent(t *testing.T) {
	t.Setenv("MATCH_TEST", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	compiler := catalog.NewCompiler(catalog.Options{Resolver: secret.NewResolver(), Prefix: "causeway.", AllowTopics: []string{"webhooks.*"}})
	after := func(entries ...*catalog.Entry) *Index {
		state, err := f.Update(t.Context(), func(*catalog.State) (catalog.Changes, error) { return catalog.Changes{Put: entries}, nil })
		if err != nil {
			t.Fatal(err)
		}
		return New(compiler.Compile(state))
	}
	entry := func(kind catalog.Kind, owner, name, spec string) *catalog.Entry {
		e := &catalog.Entry{Kind: kind, UID: catalog.NewUID(), Tenant: owner, Name: name, Spec: []byte(`{"name":"` + name + `",` + spec + `}`)}
		if kind == catalog.KindTenant {
			e.UID = name
		}
		return e
	}
	source := func(owner, name, topic string) *catalog.Entry {
		return entry(catalog.KindSource, owner, name, `"provider":"stripe","secrets":["env:MATCH_TEST"],"topic":"`+topic+`"`)
	}
	const rest = `"topics":["webhooks.*"],"url":"https://example.com","secrets":["env:MATCH_TEST"]`
	index := after(
		source("", "stripe", "webhooks.shared"), source("", "github", "webhooks.shared"), source("acme", "acme-own", "webhooks.acme"),
		entry(catalog.KindTenant, "", "acme", `"sources":["stripe"]`),
		entry(catalog.KindSubscription, "acme", "his", rest), entry(catalog.KindSubscription, "", "all", rest),
	)
	shows := func(index *Index, key Key, want ...string) {
		t.Helper()
		var got []string
		for _, sub := range index.Match(key) {
			got = append(got, sub.Name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("Match(%+v) = %q, want %q", key, got, want)
		}
	}
	shows(index, Key{Topic: "webhooks.shared", Source: "stripe", Tenant: "acme"}, "all", "his")
	shows(index, Key{Topic: "webhooks.shared", Source: "stripe", Tenant: "evil"}, "all")
	shows(index, Key{Topic: "webhooks.shared", Source: "github", Tenant: "acme"}, "all")
	shows(index, Key{Topic: "webhooks.acme", Source: "acme-own", Tenant: "acme"}, "all", "his")
	shows(index, Key{Topic: "webhooks.hidden", Source: "stripe", Tenant: "acme"}, "all") // its source's name alone does not do
	index = after(entry(catalog.KindTenant, "", "acme", `"rate":"5/s"`))
	shows(index, Key{Topic: "webhooks.shared", Source: "stripe", Tenant: "acme"}, "all")
	shows(index, Key{Topic: "webhooks.acme", Source: "acme-own", Tenant: "acme"}, "all", "his")
	index = after(entry(catalog.KindTenant, "", "acme", `"sources":["stripe"],"topics":["webhooks.other"]`))
	shows(index, Key{Topic: "webhooks.shared", Source: "stripe", Tenant: "acme"}, "all")
}

// 10,000 subscriptions by tenant, each event wanted by one: what one lookup costs.
func BenchmarkMatchTenThousandTenants(b *testing.B) {
	var subs []*catalog.Subscription
	for i := range 10_000 {
		subs = append(subs, &catalog.Subscription{Topics: []string{"webhooks.a"}, Tenant: fmt.Sprintf("t%d", i), Types: []string{"invoice.*"}})
	}
	index := New(catalog.NewSnapshot(0, nil, subs))
	key := Key{Topic: "webhooks.a", Tenant: "t7777", Type: "invoice.paid"}
	b.ReportAllocs()
	for b.Loop() {
		if len(index.Match(key)) != 1 {
			b.Fatal("not one match")
		}
	}
}
