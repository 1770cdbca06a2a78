package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

const (
	shortForm = `tenants:
  - name: acme
    sources: ["shop-*"]
sources:
  - {name: stripe, provider: stripe, secrets: [env:STRIPE]}
subscriptions:
  - name: billing
    owner: acme
    url: https://b.example.com/h
    secrets: [env:BILLING]
`
	processForm = `kafka:
  brokers: [kafka-1:9092]
ingress:
  public_url: https://hooks.example.com
  sources:
    - name: github
      provider: github
      secrets: [env:GITHUB]
egress:
  in_flight: 10
  subscriptions:
    - name: mirror
      url: https://m.example.com/h
      secrets: [env:MIRROR]
`
)

// applied gives what the last apply sent.
func (f *fakeAPI) applied() admin.ApplyInput {
	f.t.Helper()
	var in admin.ApplyInput
	if err := json.Unmarshal([]byte(f.bodies[len(f.bodies)-1]), &in); err != nil {
		f.t.Fatal(err)
	}
	return in
}

func TestApplyJoinsFilesAndForms(t *testing.T) {
	f := newFakeAPI(t)
	file := writeFile(t, "team.yaml", "# team\n---\n"+processForm+"--- # more\nsources:\n- name: shop-a\n  provider: shopify\n  secrets: [file:/run/secrets/shop]\n")
	causeway(t, shortForm, "apply", "--set", "team", "-f", file, "-f", "-").
		want(t, exitDone, file+": not looked at, because it is about processes: egress.in_flight, ingress.public_url, kafka\n", "0 added, 0 changed, 0 removed, 0 unchanged")
	in := f.applied()
	var names []string
	for _, s := range in.Sources {
		names = append(names, s.Name)
	}
	for _, s := range in.Subscriptions {
		names = append(names, s.Owner+"/"+s.Name)
	}
	if got := strings.Join(names, " "); got != "github shop-a stripe /mirror acme/billing" {
		t.Errorf("sent %s", got)
	}
	if len(in.Tenants) != 1 || in.Set != "team" || in.DryRun || in.Prune {
		t.Errorf("sent %+v", in)
	}
	causeway(t, "", "apply", "--set", "team", "-f", file, "--dry-run", "--prune").want(t, exitDone)
	if in := f.applied(); !in.DryRun || !in.Prune {
		t.Errorf("sent %+v", in)
	}
}

