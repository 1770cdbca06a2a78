package catalog_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/pkg/catalog"
)

// planned applies sets to a file.
type planned struct {
	*catalog.File
	t *testing.T
}

func newPlanned(t *testing.T) planned {
	t.Helper()
	f, err := catalog.OpenFile(filepath.Join(t.TempDir(), "catalog"), catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return planned{f, t}
}

// apply writes a plan and says what it was.
func (p planned) apply(set catalog.Set) string {
	p.t.Helper()
	var said []string
	if _, err := p.Update(p.t.Context(), func(s *catalog.State) (catalog.Changes, error) {
		ch, differences := s.Plan(set, "apply", time.Unix(100, 0))
		for _, d := range differences {
			line := fmt.Sprintf("%s %s %s/%s", d.Action, d.Kind, d.Tenant, d.Name)
			for _, f := range d.Fields {
				if d.Action == catalog.ActionChange {
					line += fmt.Sprintf(" %s: %s -> %s", f.Path, f.Before, f.After)
				}
			}
			if d.Text != "" {
				line += ": " + d.Text
			}
			said = append(said, line)
		}
		return ch, nil
	}); err != nil {
		p.t.Fatal(err)
	}
	return strings.Join(said, "\n")
}

func (p planned) subscription(owner, name string) *catalog.Entry {
	return p.State().Named(catalog.KindSubscription, owner, name)
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func teamA() catalog.Set {
	owned := subscription()
	owned.Name, owned.Owner = "theirs", "acme"
	return catalog.Set{
		Name: "team-a", Tenants: []catalog.TenantSpec{{Name: "acme", Sources: []string{"stripe"}}},
		Sources: []catalog.SourceSpec{source()}, Subscriptions: []catalog.SubscriptionSpec{subscription(), owned},
	}
}

func TestASetIsMadeChangedAndLeftAlone(t *testing.T) {
	p := newPlanned(t)
	want(t, p.apply(teamA()), "add tenant /acme\nadd source /stripe\nadd subscription /billing\nadd subscription acme/theirs")
	if e := p.subscription("", "billing"); e.Set != "team-a" || e.By != "apply" || !e.Created.Equal(time.Unix(100, 0)) || e.UID == "" {
		t.Errorf("got %+v", e)
	}
	if e := p.subscription("acme", "theirs"); strings.Contains(string(e.Spec), "owner") {
		t.Errorf("the owner stands twice: %s", e.Spec)
	}
	version := p.State().Version
	want(t, p.apply(teamA()), "")
	if p.State().Version != version {
		t.Error("the same set was written again")
	}
	set := teamA()
	set.Subscriptions[0].URL = "https://example.com/other"
	set.Subscriptions[0].Retry.MaxAge = catalog.Duration(time.Hour)
	set.Sources = nil // without Prune it stays
	want(t, p.apply(set), `change subscription /billing retry.max_age:  -> "1h0m0s" url: "https://example.com/hook" -> "https://example.com/other"`)
	if p.State().Named(catalog.KindSource, "", "stripe") == nil {
		t.Error("a source went without prune")
	}
}

// What is not the file's stays: who the entry is, whether it is paused, where it
// begins, which secret retires; and what a later release wrote.
func TestAPlanKeepsWhatIsNotTheFiles(t *testing.T) {
	p := newPlanned(t)
	set := teamA()
	set.Subscriptions[0].Secrets = []string{"env:NEW", "env:OLD", "env:OLDER"}
	p.apply(set)
	e := p.subscription("", "billing").Copy()
	e.Paused = true
	e.Starts = map[string]catalog.Start{"webhooks.stripe": {Offsets: []int64{4}}}
	e.Retire = map[string]time.Time{"env:OLD": time.Unix(500, 0).UTC(), "env:OLDER": time.Unix(400, 0).UTC()}
	e.Spec = json.RawMessage(strings.Replace(string(e.Spec), "{", `{"colour":"red",`, 1))
	before := put(t, p.File, e).Entry(e.Kind, e.UID)
	set.Subscriptions[0].Secrets = []string{"env:NEW", "env:OLD"}
	want(t, p.apply(set), `change subscription /billing retire: {"env:OLD":"1970-01-01T00:08:20Z","env:OLDER":"1970-01-01T00:06:40Z"} -> {"env:OLD":"1970-01-01T00:08:20Z"} secrets: ["env:NEW","env:OLD","env:OLDER"] -> ["env:NEW","env:OLD"]`)
	after := p.subscription("", "billing")
	if after.UID != before.UID || !after.Paused || after.Starts["webhooks.stripe"].Added != before.Version || len(after.Retire) != 1 ||
		!after.Created.Equal(before.Created) || !after.Changed.Equal(time.Unix(100, 0)) || !strings.Contains(string(after.Spec), `"colour":"red"`) {
		t.Errorf("got %+v with %s", after, after.Spec)
	}
	want(t, p.apply(set), "")
}

func TestPruneKeepsToItsSet(t *testing.T) {
	p := newPlanned(t)
	p.apply(teamA())
	other := catalog.Set{Name: "team-b", Sources: []catalog.SourceSpec{{Name: "github", Provider: "github", Secrets: []string{"env:B"}}}}
	p.apply(other)
	put(t, p.File, entry(catalog.KindSource, "", "by-hand"))
	billing := p.subscription("", "billing").UID

	set := teamA()
	set.Subscriptions[0].Name = "invoices" // renamed: for its deliveries it is another one
	set.Tenants, set.Prune = nil, true
	want(t, p.apply(set), "add subscription /invoices\nremove subscription /billing\nremove tenant /acme")
	if uid := p.subscription("", "invoices").UID; uid == billing {
		t.Error("another subscription has the uid of the old one")
	}
	for _, name := range []string{"stripe", "github", "by-hand"} {
		if p.State().Named(catalog.KindSource, "", name) == nil {
			t.Errorf("the source %s went", name)
		}
	}
	unnamed := catalog.Set{Prune: true}
	want(t, p.apply(unnamed), "")
}

// One conflict, and nothing of the plan is done.
func TestAConflictStopsThePlan(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*catalog.Set)
		want   string
	}{
		"an entry made by hand": {func(s *catalog.Set) { s.Sources[0].Name = "by-hand" }, "conflict source /by-hand: it was made by hand"},
		"an entry of another set": {
			func(s *catalog.Set) { s.Sources[0].Name = "github" }, `conflict source /github: it belongs to the set "team-b"`,
		},
		"a name twice": {
			func(s *catalog.Set) { s.Subscriptions[1] = s.Subscriptions[0] }, "conflict subscription /billing: the set has it twice",
		},
		"a source for another owner": {
			func(s *catalog.Set) { s.Sources[0].Owner = "acme" }, "conflict source acme/stripe: it belongs to the operator, and an owner stays",
		},
		"a source's name twice, for two owners": {func(s *catalog.Set) {
			s.Sources = append(s.Sources, s.Sources[0])
			s.Sources[1].Owner = "acme"
		}, "conflict source acme/stripe: the set has it twice"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlanned(t)
			p.apply(catalog.Set{Name: "team-b", Sources: []catalog.SourceSpec{{Name: "github", Provider: "github", Secrets: []string{"env:B"}}}})
			put(t, p.File, entry(catalog.KindSource, "", "by-hand"))
			p.apply(teamA())
			version := p.State().Version
			set := teamA()
			set.Prune, set.Subscriptions = true, append(set.Subscriptions, catalog.SubscriptionSpec{Name: "more", URL: "https://example.com"})
			tc.change(&set)
			if got := p.apply(set); !strings.Contains(got, tc.want) || p.State().Version != version {
				t.Errorf("version %d after %d, and it said\n%s", p.State().Version, version, got)
			}
		})
	}
}

