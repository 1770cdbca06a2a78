package catalog_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
)

// leaving is a catalog whose sources come and go.
type leaving struct {
	*compiled
	o       catalog.CheckOptions
	now     time.Time
	end     int64
	ends    map[string]int64 // of topics that do not end at end
	drained map[string]bool
	asked   []string
}

func newLeaving(t *testing.T) *leaving {
	return &leaving{compiled: newCompiled(t, nil), o: catalog.CheckOptions{Options: options()}, now: time.Unix(1000, 0)}
}

// change makes the changes with all that goes with them, and says why it may not.
func (l *leaving) change(ch catalog.Changes) (refused []catalog.Refusal) {
	l.t.Helper()
	l.end += 10
	state, err := l.Update(l.t.Context(), func(s *catalog.State) (catalog.Changes, error) {
		checker := catalog.NewChecker(s, l.o)
		l.asked = nil
		whole, refusals := checker.Orphans(ch, "k1", l.now, func(orphans map[string]int64) map[string]bool {
			l.asked = slices.Sorted(maps.Keys(orphans))
			return l.drained
		})
		if refused = refusals; len(refusals) > 0 {
			return catalog.Changes{}, nil
		}
		return whole, checker.Begin(whole, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
			offsets := map[string][]int64{}
			for _, topic := range topics {
				offsets[topic] = []int64{l.ends[topic]}
				if l.ends[topic] == 0 {
					offsets[topic] = []int64{l.end}
				}
			}
			return offsets, nil
		}})
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.Compile(state)
	return refused
}

func (l *leaving) put(entries ...*catalog.Entry) []catalog.Refusal {
	return l.change(catalog.Changes{Put: entries})
}

func (l *leaving) remove(name string) {
	l.t.Helper()
	l.change(catalog.Changes{Remove: []*catalog.Entry{l.named(name)}})
}

func (l *leaving) named(name string) *catalog.Entry {
	return l.State().Named(catalog.KindSource, "", name)
}

func (l *leaving) source(owner, name, topic string) *catalog.Entry {
	e := sourceEntry(name, `{"name":"`+name+`","provider":"stripe","secrets":["env:CATALOG_TEST"],"topic":"`+topic+`"}`)
	e.Tenant = owner
	return e
}

func (l *leaving) readable() string {
	return strings.Join(slices.Sorted(slices.Values(l.Compile(l.State()).Readable())), " ")
}

// A source goes while its topic holds events. Egress reads on, its tenant may have them,
// whoever comes to the topic goes on with it, and once all is delivered it is forgotten.
func TestASourceThatGoesLeavesItsTopic(t *testing.T) {
	l := newLeaving(t)
	l.put(tenantEntry("acme", `{"name":"acme","sources":["shared-*"]}`), tenantEntry("evil", `{"name":"evil"}`))
	l.put(l.source("acme", "own", "webhooks.own"), l.source("", "shared-a", "webhooks.shared"), l.source("", "shared-b", "webhooks.shared"))
	first := l.named("own").Starts["webhooks.own"]
	l.remove("own")
	l.remove("shared-a")
	want(t, l.readable(), "webhooks.own webhooks.shared")
	s := l.Compile(l.State())
	for tenant, may := range map[string]bool{"acme": true, "evil": false} {
		if got := s.Tenants[tenant]; got.Allows("webhooks.own", "own") != may || got.AllowsTopic("webhooks.own") != may {
			t.Errorf("%s may have what is left of acme's source: %t, the topic %t, want %t", tenant, got.Allows("webhooks.own", "own"), got.AllowsTopic("webhooks.own"), may)
		}
	}
	if got := s.Topics(); !slices.Equal(got, []string{"webhooks.shared"}) {
		t.Errorf("topics of sources: %q", got)
	}
	l.remove("shared-b")
	if e := l.State().Entry(catalog.KindOrphan, "webhooks.shared"); !strings.Contains(string(e.Spec), "shared-a") || !strings.Contains(string(e.Spec), "shared-b") {
		t.Errorf("who left the topic: %s", e.Spec)
	}

	// Whom a new subscription by pattern gets nothing old from, and an old one all of it.
	sub := subscriptionEntry("acme", "late", `{"name":"late","topics":["webhooks.*"],"url":"https://example.com","secrets":["env:CATALOG_TEST"]}`)
	l.put(sub)
	if got := l.State().Entry(sub.Kind, sub.UID).Starts["webhooks.own"].Offsets; !slices.Equal(got, []int64{l.end}) {
		t.Errorf("a subscription made after the source had gone begins at %d, want the end %d", got, l.end)
	}
	l.put(l.source("acme", "own", "webhooks.own"))
	if got := l.named("own").Starts["webhooks.own"]; got.Added != first.Added || !slices.Equal(got.Offsets, first.Offsets) {
		t.Errorf("the source that came back begins at %+v, want %+v as before", got, first)
	}
	want(t, l.readable(), "webhooks.own webhooks.shared")

	l.drained = map[string]bool{"webhooks.own": true, "webhooks.shared": true}
	l.put(l.source("", "other", "webhooks.other"))
	if len(l.asked) > 0 {
		t.Errorf("asked about %q, which may be written by who has not heard yet", l.asked)
	}
	l.now = l.now.Add(25 * time.Hour)
	l.drained["webhooks.shared"] = false
	l.put(l.source("", "third", "webhooks.third"))
	want(t, strings.Join(l.asked, " "), "webhooks.own webhooks.shared")
	if e := l.State().Entry(catalog.KindOrphan, "webhooks.own"); e != nil {
		t.Errorf("still there: %+v", e)
	}
	want(t, l.readable(), "webhooks.other webhooks.own webhooks.shared webhooks.third")
}

