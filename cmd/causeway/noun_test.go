package main

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

func TestFlagsBecomeSettings(t *testing.T) {
	f := newFakeAPI(t)
	causeway(t, "", "subscription", "add", "billing", "--url", "https://b.example.com/h", "--sources", "stripe", "--sources", "shop",
		"--types", "invoice.*", "--retry.max_age", "24h", "--retry.schedule", "5s", "--retry.schedule", "1m", "--retry.never_on", "400",
		"--allow-weak", "--max-concurrency", "8", "--timeout=2s", "--spec.tenant", "acme", "--secret", "env:BILLING").
		want(t, exitDone, "subscription billing: added", "uid uid-billing")
	want := catalog.SubscriptionSpec{
		Name: "billing", URL: "https://b.example.com/h", Sources: []string{"stripe", "shop"}, Types: []string{"invoice.*"}, Tenant: "acme",
		Secrets: []string{"env:BILLING"}, AllowWeak: true, Timeout: catalog.Duration(2 * time.Second), MaxConcurrency: 8,
		Retry: catalog.RetrySpec{Schedule: []catalog.Duration{catalog.Duration(5 * time.Second), catalog.Duration(time.Minute)}, MaxAge: catalog.Duration(24 * time.Hour), NeverOn: []int{400}},
	}
	if got := f.spec(); !reflect.DeepEqual(got, want) {
		t.Errorf("sent %+v, want %+v", got, want)
	}
}

func TestSetChangesTheNamedSettingsOnly(t *testing.T) {
	f := newFakeAPI(t)
	causeway(t, "", "subscription", "add", "billing", "--url", "https://b.example.com/h", "--types", "a", "--retry.max_age", "24h", "--timeout", "3s", "--secret", "env:B").want(t, exitDone)
	causeway(t, "", "subscription", "set", "billing", "--types", "b", "--types", "c", "--unset", "retry", "--unset", "timeout").want(t, exitDone, "billing: changed")
	want := catalog.SubscriptionSpec{Name: "billing", URL: "https://b.example.com/h", Types: []string{"b", "c"}, Secrets: []string{"env:B"}}
	if got := f.spec(); !reflect.DeepEqual(got, want) {
		t.Errorf("sent %+v, want %+v", got, want)
	}
	causeway(t, "", "subscription", "set", "billing").want(t, exitMisused, "name what to change")
	causeway(t, "", "subscription", "set", "billing", "--unset", "retry.maxage").want(t, exitMisused, "there is no such setting", "did you mean retry.max_age?")
	causeway(t, "", "subscription", "set", "billing", "--unset", "secrets").want(t, exitDone)
	if got := f.spec(); got.Secrets != nil {
		t.Errorf("sent %+v", got)
	}
	causeway(t, "", "subscription", "set", "nobody", "--types", "b").want(t, exitFailed, "change subscription nobody: there is no such subscription")

	f.first = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut { // somebody else is faster
			s := f.subs["billing"]
			s.Version += 10
			f.subs["billing"] = s
		}
		return false
	}
	causeway(t, "", "subscription", "set", "billing", "--types", "d").want(t, exitConflict, "somebody else changed it meanwhile")
	if got := f.subs["billing"].Spec.Types; !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("types are %v", got)
	}
}

func TestSettingsFromAFile(t *testing.T) {
	f := newFakeAPI(t)
	file := writeFile(t, "billing.yaml", "owner: acme\nurl: https://b.example.com/h\nsecrets: [env:B]\nretry:\n  max_age: 24h\n")
	causeway(t, "", "subscription", "add", "billing", "-f", file, "--retry.max_age", "1h").want(t, exitDone)
	if got := f.spec(); got.Name != "billing" || got.Retry.MaxAge != catalog.Duration(time.Hour) || got.URL != "https://b.example.com/h" {
		t.Errorf("sent %+v", got)
	}
	if got := f.subs["billing"].Tenant; got != "acme" {
		t.Errorf("it belongs to %q", got)
	}
	causeway(t, "url: https://c.example.com/h\nsecrets: [env:C]\n", "subscription", "set", "billing", "-f", "-").want(t, exitDone)
	if got := f.spec(); got.Retry.MaxAge != 0 || got.URL != "https://c.example.com/h" {
		t.Errorf("sent %+v", got)
	}
	bad := writeFile(t, "bad.yaml", "name: other\nurl: https://b.example.com/h\n")
	causeway(t, "", "subscription", "add", "billing", "-f", bad).want(t, exitFailed, bad+":1:1: name: is another name than that of the command line")
	bad = writeFile(t, "bad.yaml", "url: https://b.example.com/h\nretry:\n  max_age: soon\n  until: 3\n")
	causeway(t, "", "subscription", "add", "billing", "-f", bad).want(t, exitFailed, bad+`:3:3: retry.max_age: "soon" is not a duration`, bad+":4:3: retry.until: unknown key")
}

