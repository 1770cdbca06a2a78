package admin

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// opened are the secrets of an entry in the clear.
func (w *world) opened(kind catalog.Kind, name string) []string {
	w.t.Helper()
	e := w.store.State().Named(kind, "", name)
	var plain []string
	for _, text := range secretsOf(e) {
		s, err := w.o.Keyring.Open(text, secret.Binding{Tenant: e.Tenant, Kind: string(kind), UID: e.UID, Field: "secrets"})
		if err != nil {
			w.t.Fatalf("%s: %v", text, err)
		}
		plain = append(plain, string(s.Reveal()))
	}
	return plain
}

func TestASecretIsSealedAndShownByAHandle(t *testing.T) {
	w := newWorld(t)
	const canary = "plain-canary-3141592653589793"
	made := must[Source](w, 201, "POST", "/sources", "", SourceInput{Spec: catalog.SourceSpec{Name: "orders", Provider: "github", Secrets: []string{"plain:" + canary}}})
	if got := w.opened(catalog.KindSource, "orders"); !slices.Equal(got, []string{canary}) {
		t.Errorf("sealed %q", got)
	}
	if !strings.HasPrefix(made.Spec.Secrets[0], "sealed:one#") {
		t.Errorf("shown %q", made.Spec.Secrets)
	}
	// Kept by its handle, put behind a new one, and taken out again.
	in := SourceInput{Spec: made.Spec}
	in.Spec.Secrets = append([]string{"plain:another secret, long enough"}, made.Spec.Secrets...)
	two := must[Source](w, 200, "PUT", "/sources/orders", "", in)
	if got := w.opened(catalog.KindSource, "orders"); !slices.Equal(got, []string{"another secret, long enough", canary}) {
		t.Errorf("sealed %q", got)
	}
	in.Spec.Secrets = two.Spec.Secrets[:1]
	must[Source](w, 200, "PUT", "/sources/orders", "", in)
	in.Spec.Secrets = made.Spec.Secrets
	w.refusal(422, "invalid", "PUT", "/sources/orders", "", in)
	// Bad requests with the secret in the wrong place.
	for _, body := range []string{
		`{"spec":{"name":"x","provider":"github","secrets":"` + canary + `"}}`,
		`{"spec":{"name":"x","provider":"github","secrets":["` + canary + `"]}}`,
		`{"spec":{"name":"x","provider":"github","secrets":["env:` + canary + `"]}}`,
		`{"spec":{"name":"x","provider":"github","secrets":["sealed:v1:` + canary + `"]}}`,
		`{"spec":{"name":"x","provider":"github","secrets":["` + canary,
		`"` + canary + `"`,
	} {
		if got := w.ask("POST", "/sources", "", body); got.Code < 400 || strings.Contains(got.Body.String(), canary) {
			t.Errorf("%s: %d %s", body, got.Code, got.Body)
		}
	}
	w.writeRefusals(t.Context())
	audit, err := json.Marshal(w.audit)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the log": w.logged.String(), "the catalog": w.files(), "the audit": string(audit),
		"an answer": w.ask("GET", "/sources", "", nil).Body.String() + w.ask("GET", "/sources/orders", "", nil).Body.String(),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("the secret is in %s: %s", name, text)
		}
	}
}

func TestASigningSecretIsMadeAndShownOnce(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	made := w.subscription("", "billing", "orders")
	if !strings.HasPrefix(made.Secret, "whsec_") || !slices.Equal(w.opened(catalog.KindSubscription, "billing"), []string{made.Secret}) {
		t.Fatalf("made %q", made.Secret)
	}
	rotated := must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	for _, canary := range []string{made.Secret, rotated.Secret} {
		for name, text := range map[string]string{
			"the log": w.logged.String(), "the catalog": w.files(),
			"an answer": w.ask("GET", "/subscriptions", "", nil).Body.String() + w.ask("GET", "/subscriptions/billing", "", nil).Body.String(),
		} {
			if strings.Contains(text, canary) {
				t.Errorf("a secret is in %s: %s", name, text)
			}
		}
	}
}