func TestApplySaysWhereItIsWrong(t *testing.T) {
	f := newFakeAPI(t)
	first := writeFile(t, "first.yaml", "sources:\n  - name: a\n    provider: stripe\n    secret: [env:A]\n---\nsubscriptions:\n  - name: b\n    url: https://b\n    secrets: [whsec_canary]\n    retry: {max_age: soon}\n")
	second := writeFile(t, "second.yaml", "soruces: []\nkafka: {}\ningress:\n  sauces: []\n")
	r := causeway(t, "", "apply", "--set", "team", "-f", first, "-f", second)
	r.want(t, exitFailed,
		first+":2:5: sources[0].secrets: missing", first+":4:5: sources[0].secret: unknown key; did you mean secrets?",
		first+":9:15: subscriptions[0].secrets[0]: a secret is given by reference", first+`:10:13: subscriptions[0].retry.max_age: "soon" is not a duration`,
		second+":1:1: soruces: unknown key; did you mean sources?", second+":4:3: ingress.sauces: unknown key; did you mean sources?")
	if strings.Contains(r.err, "canary") {
		t.Errorf("a secret was repeated: %s", r.err)
	}
	causeway(t, "a: [", "apply", "--set", "team", "-f", "-").want(t, exitFailed, "standard input:1:", "not YAML")
	causeway(t, "- a\n", "apply", "--set", "team", "-f", "-").want(t, exitFailed, "standard input:1:1: is a list, must be a mapping")
	for _, args := range [][]string{{"--set", "x"}, {"-f", first}, {"--set", "x", "-f", "-", "-f", "-"}} {
		causeway(t, "", append([]string{"apply"}, args...)...).want(t, exitMisused, "See causeway apply --help.")
	}
	causeway(t, "", "apply", "--set", "x", "-f", "nowhere.yaml").want(t, exitFailed, "read what to apply: open nowhere.yaml")
	if len(f.asked) > 0 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestWhatTheAPIFindsStandsAtItsLine(t *testing.T) {
	f := newFakeAPI(t)
	f.first = func(w http.ResponseWriter, _ *http.Request) bool {
		f.problem(w, admin.Problem{Status: 422, Code: "invalid", Detail: "the set was refused", Errors: []admin.ProblemItem{
			{Location: "body.subscriptions.1.url", Message: "is no https URL"},
			{Location: "body.sources[0].secrets[0]", Message: "there is no variable"},
			{Location: "body.sources.7.name", Message: "there is no such entry"},
			{Location: "body.set", Message: "is no name"},
		}})
		return true
	}
	file := writeFile(t, "team.yaml", shortForm+"---\n"+processForm)
	causeway(t, "", "apply", "--set", "team", "-f", file).want(t, exitFailed,
		"apply 1 tenant, 2 sources, 2 subscriptions to set team: the set was refused\n",
		file+":5:48: sources[0].secrets[0]: there is no variable", file+":24:7: egress.subscriptions[0].url: is no https URL",
		"  sources.7.name: there is no such entry", "  set: is no name")
}

func TestDifferencesForPeople(t *testing.T) {
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	applied := admin.Applied{Unchanged: 14, Differences: []catalog.Difference{
		{Kind: catalog.KindSource, Name: "stripe", Action: catalog.ActionAdd, Fields: []catalog.FieldDifference{{Path: "provider", After: raw(`"stripe"`)}}},
		{Kind: catalog.KindSubscription, Name: "bil\x1b[2Jling", Tenant: "acme", Action: catalog.ActionChange, Fields: []catalog.FieldDifference{
			{Path: "secrets", Before: raw(`["env:A"]`), After: raw(`["env:B"]`)},
			{Path: "types", After: raw(`["a","b"]`)},
			{Path: "url", Before: raw(`"https://a"`), After: raw(`"https://b"`)},
		}},
		{Kind: catalog.KindTenant, Name: "old", Action: catalog.ActionRemove},
		{Kind: catalog.KindSource, Name: "shop", Action: catalog.ActionConflict, Text: `it belongs to the set "b": remove it there first`},
	}}
	want := `+ source stripe
~ subscription bil\x1b[2Jling of tenant acme
    secrets: changed
    types: (none) -> ["a","b"]
    url: https://a -> https://b
- tenant old
! source shop
    it belongs to the set "b": remove it there first
1 to add, 1 to change, 1 to remove, 14 unchanged; 1 in conflict, so nothing is done
`
	var plain, coloured bytes.Buffer
	writeDifferences(&plain, applied, true, false)
	if plain.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plain.String(), want)
	}
	writeDifferences(&coloured, applied, false, true)
	if !strings.Contains(coloured.String(), "\x1b[32m+ source stripe\x1b[0m\n") {
		t.Errorf("got %q", coloured.String())
	}
}

func TestWhatAnApplyEndsWith(t *testing.T) {
	f := newFakeAPI(t)
	file := writeFile(t, "team.yaml", shortForm)
	add := catalog.Difference{Kind: catalog.KindSource, Name: "stripe", Action: catalog.ActionAdd}
	conflict := catalog.Difference{Kind: catalog.KindSource, Name: "stripe", Action: catalog.ActionConflict}
	for name, tc := range map[string]struct {
		differences []catalog.Difference
		more        []string
		code        int
	}{
		"nothing to do":          {nil, nil, exitDone},
		"done":                   {[]catalog.Difference{add}, nil, exitDone},
		"would be nothing":       {nil, []string{"--dry-run"}, exitDone},
		"would be something":     {[]catalog.Difference{add}, []string{"--dry-run"}, exitDifferent},
		"would be, as JSON":      {[]catalog.Difference{add}, []string{"--dry-run", "-o", "json"}, exitDifferent},
		"would be in conflict":   {[]catalog.Difference{add, conflict}, []string{"--dry-run"}, exitConflict},
		"was in conflict":        {[]catalog.Difference{conflict}, nil, exitConflict},
		"only names were wanted": {[]catalog.Difference{add}, []string{"-o", "name"}, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			f.plan = admin.Applied{Differences: tc.differences}
			causeway(t, "", append([]string{"apply", "--set", "x", "-f", file}, tc.more...)...).want(t, tc.code)
		})
	}
}