// What a tenant's source left and what the operator's of the same topic brings could not
// be told apart, and the tenant may have the one and not the other. Another tenant's can.
func TestWhoMayComeToAnOrphan(t *testing.T) {
	l := newLeaving(t)
	l.put(tenantEntry("acme", `{"name":"acme"}`), tenantEntry("evil", `{"name":"evil"}`))
	l.put(l.source("acme", "own", "webhooks.own"))
	l.remove("own")
	refused := l.put(l.source("", "own", "webhooks.own"))
	if len(refused) != 1 || !strings.Contains(refused[0].Faults[0].Text, `events of the tenant "acme"`) {
		t.Fatalf("the operator may have the topic: %+v", refused)
	}
	if refused := l.put(l.source("evil", "own", "webhooks.own")); len(refused) > 0 {
		t.Fatalf("%+v", refused)
	}
	s := l.Compile(l.State())
	if !s.Tenants["acme"].Allows("webhooks.own", "own") || !s.Tenants["evil"].AllowsSource("own") || s.Tenants["acme"].AllowsSource("own") {
		t.Error("one of both tenants may not have his own events")
	}
	if got := s.Source("own").Tenant(nil); got != "evil" {
		t.Errorf("the new source's events belong to %q", got)
	}
	// The name alone gives no right, wherever it stands now.
	if refused := l.put(l.source("", "other", "webhooks.own"), l.source("", "shared", "webhooks.shared")); len(refused) > 0 {
		t.Fatalf("%+v", refused)
	}
	l.remove("own")
	if refused := l.put(l.source("", "own", "webhooks.hidden")); len(refused) > 0 {
		t.Fatalf("%+v", refused)
	}
	acme := l.Compile(l.State()).Tenants["acme"]
	if acme.Allows("webhooks.hidden", "own") || acme.AllowsTopic("webhooks.hidden") || acme.Allows("webhooks.own", "other") || acme.AllowsSource("own") {
		t.Error("acme may have what the operator's new sources write")
	}
	l.remove("own")

	// Whoever has the tenant's name next is another tenant.
	l.change(catalog.Changes{Remove: []*catalog.Entry{l.State().Entry(catalog.KindTenant, "acme")}})
	if refused := l.put(l.source("", "own", "webhooks.own")); len(refused) != 1 {
		t.Errorf("the operator may have it without acme, who may come back: %+v", refused)
	}
	l.now, l.drained = l.now.Add(25*time.Hour), map[string]bool{"webhooks.own": true}
	if refused := l.put(l.source("", "own", "webhooks.own")); len(refused) > 0 {
		t.Errorf("nothing is left of it, and still: %+v", refused)
	}
}