// What was parked under the uids of the process file finds its subscription in a new
// catalog; in one that was used, nothing gets the uid of what is gone.
func TestUIDsOfANewCatalogAreThoseOfTheProcessFile(t *testing.T) {
	p := newPlanned(t)
	p.apply(teamA())
	if got := p.subscription("", "billing").UID; got != catalog.UID("subscription", "billing").String() {
		t.Errorf("uid %s", got)
	}
	if got := p.State().Named(catalog.KindSource, "", "stripe").UID; got != catalog.UID("source", "stripe").String() {
		t.Errorf("uid %s", got)
	}
	if got := p.subscription("acme", "theirs").UID; got == catalog.UID("subscription", "theirs").String() {
		t.Error("two owners' subscriptions of one name would have one uid")
	}
	p.apply(catalog.Set{Name: "team-a", Prune: true})
	p.apply(teamA())
	if got := p.subscription("", "billing").UID; got == catalog.UID("subscription", "billing").String() {
		t.Error("what is made again is what it was")
	}
}

// Two writers apply two sets at once.
func TestTwoSetsAtOnce(t *testing.T) {
	p := newPlanned(t)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			set := catalog.Set{Name: name, Prune: true}
			for i := range 20 {
				set.Subscriptions = append(set.Subscriptions, catalog.SubscriptionSpec{Name: fmt.Sprint(name, i), URL: "https://example.com"})
				if _, err := p.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
					ch, _ := s.Plan(set, "apply", time.Unix(100, 0))
					return ch, nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := p.State().Len(); n != 40 {
		t.Errorf("%d entries, want 40", n)
	}
}

// Where new entries begin: in topics that are new to them, and nowhere else.
func TestWhereEntriesBegin(t *testing.T) {
	p := newPlanned(t)
	o := catalog.CheckOptions{Options: options()}
	o.Foreign = []catalog.ForeignSpec{{Name: "orders", Format: "json"}}
	end := int64(0)
	asked := ""
	apply := func(set catalog.Set) {
		t.Helper()
		asked = ""
		if _, err := p.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
			ch, _ := s.Plan(set, "apply", time.Unix(100, 0))
			end += 10
			err := catalog.NewChecker(s, o).Begin(ch, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
				asked += strings.Join(topics, " ")
				offsets := map[string][]int64{}
				for _, topic := range topics {
					offsets[topic] = []int64{end, end + 1}
				}
				return offsets, nil
			}})
			return ch, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	starts := func(e *catalog.Entry) string {
		var all []string
		for topic, start := range e.Starts {
			all = append(all, fmt.Sprint(topic, start.Offsets))
			if start.Added == 0 || start.Added > e.Version {
				t.Errorf("added by %d, in version %d", start.Added, e.Version)
			}
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	many := func() string { return starts(p.subscription("", "many")) }
	src := func(name string) catalog.SourceSpec {
		return catalog.SourceSpec{Name: name, Provider: "stripe", Secrets: []string{"env:A"}}
	}
	sub := func(topics ...string) []catalog.SubscriptionSpec {
		return []catalog.SubscriptionSpec{{Name: "many", URL: "https://example.com", Topics: topics, Secrets: []string{"env:A"}}}
	}
	set := catalog.Set{Name: "a", Prune: true, Sources: []catalog.SourceSpec{src("one")}}
	apply(set)
	want(t, asked, "") // a catalog that was never written
	want(t, starts(p.State().Named(catalog.KindSource, "", "one")), "")

	set.Sources = append(set.Sources, src("two"))
	set.Subscriptions = sub("webhooks.*")
	apply(set)
	want(t, asked, "webhooks.one webhooks.two")
	want(t, many(), "webhooks.one[20 21] webhooks.two[20 21]")
	want(t, starts(p.State().Named(catalog.KindSource, "", "two")), "webhooks.two[20 21]")

	set.Sources = append(set.Sources, src("three")) // the subscription gets it through its pattern
	apply(set)
	want(t, asked, "webhooks.three")
	want(t, many(), "webhooks.one[20 21] webhooks.two[20 21]")

	set.Subscriptions = sub("webhooks.*", "orders") // and goes on with what it got so
	apply(set)
	want(t, asked, "orders")
	want(t, many(), "orders[40 41] webhooks.one[20 21] webhooks.two[20 21]")

	set.Subscriptions = sub("webhooks.one")
	apply(set)
	want(t, many(), "webhooks.one[20 21]")
	set.Subscriptions = sub("webhooks.one", "orders") // taken out and put back
	apply(set)
	want(t, asked, "orders")
	want(t, many(), "orders[60 61] webhooks.one[20 21]")

	set.Subscriptions[0].Topics, set.Subscriptions[0].Sources = nil, []string{"three", "one"}
	apply(set)
	want(t, asked, "webhooks.three")
	want(t, many(), "webhooks.one[20 21] webhooks.three[70 71]")
	set.Subscriptions[0].URL = "https://example.com/other"
	apply(set)
	want(t, asked, "")
	want(t, many(), "webhooks.one[20 21] webhooks.three[70 71]")

	set.Sources = []catalog.SourceSpec{src("one"), src("two")} // the topic goes behind the subscription's back
	apply(set)
	want(t, many(), "webhooks.one[20 21] webhooks.three[70 71]")
	set.Sources = append(set.Sources, src("three")) // and comes back with a change of it
	set.Subscriptions[0].URL = "https://example.com/hook"
	apply(set)
	want(t, asked, "webhooks.three")
	want(t, many(), "webhooks.one[20 21] webhooks.three[100 101]")
}

// A source that joins a topic says of its beginning what the first one there says: were
// it to declare the topic anew, what still waits there for a subscription by prefix*
// would be below its start and be passed over.
func TestASourceThatJoinsATopicDeclaresNothing(t *testing.T) {
	p := newPlanned(t)
	end := int64(0)
	apply := func(names ...string) {
		t.Helper()
		if _, err := p.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
			set := catalog.Set{Name: "a", Prune: true}
			for _, name := range names {
				topic := map[byte]string{'a': "webhooks.always", 's': "webhooks.shared"}[name[0]]
				set.Sources = append(set.Sources, catalog.SourceSpec{Name: name, Topic: topic, Provider: "stripe", Secrets: []string{"env:A"}})
			}
			ch, _ := s.Plan(set, "apply", time.Unix(100, 0))
			end += 10
			return ch, catalog.NewChecker(s, catalog.CheckOptions{Options: options()}).Begin(ch, catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) {
				offsets := map[string][]int64{}
				for _, topic := range topics {
					offsets[topic] = []int64{end}
				}
				return offsets, nil
			}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string) string {
		e := p.State().Named(catalog.KindSource, "", name)
		return fmt.Sprint(e.Starts)
	}
	apply("a1") // before anything began
	apply("a1", "s1")
	first := start("s1")
	want(t, first, "map[webhooks.shared:{2 [20]}]")

	apply("a1", "s1", "a2", "s2")
	want(t, start("a2"), "map[]")
	want(t, start("s2"), first)
	apply("a2", "s2", "s3") // the first ones have gone, one of them in the same change
	want(t, start("a2"), "map[]")
	want(t, start("s2"), first)
	want(t, start("s3"), first)
	apply("s4") // one takes the place of the others
	want(t, start("s4"), first)
	apply("a3")
	want(t, start("a3"), "map[webhooks.always:{12 [60]}]") // nobody was left: it is new
}

// The first subscription by prefix* in a catalog that a process file filled reads on
// where it stood, when it is changed later.
func TestWhatWasReadBeforeIsNoBirth(t *testing.T) {
	p := newPlanned(t)
	p.apply(teamA()) // no Starts at all
	e := p.subscription("", "billing").Copy()
	sub, err := e.Subscription()
	if err != nil {
		t.Fatal(err)
	}
	sub.URL = "https://example.com/other"
	if err := e.SetSpec(sub); err != nil {
		t.Fatal(err)
	}
	if err := catalog.NewChecker(p.State(), catalog.CheckOptions{Options: options()}).Begin(catalog.Changes{Put: []*catalog.Entry{e}},
		catalog.Logs{Ends: func(topics []string) (map[string][]int64, error) { t.Errorf("asked for %q", topics); return nil, nil }}); err != nil || len(e.Starts) > 0 {
		t.Errorf("%v, starts %v: what is between the commit and the end would be lost", err, e.Starts)
	}
}

// What each kind of entry looks like in its record, and in the audit. Golden: another
// release reads it.
func TestGoldenRecords(t *testing.T) {
	const fixed = "0b6f3c1e-8f53-4d6e-9d51-2f1f6f7a1c11"
	expires := time.Unix(2000, 0).UTC()
	src, sub := source(), subscription()
	src.Owner, sub.Secrets = "", []string{"sealed:v1:k1:" + strings.Repeat("A", 48), "env:OLD"}
	var entries []*catalog.Entry
	for kind, spec := range map[catalog.Kind]any{
		catalog.KindSource: src, catalog.KindSubscription: sub,
		catalog.KindTenant: catalog.TenantSpec{Name: "acme", Sources: []string{"stripe", "shared-*"}, Topics: []string{"webhooks.stripe"}, MaxSubscriptions: 5, Rate: 100},
		catalog.KindKey: catalog.KeySpec{
			Hash:  "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			Roles: []string{"viewer"}, Note: "CI", Expires: &expires, LastUsed: &expires,
		},
		catalog.KindOrphan: catalog.OrphanSpec{Writers: []catalog.OrphanWriter{{Source: "github"}, {Source: "own", Owner: "acme"}}},
	} {
		e := &catalog.Entry{
			Kind: kind, UID: fixed, Name: map[catalog.Kind]string{catalog.KindSource: "stripe", catalog.KindSubscription: "billing", catalog.KindTenant: "acme", catalog.KindKey: "k123", catalog.KindOrphan: "webhooks.github"}[kind],
			Created: time.Unix(1, 0), Changed: time.Unix(2, 0), By: "k123",
		}
		switch kind {
		case catalog.KindTenant, catalog.KindKey, catalog.KindOrphan:
			e.UID = e.Name
		case catalog.KindSubscription:
			e.Tenant, e.Set, e.Paused = "acme", "team-a", true
			e.Starts = map[string]catalog.Start{"webhooks.stripe": {Added: 7, Offsets: []int64{4, 0}}}
			e.Retire = map[string]time.Time{"env:OLD": expires}
		case catalog.KindSource:
		}
		if err := e.SetSpec(spec); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b *catalog.Entry) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	path := filepath.Join(t.TempDir(), "catalog")
	f, err := catalog.OpenFile(path, catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, entries...)
	golden(t, "entries.json", read(t, path))

	changed := entries[3].Copy()
	changed.Paused, changed.Retire = false, nil
	changed.Spec = json.RawMessage(strings.Replace(string(changed.Spec), "AAAA", "BBBB", 1))
	var out strings.Builder
	like := catalog.AuditRecord{At: time.Unix(3, 0), Who: "k123", Set: "team-a", Request: "req-1", Remote: "192.0.2.1"}
	for _, r := range catalog.Audit([]catalog.Difference{
		catalog.Compare(nil, entries[0]), catalog.Compare(entries[3], changed), catalog.Compare(entries[2], nil),
	}, like) {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	golden(t, "audit.json", out.String())
	for _, hidden := range []string{"AAAAAA", "BBBB", "9f86d081884c"} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("the audit holds %s", hidden)
		}
	}
	// What was written in an earlier run is read, and is the same.
	again, err := catalog.OpenFile("testdata/entries.json", catalog.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if d := catalog.Compare(e, again.State().Entry(e.Kind, e.UID)); len(d.Fields) > 0 {
			t.Errorf("%s: %+v", e.Key(), d.Fields)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
