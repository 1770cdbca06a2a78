package catalog_test

import (
	"testing"

	"causeway/pkg/catalog"
)

func TestWhatATenantMaySee(t *testing.T) {
	c := newCompiled(t, nil)
	src := func(owner, name, topic string) *catalog.Entry {
		e := sourceEntry(name, `{"name":"`+name+`","provider":"stripe","secrets":["env:CATALOG_TEST"],"topic":"`+topic+`"}`)
		e.Tenant = owner
		return e
	}
	s := c.after(
		src("", "stripe", "webhooks.stripe"), src("", "shared-a", "webhooks.shared"), src("", "shared-b", "webhooks.shared"), src("", "hidden", "webhooks.hidden"),
		src("acme", "acme-own", "webhooks.acme"), src("evil", "evil-own", "webhooks.evil"),
		tenantEntry("acme", `{"name":"acme","sources":["stripe","shared-*"],"rate":"30/m","max_subscriptions":3}`),
		tenantEntry("evil", `{"name":"evil"}`),
		tenantEntry("picky", `{"name":"picky","sources":["stripe","shared-a"],"topics":["webhooks.sh*"]}`),
		tenantEntry("closed", `{"name":"closed","sources":["stripe"],"topics":[]}`),
	)
	for _, tc := range []struct {
		tenant, sources, topics string // of those that follow
	}{
		{"acme", "stripe shared-a shared-b acme-own", "webhooks.stripe webhooks.shared webhooks.acme"},
		{"evil", "evil-own", "webhooks.evil"},
		{"picky", "stripe shared-a", "webhooks.shared"},
		{"closed", "stripe", "webhooks.stripe"}, // no topics are as those left out
	} {
		tenant := s.Tenants[tc.tenant]
		sources, topics := "", ""
		for _, name := range []string{"stripe", "shared-a", "shared-b", "hidden", "acme-own", "evil-own", "nobody"} {
			if tenant.AllowsSource(name) {
				sources = join(sources, name)
			}
		}
		for _, topic := range []string{"webhooks.stripe", "webhooks.shared", "webhooks.hidden", "webhooks.acme", "webhooks.evil", "orders"} {
			if tenant.AllowsTopic(topic) {
				topics = join(topics, topic)
			}
		}
		if sources != tc.sources || topics != tc.topics {
			t.Errorf("%s may see %q of %q, want %q of %q", tc.tenant, sources, topics, tc.sources, tc.topics)
		}
	}
	if got := s.Tenants["acme"]; got.Rate != 0.5 || got.MaxSubscriptions != 3 || got.Version == 0 {
		t.Errorf("got %+v", got)
	}
	for _, name := range []string{"acme-own", "evil-own"} {
		if got := s.Source(name).Tenant(nil); got+"-own" != name {
			t.Errorf("events of %s belong to %q", name, got)
		}
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

// What belongs to a tenant lives and changes with him: without his entry nothing of it
// is used, and a change of it reaches what was compiled before; nothing else is
// compiled again.
func TestATenantsEntriesFollowHim(t *testing.T) {
	c := newCompiled(t, nil)
	owned := sourceEntry("acme-own", `{"name":"acme-own","provider":"stripe","secrets":["env:CATALOG_TEST"]}`)
	owned.Tenant = "acme"
	s := c.after(sourceEntry("stripe", stripeSpec), owned, subscriptionEntry("acme", "billing", billingSpec), subscriptionEntry("", "all", billingSpec))
	sub := func(s *catalog.Snapshot, name string) *catalog.Subscription {
		e := c.State().Named(catalog.KindSubscription, map[string]string{"billing": "acme"}[name], name)
		for _, sub := range s.Subscriptions {
			if sub.UID.String() == e.UID {
				return sub
			}
		}
		return nil
	}
	checkFault(t, "billing", sub(s, "billing").Fault, `no tenant "acme"`)
	checkFault(t, "acme-own", s.Source("acme-own").Fault, `no tenant "acme"`)
	checkFault(t, "all", sub(s, "all").Fault, "")

	with := c.after(tenantEntry("acme", `{"name":"acme","sources":["stripe"]}`))
	checkFault(t, "billing", sub(with, "billing").Fault, "")
	checkFault(t, "acme-own", with.Source("acme-own").Fault, "")
	if owner := sub(with, "billing").Owner; owner != with.Tenants["acme"] || !owner.AllowsSource("stripe") {
		t.Errorf("owner %+v", owner)
	}
	narrowed := c.after(tenantEntry("acme", `{"name":"acme"}`))
	if owner := sub(narrowed, "billing").Owner; owner != narrowed.Tenants["acme"] || owner.AllowsSource("stripe") {
		t.Errorf("what was taken from the tenant is still his subscription's: %+v", owner)
	}
	if sub(narrowed, "all") != sub(with, "all") || narrowed.Source("stripe") != with.Source("stripe") {
		t.Error("what is not the tenant's was compiled again")
	}
}