func TestWrongFlagsAreSaidTogether(t *testing.T) {
	f := newFakeAPI(t)
	r := causeway(t, "", "subscription", "add", "billing", "--timeout", "soon", "--max_concurrency", "many", "--capture_response", "of", "--retry.never_on", "x")
	r.want(t, exitMisused, `--timeout: "soon" is not a duration`, `--max_concurrency: "many" is not a whole number`, `--capture_response: "of" is not one of on, off`, `--retry.never_on: "x" is not a whole number`, "See causeway subscription add --help.")
	causeway(t, "", "subscription", "add").want(t, exitMisused, "Write it like causeway subscription add NAME")
	causeway(t, "", "subscription", "add", "x", "--urll", "y").want(t, exitMisused, "unknown flag: --urll", "See causeway subscription add --help.")
	causeway(t, "", "subscription", "list", "-o", "jsn").want(t, exitMisused, "use one of table, json, yaml, name; did you mean json?")
	if len(f.asked) > 0 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestProblemsStandAtTheirFlags(t *testing.T) {
	f := newFakeAPI(t)
	f.first = func(w http.ResponseWriter, _ *http.Request) bool {
		f.problem(w, admin.Problem{Status: 422, Code: "invalid", Detail: "the subscription is not right", Errors: []admin.ProblemItem{
			{Location: "body.spec.url", Message: "is no https URL"},
			{Location: "body.spec.retry.schedule[1]", Message: "is too long"},
			{Location: "body.spec.secrets", Message: "no \x1b[31msecret"},
			{Location: "body.tenant", Message: "there is none"},
		}})
		return true
	}
	causeway(t, "", "subscription", "add", "x", "--url", "http://x", "--retry.schedule", "1s", "--retry.schedule", "9000h").
		want(t, exitFailed, "add subscription x: the subscription is not right\n", "  --url: is no https URL\n", "  --retry.schedule: is too long\n", `  --secret: no \x1b[31msecret`, "  tenant: there is none")
	file := writeFile(t, "x.yaml", "types: [a]\nurl: http://x\nretry: {}\n")
	causeway(t, "", "subscription", "add", "x", "-f", file).want(t, exitFailed, "  "+file+":2:1: url: is no https URL")
}

func TestASecretIsNeverOnTheCommandLine(t *testing.T) {
	f := newFakeAPI(t)
	const canary = "plain-canary-0123456789"
	for name, args := range map[string][]string{
		"with its scheme":    {"--secret", "plain:" + canary},
		"alone":              {"--secret", canary},
		"without a terminal": {"--secret", "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			r := causeway(t, canary, append([]string{"subscription", "add", "x"}, args...)...)
			r.want(t, exitMisused, "--secret")
			if strings.Contains(r.out+r.err, canary) {
				t.Errorf("repeated: %+v", r)
			}
		})
	}
	if len(f.asked) > 0 {
		t.Fatalf("asked %v", f.asked)
	}
	r := causeway(t, canary+"\n", "subscription", "add", "x", "--url", "https://x.example.com", "--secret-stdin", "--secret", "env:OLD")
	r.want(t, exitDone)
	if got := f.spec().Secrets; !slices.Equal(got, []string{"env:OLD", "plain:" + canary}) {
		t.Errorf("sent %d secrets", len(got))
	}
	causeway(t, "", "subscription", "add", "x", "--secret-stdin").want(t, exitMisused, "standard input holds no secret")
	causeway(t, "", "subscription", "add", "x", "--secret-stdin", "-f", "-").want(t, exitMisused, "both read standard input")
}

func TestAMadeSecretIsShownOnce(t *testing.T) {
	newFakeAPI(t)
	r := causeway(t, "", "subscription", "add", "x", "--url", "https://x.example.com")
	r.want(t, exitDone)
	if !strings.Contains(r.out, "\nsigning secret, shown this once: whsec_shown-once\n") {
		t.Errorf("stdout %q", r.out)
	}
	r = causeway(t, "", "subscription", "add", "y", "--url", "https://x.example.com", "-o", "json")
	var made admin.Subscription
	if err := json.Unmarshal([]byte(r.out), &made); err != nil || made.Secret != "whsec_shown-once" || r.err != "" {
		t.Errorf("%v, %+v", err, r)
	}
	r = causeway(t, "", "subscription", "add", "z", "--url", "https://x.example.com", "-o", "name")
	if r.out != "z\n" || !strings.Contains(r.err, "whsec_shown-once") {
		t.Errorf("%+v", r)
	}
}

func TestRemovingIsAsked(t *testing.T) {
	f := newFakeAPI(t)
	causeway(t, "", "subscription", "add", "x", "--url", "https://x.example.com").want(t, exitDone)
	f.asked = nil
	causeway(t, "y\n", "subscription", "rm", "x").want(t, exitMisused, "say so with --yes")
	if len(f.asked) > 0 {
		t.Fatalf("asked %v", f.asked)
	}
	causeway(t, "", "subscription", "rm", "x", "--yes").want(t, exitDone, "subscription x: removed")
	causeway(t, "", "subscription", "rm", "x", "--yes").want(t, exitFailed, "remove subscription x: there is no such subscription")
	for answer, want := range map[string]bool{"y\n": true, " YES \n": true, "\n": false, "n\n": false, "yes, but": false, "": false} {
		if got := agrees(answer); got != want {
			t.Errorf("agrees(%q) = %v", answer, got)
		}
	}
}