func TestSealedHere(t *testing.T) {
	f := newFakeAPI(t)
	const canary = "canary-of-billing-0123456789"
	t.Setenv("BILLING", canary)
	kept := writeFile(t, "key", "canary-of-stripe\n")
	file := writeFile(t, "team.yaml", strings.Replace(shortForm, "env:STRIPE", "file:"+kept+", sealed:k1#0a1b2c3d", 1))
	causeway(t, "", "apply", "--set", "x", "-f", file).want(t, exitDone)
	if strings.Contains(f.bodies[0], "canary") {
		t.Error("sent without --seal")
	}
	r := causeway(t, "", "apply", "--set", "x", "-f", file, "--seal")
	r.want(t, exitDone)
	in := f.applied()
	if got := [][]string{in.Sources[0].Secrets, in.Subscriptions[0].Secrets}; !reflect.DeepEqual(got, [][]string{{"plain:canary-of-stripe", "sealed:k1#0a1b2c3d"}, {"plain:" + canary}}) {
		t.Errorf("sent %d and %d secrets", len(got[0]), len(got[1]))
	}
	if strings.Contains(r.out+r.err, "canary") {
		t.Errorf("printed: %+v", r)
	}
	t.Setenv("BILLING", "")
	causeway(t, "", "apply", "--set", "x", "-f", file, "--seal").want(t, exitFailed, file+":10:15: subscriptions[0].secrets[0]: ", "BILLING", "with --seal it is read on this machine")
}

func TestDocumentsOfAFile(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"nothing":                 {"", "0:\"\""},
		"one":                     {"a: 1\n", "0:\"a: 1\\n\""},
		"begun with a mark":       {"---\na: 1", "0:\"---\\na: 1\""},
		"two":                     {"a: 1\n---\nb: 2\n", "0:\"a: 1\\n\" 1:\"---\\nb: 2\\n\""},
		"a mark with a text":      {"a: 1\r\n--- # x\r\nb: 2", "0:\"a: 1\\r\\n\" 1:\"--- # x\\r\\nb: 2\""},
		"no mark":                 {"a: 1\n---b: 2\n ---\n", "0:\"a: 1\\n---b: 2\\n ---\\n\""},
		"an empty one at the end": {"a: 1\n---", "0:\"a: 1\\n\" 1:\"---\""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for line, doc := range documents([]byte(tc.text)) {
				got = append(got, fmt.Sprintf("%d:%q", line, doc))
			}
			if got := strings.Join(got, " "); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAnExportCanBeApplied(t *testing.T) {
	f := newFakeAPI(t)
	spec := catalog.SubscriptionSpec{
		Name: "billing", URL: "https://b.example.com/h?a=1&b=: x", Types: []string{"invoice.*", "yes", "1.5", "# no"}, Topics: []string{"*"},
		Secrets: []string{"env:A", "sealed:k1#0a1b2c3d"}, Retry: catalog.RetrySpec{NeverOn: []int{400}, Schedule: []catalog.Duration{1e9}}, AllowWeak: true,
	}
	f.first = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case admin.BasePath + "/tenants":
			f.answer(w, 200, admin.Page[admin.Tenant]{Items: []admin.Tenant{{Spec: catalog.TenantSpec{Name: "acme", Rate: 0.5}}}})
		case admin.BasePath + "/sources":
			f.answer(w, 200, admin.Page[admin.Source]{Items: []admin.Source{{Spec: catalog.SourceSpec{Name: "stripe", Provider: "stripe", Secrets: []string{"sealed:k1#00000000"}}}}})
		case admin.BasePath + "/subscriptions":
			f.answer(w, 200, admin.Page[admin.Subscription]{Items: []admin.Subscription{{Meta: admin.Meta{Tenant: "acme"}, Spec: spec}}})
		default:
			return false
		}
		return true
	}
	r := causeway(t, "", "export", "--set", "team")
	r.want(t, exitDone, "    # a secret is sealed (k1#0a1b2c3d) and was left out: give it again as env:NAME or file:/path\n")
	file := writeFile(t, "exported.yaml", r.out)
	causeway(t, "", "apply", "--set", "team", "-f", file).want(t, exitFailed, "sources[0].secrets: missing")
	file = writeFile(t, "exported.yaml", strings.Replace(r.out, "provider: stripe\n", "provider: stripe\n    secrets: [env:STRIPE]\n", 1))
	causeway(t, "", "apply", "--set", "team", "-f", file).want(t, exitDone)
	spec.Owner, spec.Secrets = "acme", spec.Secrets[:1]
	if in := f.applied(); !reflect.DeepEqual(in.Subscriptions, []catalog.SubscriptionSpec{spec}) || in.Tenants[0].Rate != 0.5 {
		t.Errorf("applied %+v\nwant %+v\nexported\n%s", in, spec, r.out)
	}
}