// A topic that was deleted and made again has nothing to do with where its sources began.
func TestAnOrphansTopicThatWasMadeAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		end     int64
		drained bool
		want    int64
	}{
		"it is the same":                     {1000, false, 20},
		"it is another":                      {5, false, 5},
		"all of it was delivered long ago":   {1000, true, 1000},
		"another, of which no more is known": {5, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeaving(t)
			l.put(tenantEntry("acme", `{"name":"acme"}`))
			l.put(l.source("", "own", "webhooks.own")) // begins at 20
			l.remove("own")
			l.now, l.ends, l.drained = l.now.Add(25*time.Hour), map[string]int64{"webhooks.own": tc.end}, map[string]bool{"webhooks.own": tc.drained}
			l.put(l.source("", "own", "webhooks.own"))
			if got := l.named("own").Starts["webhooks.own"].Offsets; !slices.Equal(got, []int64{tc.want}) {
				t.Errorf("begins at %d, want %d", got, tc.want)
			}
			// Nothing older comes back, whoever joins it now or comes after it.
			l.put(l.source("", "beside", "webhooks.own"))
			if got := l.named("beside").Starts["webhooks.own"].Offsets; !slices.Equal(got, []int64{tc.want}) {
				t.Errorf("a second source begins at %d, want %d", got, tc.want)
			}
			l.remove("own")
			l.remove("beside")
			if got := l.State().Entry(catalog.KindOrphan, "webhooks.own").Starts["webhooks.own"].Offsets; !slices.Equal(got, []int64{tc.want}) {
				t.Errorf("an orphan again, of which %d is kept, want %d", got, tc.want)
			}
		})
	}
}

// What was accepted is delivered whatever topics sources may have by now; what belongs to
// causeway or Kafka, or is no topic, is not read for any entry's sake.
func TestWhichOrphansAreRead(t *testing.T) {
	l := newLeaving(t)
	l.put(l.source("", "own", "webhooks.own"))
	l.remove("own")
	orphan := func(topic string) *catalog.Entry {
		e := entry(catalog.KindOrphan, "", topic)
		e.UID, e.Spec = topic, []byte(`{"writers":[{"source":"own"}]}`)
		return e
	}
	state := put(t, l.File, orphan("causeway.catalog"), orphan("__consumer_offsets"), orphan("no topic"))
	o := options()
	o.AllowTopics = []string{"hooks.*"}
	want(t, strings.Join(catalog.NewCompiler(o).Compile(state).Readable(), " "), "webhooks.own")
}

// What a later release keeps of a topic is its own to take out.
func TestALaterReleasesOrphanStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog")
	const text = `{"schema":1,"version":2}
{"version":1,"key":"orphan/webhooks.own","value":{"schema":2}}
{"entries":1}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := newLeaving(t)
	l.File = f
	l.drained, l.now = map[string]bool{"webhooks.own": true}, time.Now()
	l.put(l.source("", "own", "webhooks.own"))
	if f.State().Entry(catalog.KindOrphan, "webhooks.own") == nil {
		t.Error("it was taken out")
	}
	if refused := l.change(catalog.Changes{Remove: []*catalog.Entry{l.named("own")}}); len(refused) != 1 || !strings.Contains(refused[0].Faults[0].Text, "newer release") {
		t.Errorf("removed beside it: %+v", refused)
	}
}

// In a catalog that was never written subscriptions begin nowhere, but in topics that
// egress has read without them.
func TestTheFirstEntriesBeginInForeignTopicsWhereTheGroupStands(t *testing.T) {
	p := newPlanned(t)
	o := catalog.CheckOptions{Options: options()}
	o.Foreign = []catalog.ForeignSpec{{Name: "orders", Format: "json"}, {Name: "ticks", Format: "json", Start: "latest"}, {Name: "unread", Format: "json"}}
	set := catalog.Set{Name: "a", Sources: []catalog.SourceSpec{{Name: "one", Provider: "stripe", Secrets: []string{"env:A"}}}}
	set.Subscriptions = []catalog.SubscriptionSpec{{Name: "all", URL: "https://example.com", Topics: []string{"webhooks.*", "orders", "ticks"}, Secrets: []string{"env:A"}}}
	if _, err := p.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
		ch, _ := s.Plan(set, "apply", time.Unix(100, 0))
		return ch, catalog.NewChecker(s, o).Begin(ch, catalog.Logs{
			Ends: func(topics []string) (map[string][]int64, error) {
				want(t, strings.Join(topics, " "), "orders ticks")
				return map[string][]int64{"orders": {50, 60}, "ticks": {70, 80, 90}}, nil
			},
			Committed: func([]string) (map[string][]int64, error) {
				return map[string][]int64{"orders": {40, -1}, "ticks": {65}}, nil
			},
		})
	}); err != nil {
		t.Fatal(err)
	}
	starts := p.subscription("", "all").Starts
	if len(starts) != 2 || !slices.Equal(starts["orders"].Offsets, []int64{40, 0}) || !slices.Equal(starts["ticks"].Offsets, []int64{65, 80, 90}) {
		t.Errorf("begins at %+v", starts)
	}
}