func TestATenantsOwnIsFoundAmongItsOwn(t *testing.T) {
	f := newFakeAPI(t)
	f.subs["other"] = admin.Subscription{Meta: admin.Meta{UID: "u1", Version: 3}, Spec: catalog.SubscriptionSpec{Name: "billing", URL: "https://op.example.com"}}
	f.subs["mine"] = admin.Subscription{Meta: admin.Meta{UID: "u2", Version: 4, Tenant: "acme"}, Spec: catalog.SubscriptionSpec{Name: "billing", URL: "https://acme.example.com"}}
	f.subs["longer"] = admin.Subscription{Meta: admin.Meta{UID: "u3", Version: 5, Tenant: "acme"}, Spec: catalog.SubscriptionSpec{Name: "billing-2"}}
	causeway(t, "", "subscription", "show", "billing", "--tenant", "acme").want(t, exitDone, "uid:          u2", "url: https://acme.example.com")
	causeway(t, "", "subscription", "set", "billing", "--tenant", "acme", "--types", "a").want(t, exitDone)
	if last := f.asked[len(f.asked)-1]; last != "PUT /subscriptions/u2" {
		t.Errorf("asked %s", last)
	}
	causeway(t, "", "subscription", "rm", "nothing", "--tenant", "acme", "--yes").want(t, exitFailed, `tenant "acme" has no subscription "nothing"`)
}

func TestListsInEachForm(t *testing.T) {
	f := newFakeAPI(t)
	f.subs["a"] = admin.Subscription{Meta: admin.Meta{UID: "u1", Version: 3, Set: "team"}, Paused: true, Spec: catalog.SubscriptionSpec{Name: "a", URL: "https://a.example.com/\x1b[2J", Sources: []string{"stripe"}}}
	causeway(t, "", "subscription", "list").want(t, exitDone, "NAME   URL", "STATE", `a      https://a.example.com/\x1b[2J   stripe    -       paused   -        team`)
	var all []admin.Subscription
	if r := causeway(t, "", "subscription", "list", "-o", "json"); json.Unmarshal([]byte(r.out), &all) != nil || len(all) != 1 || !all[0].Paused {
		t.Errorf("%+v", r)
	}
	if r := causeway(t, "", "subscription", "list", "-o", "name"); r.out != "a\n" {
		t.Errorf("%+v", r)
	}
	causeway(t, "", "subscription", "list", "-o", "yaml").want(t, exitDone, "- uid: u1\n  version: 3\n", `    url: "https://a.example.com/\x1b[2J"`)
	if r := causeway(t, "", "subscription", "list", "-o", "json", "--prefix", "b"); r.out != "[]\n" {
		t.Errorf("%+v", r)
	}
}

func TestCompletionAsksTheAPI(t *testing.T) {
	f := newFakeAPI(t)
	for _, name := range []string{"billing", "bills", "bad\x1b[2J", "other"} {
		f.subs[name] = admin.Subscription{Spec: catalog.SubscriptionSpec{Name: name}}
	}
	r := causeway(t, "", "__complete", "subscription", "pause", "b")
	got := strings.Fields(r.out)
	slices.Sort(got)
	if !slices.Equal(got, []string{":4", "billing", "bills"}) {
		t.Errorf("proposed %q", got)
	}
	if r := causeway(t, "", "__complete", "subscription", "pause", "billing", ""); strings.TrimSpace(r.out) != ":4" {
		t.Errorf("a second name: %+v", r)
	}
	if r := causeway(t, "", "__complete", "source", "add", "x", "--format", ""); r.out != "raw\navro\ncloudevents\n:4\n" {
		t.Errorf("%+v", r)
	}
	f.first = func(w http.ResponseWriter, _ *http.Request) bool {
		f.problem(w, admin.Problem{Status: 401, Title: "Unauthorized"})
		return true
	}
	if r := causeway(t, "", "__complete", "subscription", "pause", "b"); r.out != ":4\n" || strings.Contains(r.err, "Unauthorized") {
		t.Errorf("without an answer: %+v", r)
	}
}

// TestNoSettingHidesAFlag: a flag of a setting must not take the place of one that
// every verb has, which pflag would not say.
func TestNoSettingHidesAFlag(t *testing.T) {
	verbs := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for above := cmd.Parent(); above != nil; above = above.Parent() {
			above.PersistentFlags().VisitAll(func(f *pflag.Flag) {
				if own := cmd.Flags().Lookup(f.Name); own != nil && own != f {
					t.Errorf("causeway %s: --%s is a setting and what every verb has", verbOf(cmd), f.Name)
				}
			})
		}
		verbs++
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(io.Discard, io.Discard))
	if verbs < 30 {
		t.Errorf("only %d verbs were looked at", verbs)
	}
}