func TestWithoutAKeyringSecretsAreReferences(t *testing.T) {
	t.Setenv("TEAM_HOOK", "whsec_c2VjcmV0LW9mLXRoZS1lbnZpcm9ubWVudA==")
	w := newWorld(t, func(o *Options) { o.Keyring, o.Checks.Resolver = nil, secret.NewResolver() })
	in := SourceInput{Spec: catalog.SourceSpec{Name: "orders", Provider: "github", Secrets: []string{"plain:some secret, long enough"}}}
	if p := w.refusal(422, "invalid", "POST", "/sources", "", in); !strings.Contains(p.Errors[0].Message, "causeway key generate") {
		t.Errorf("does not say what to do: %+v", p)
	}
	in.Spec.Secrets = []string{"env:TEAM_HOOK"}
	if made := must[Source](w, 201, "POST", "/sources", "", in); !slices.Equal(made.Spec.Secrets, in.Spec.Secrets) || made.Fault != "" {
		t.Errorf("made %+v", made)
	}
	w.refusal(409, "no_keyring", "POST", "/reseal", "", nil)
}

func TestWhoMayReferToVariables(t *testing.T) {
	t.Setenv("TEAM_HOOK", "whsec_c2VjcmV0LW9mLXRoZS1lbnZpcm9ubWVudA==")
	w := newWorld(t)
	w.tenant("acme")
	in := SubscriptionInput{Spec: catalog.SubscriptionSpec{Name: "billing", Topics: []string{"webhooks.orders"}, URL: "https://billing.example.com/", Secrets: []string{"env:TEAM_HOOK"}, AllowWeak: true}}
	w.source("orders")
	w.refusal(422, "invalid", "POST", "/subscriptions", w.key("", "editor"), in)
	w.refusal(422, "invalid", "POST", "/subscriptions", w.key("acme", "admin"), in)
	must[Subscription](w, 201, "POST", "/subscriptions", w.key("", "admin"), in)
	// An editor may leave it there, but not send it to another host.
	in.Spec.MaxConcurrency = 5
	must[Subscription](w, 200, "PUT", "/subscriptions/billing", w.key("", "editor"), in)
	in.Spec.URL = "https://elsewhere.example.com/"
	w.refusal(422, "credentials_needed", "PUT", "/subscriptions/billing", w.key("", "editor"), in)
	must[Subscription](w, 200, "PUT", "/subscriptions/billing", w.key("", "admin"), in)
}

func TestATenantSeesNoNamesOfVariables(t *testing.T) {
	t.Setenv("TEAM_HOOK", "whsec_c2VjcmV0LW9mLXRoZS1lbnZpcm9ubWVudA==")
	w := newWorld(t)
	w.source("orders")
	w.tenant("acme", "orders")
	in := SubscriptionInput{Tenant: "acme", Spec: catalog.SubscriptionSpec{Name: "billing", Sources: []string{"orders"}, URL: "https://billing.example.com/", Secrets: []string{"env:TEAM_HOOK"}, AllowWeak: true}}
	must[Subscription](w, 201, "POST", "/subscriptions", "", in)
	key := w.key("acme", "editor")
	got := must[Subscription](w, 200, "GET", "/subscriptions/billing", key, nil)
	if !slices.Equal(got.Spec.Secrets, []string{"kept#1"}) || got.By != "" {
		t.Errorf("shown %q, by %q", got.Spec.Secrets, got.By)
	}
	// A guess is not proved right by being taken.
	guess := SubscriptionInput{Spec: got.Spec}
	guess.Spec.Secrets = []string{"env:TEAM_HOOK"}
	right := w.refusal(422, "invalid", "PUT", "/subscriptions/billing", key, guess)
	guess.Spec.Secrets = []string{"env:TEAM_HOAX"}
	if wrong := w.refusal(422, "invalid", "PUT", "/subscriptions/billing", key, guess); !reflect.DeepEqual(right.Errors, wrong.Errors) || right.Detail != wrong.Detail {
		t.Errorf("a right guess is told %+v, a wrong one %+v", right, wrong)
	}
	in = SubscriptionInput{Spec: got.Spec}
	in.Spec.MaxConcurrency = 7
	must[Subscription](w, 200, "PUT", "/subscriptions/billing", key, in)
	if got := must[Subscription](w, 200, "GET", "/subscriptions/"+got.UID, "", nil); !slices.Equal(got.Spec.Secrets, []string{"env:TEAM_HOOK"}) {
		t.Errorf("kept %q", got.Spec.Secrets)
	}
	// Not from what is said when it is gone, either.
	if err := os.Unsetenv("TEAM_HOOK"); err != nil {
		t.Fatal(err)
	}
	in.Spec.MaxConcurrency = 8
	must[Subscription](w, 200, "POST", "/subscriptions/billing/pause", key, nil)
	for _, got := range []*httptest.ResponseRecorder{
		w.ask("PUT", "/subscriptions/billing", key, in), w.ask("GET", "/subscriptions/billing", key, nil), w.ask("POST", "/subscriptions/billing/test", key, nil),
	} {
		if strings.Contains(got.Body.String(), "TEAM_HOOK") {
			t.Errorf("the name of the variable is told: %s", got.Body)
		}
	}
	if got := w.ask("GET", "/subscriptions/"+got.UID, "", nil); !strings.Contains(got.Body.String(), "is not set") {
		t.Errorf("the operator is not told: %s", got.Body)
	}
}

func TestASealedSecretOpensNowhereElse(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.source("refunds")
	raw := secretsOf(w.store.State().Named(catalog.KindSource, "", "orders"))
	in := SourceInput{Spec: catalog.SourceSpec{Name: "refunds", Provider: "github", Secrets: raw}}
	w.refusal(422, "invalid", "PUT", "/sources/refunds", "", in)
	in.Spec.Name = "copied"
	w.refusal(422, "invalid", "POST", "/sources", "", in)
}

func TestAnotherHostNeedsTheCredentialsAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		url   string
		again bool
	}{
		"another path":   {"https://billing.example.com/other", false},
		"the usual port": {"https://billing.example.com:443/hooks", false},
		"capitals":       {"https://BILLING.example.com/hooks", false},
		"another host":   {"https://evil.example.com/hooks", true},
		"another port":   {"https://billing.example.com:8443/hooks", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.source("orders")
			made := w.subscription("", "billing", "orders")
			in := SubscriptionInput{Spec: made.Spec}
			in.Spec.URL = tc.url
			if !tc.again {
				if got := must[Subscription](w, 200, "PUT", "/subscriptions/billing", "", in); got.Secret != "" {
					t.Error("a secret was made")
				}
				return
			}
			w.refusal(422, "credentials_needed", "PUT", "/subscriptions/billing", "", in)
			in.Spec.Secrets = secretsOf(w.store.State().Named(catalog.KindSubscription, "", "billing"))
			w.refusal(422, "credentials_needed", "PUT", "/subscriptions/billing", "", in)
			in.Spec.Secrets = nil
			got := must[Subscription](w, 200, "PUT", "/subscriptions/billing", "", in)
			if got.Secret == "" || !slices.Equal(w.opened(catalog.KindSubscription, "billing"), []string{got.Secret}) {
				t.Errorf("no new secret: %+v", got)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	first := w.subscription("", "billing", "orders").Secret
	second := must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	if second.Retires == nil || time.Until(*second.Retires) > defaultOverlap || time.Until(*second.Retires) < defaultOverlap-time.Minute {
		t.Errorf("retires %v", second.Retires)
	}
	if got := w.opened(catalog.KindSubscription, "billing"); !slices.Equal(got, []string{second.Secret, first}) {
		t.Errorf("secrets %q", got)
	}
	e := w.store.State().Named(catalog.KindSubscription, "", "billing")
	if texts := secretsOf(e); len(e.Retire) != 1 || e.Retire[texts[1]].IsZero() {
		t.Errorf("retire %v", e.Retire)
	}
	shown := must[Subscription](w, 200, "GET", "/subscriptions/billing", "", nil)
	if len(shown.Retiring) != 1 || shown.Retiring[0].Secret != shown.Spec.Secrets[1] {
		t.Errorf("shown %+v", shown.Retiring)
	}
	for range 3 {
		must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	}
	w.refusal(409, "too_many_secrets", "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	last := must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{Overlap: new(catalog.Duration(0))})
	if got := w.opened(catalog.KindSubscription, "billing"); !slices.Equal(got, []string{last.Secret}) || last.Retires != nil {
		t.Errorf("secrets %q, %v", got, last.Retires)
	}
	if e := w.store.State().Named(catalog.KindSubscription, "", "billing"); len(e.Retire) != 0 {
		t.Errorf("retire %v", e.Retire)
	}
	// GitHub lets the receiver choose, Stripe does not.
	if got := must[Rotated](w, 200, "POST", "/sources/orders/rotate-secret", "", RotateInput{}); got.Secret == "" {
		t.Error("no secret was made for GitHub")
	}
	must[Source](w, 201, "POST", "/sources", "", SourceInput{Spec: catalog.SourceSpec{Name: "payments", Provider: "stripe", Secrets: []string{"plain:whsec_0123456789abcdef0123456789"}}})
	w.refusal(422, "invalid", "POST", "/sources/payments/rotate-secret", "", RotateInput{})
	if p := w.refusal(422, "invalid", "POST", "/sources/payments/rotate-secret", "", RotateInput{Secret: "plain:whsec_short"}); p.Errors[0].Location != "body.secret" {
		t.Errorf("a weak secret: %+v", p)
	}
	if got := must[Rotated](w, 200, "POST", "/sources/payments/rotate-secret", "", RotateInput{Secret: "plain:whsec_fedcba9876543210fedcba9876"}); got.Secret != "" {
		t.Error("shows a secret that it did not make")
	}
}

func TestReseal(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	secret1 := w.subscription("", "billing", "orders").Secret
	must[Rotated](w, 200, "POST", "/subscriptions/billing/rotate-secret", "", RotateInput{})
	if got := must[Resealed](w, 200, "POST", "/reseal", "", nil); got.Resealed != 0 || got.Kept != 3 {
		t.Errorf("resealed %+v", got)
	}
	// A new key goes first, the old one stays behind it.
	w.o.Keyring = ringOf(t, keyText(t, "two"), w.keys)
	w.o.Checks.Resolver = secret.NewResolver().WithKeyring(w.o.Keyring)
	if got := must[Resealed](w, 200, "POST", "/reseal", "", nil); got.Resealed != 3 || got.Kept != 0 {
		t.Errorf("resealed %+v", got)
	}
	if got := w.opened(catalog.KindSubscription, "billing"); len(got) != 2 || got[1] != secret1 {
		t.Errorf("secrets %q", got)
	}
	e := w.store.State().Named(catalog.KindSubscription, "", "billing")
	if texts := secretsOf(e); len(e.Retire) != 1 || e.Retire[texts[1]].IsZero() || !strings.HasPrefix(texts[1], "sealed:v1:two:") {
		t.Errorf("%q retire %v", texts, e.Retire)
	}
	w.o.Keyring = ringOf(t, keyText(t, "three"))
	if p := w.refusal(409, "cannot_open", "POST", "/reseal", "", nil); len(p.Errors) != 2 {
		t.Errorf("does not say which: %+v", p)
	}
}
