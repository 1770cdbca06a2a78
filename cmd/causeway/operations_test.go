package main

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"causeway/pkg/admin"
)

// operation is what a verb asks the admin API for.
type operation struct{ id, verb string }

// operations says which verbs ask for which operation. It is complete both ways: an
// operation that no verb asks for, and a verb that is not here, fail a test.
func operations() []operation {
	return []operation{
		{"list-sources", "source list"},
		{"list-sources", "export"},
		{"get-source", "source show"},
		{"get-source", "source set"},
		{"create-source", "source add"},
		{"update-source", "source set"},
		{"delete-source", "source rm"},
		{"pause-source", "source pause"},
		{"resume-source", "source resume"},
		{"rotate-source-secret", "source rotate-secret"},
		{"test-source", "source test"},

		{"list-subscriptions", "subscription list"},
		{"list-subscriptions", "export"},
		{"get-subscription", "subscription show"},
		{"get-subscription", "subscription set"},
		{"create-subscription", "subscription add"},
		{"update-subscription", "subscription set"},
		{"delete-subscription", "subscription rm"},
		{"pause-subscription", "subscription pause"},
		{"resume-subscription", "subscription resume"},
		{"rotate-subscription-secret", "subscription rotate-secret"},
		{"test-subscription", "subscription test"},

		{"list-tenants", "tenant list"},
		{"list-tenants", "export"},
		{"get-tenant", "tenant show"},
		{"get-tenant", "tenant set"},
		{"create-tenant", "tenant add"},
		{"update-tenant", "tenant set"},
		{"delete-tenant", "tenant rm"},

		{"list-keys", "key list"},
		{"create-key", "key create"},
		{"revoke-key", "key revoke"},
		{"reseal", "key rotate"},
		{"", "key generate"}, // of a key that the API must never see

		{"apply", "apply"},
		{"list-topics", "topic lag"},
		{"get-health", "health"},
	}
}

// described are the operations of the API's document, by method and path.
func described(t *testing.T, server *admin.Server) map[string]string {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(server.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.OperationID != "" {
				found[strings.ToUpper(method)+" "+strings.TrimPrefix(path, admin.BasePath)] = op.OperationID
			}
		}
	}
	return found
}

func TestEveryOperationHasAVerb(t *testing.T) {
	inDocument := map[string]bool{}
	for _, id := range described(t, newLiveAPI(t).server) {
		inDocument[id] = true
	}
	inTable, verbs := map[string]bool{"": true}, map[string]bool{}
	root := newRoot(io.Discard, io.Discard)
	for _, row := range operations() {
		inTable[row.id], verbs[row.verb] = true, true
		if row.id != "" && !inDocument[row.id] {
			t.Errorf("the API has no operation %s, which %s is said to ask for", row.id, row.verb)
		}
		if cmd, rest, err := root.Find(strings.Fields(row.verb)); err != nil || len(rest) > 0 || !cmd.Runnable() {
			t.Errorf("there is no verb %s for %s", row.verb, row.id)
		}
	}
	for id := range inDocument {
		if !inTable[id] {
			t.Errorf("no verb asks for the operation %s", id)
		}
	}
	if len(inDocument) < 30 {
		t.Errorf("only %d operations were found in the document", len(inDocument))
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if !cmd.HasSubCommands() && !verbs[verbOf(cmd)] {
			t.Errorf("causeway %s is not in the table", verbOf(cmd))
		}
	}
	for _, cmd := range root.Commands() {
		if slices.Contains([]string{"source", "subscription", "tenant", "key", "apply", "export", "health"}, cmd.Name()) {
			walk(cmd)
		}
	}
}

// take gives the operations that were asked for since it was called last.
func (l *liveAPI) take(t *testing.T, known map[string]string) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, asked := range l.asked {
		method, path, _ := strings.Cut(asked, " ")
		parts := strings.Split(path, "/")
		if len(parts) > 2 {
			parts[2] = "{id}"
		}
		id := known[method+" "+strings.Join(parts, "/")]
		if id == "" {
			t.Errorf("%s is no operation of the API", asked)
		}
		ids = append(ids, id)
	}
	l.asked = nil
	return ids
}

// TestVerbsAgainstTheAPI walks through all verbs, and checks that each asks for the
// operations that the table says, and no others.
func TestVerbsAgainstTheAPI(t *testing.T) {
	l := newLiveAPI(t)
	known := described(t, l.server)
	file := writeFile(t, "team.yaml", "sources:\n  - name: shop\n    provider: shopify\n    secrets: [env:TEAM_SHOP]\nsubscriptions:\n  - name: mirror\n    url: https://m.example.com/h\n    sources: [shop]\n    secrets: [env:TEAM_STRIPE]\n")
	wrong := writeFile(t, "wrong.yaml", "sources:\n  - name: shop\n    provider: shopify\n    secrets: [env:HOME]\nsubscriptions:\n  - name: mirror\n    url: ftp://m.example.com/h\n    sources: [nowhere]\n    secrets: [env:TEAM_STRIPE]\n")
	const plain = "plain-canary-0123456789abcdef"
	ran := map[string]bool{}
	for _, step := range []struct {
		verb  string
		args  []string
		stdin string
		code  int
		texts []string
	}{
		{"health", nil, "", exitDone, []string{"ready: release v1.2.3"}},
		{"topic lag", nil, "", exitDone, []string{"webhooks.shop   events   12           3        7         3", "webhooks.gone   events   missing"}},
		{"tenant add", []string{"acme", "--sources", "stripe", "--max_subscriptions", "1"}, "", exitDone, []string{"tenant acme: added"}},
		{"tenant add", []string{"acme"}, "", exitConflict, []string{`add tenant acme: there is a tenant "acme" already`}},
		{"tenant set", []string{"acme", "--max_subscriptions", "2"}, "", exitDone, []string{"tenant acme: changed"}},
		{"tenant show", []string{"acme"}, "", exitDone, []string{"max_subscriptions: 2"}},
		{"tenant list", nil, "", exitDone, []string{"acme"}},

		{"source add", []string{"stripe", "--provider", "stripe", "--secret-stdin"}, plain + "\n", exitDone, []string{"source stripe: added"}},
		{"source add", []string{"other", "--provider", "github", "--secret", "env:HOME", "--max_body", "9GiB"}, "", exitFailed, []string{"  --max_body: ", "  --secret: "}},
		{"source show", []string{"stripe"}, "", exitDone, []string{"https://hooks.example.com/webhooks/stripe", "- \"sealed:one#", "provider: stripe"}},
		{"source set", []string{"stripe", "--rate", "10/s"}, "", exitDone, []string{"changed"}},
		{"source list", nil, "", exitDone, []string{"stripe   stripe     webhooks.stripe   live"}},
		{"source pause", []string{"stripe"}, "", exitDone, []string{"source stripe: paused"}},
		{"source resume", []string{"stripe"}, "", exitDone, []string{"source stripe: resumed"}},
		{"source test", []string{"stripe"}, "", exitDone, []string{"ok  "}},
		{"source rotate-secret", []string{"stripe", "--secret-stdin", "--overlap", "1h"}, "another-" + plain, exitDone, []string{"source stripe: has a new secret; the old ones count until "}},

		{"subscription add", []string{"billing", "--url", "https://b.example.com/h", "--sources", "stripe", "--types", "invoice.*"}, "", exitDone, []string{"signing secret, shown this once: whsec_"}},
		{"subscription add", []string{"billing", "--url", "https://acme.example.com/h", "--tenant", "acme", "--sources", "stripe"}, "", exitDone, []string{"subscription billing of tenant acme: added"}},
		{"subscription show", []string{"billing"}, "", exitDone, []string{"types:\n  - \"invoice.*\""}},
		{"subscription set", []string{"billing", "--timeout", "5s", "--retry.max_age", "24h"}, "", exitDone, []string{"changed"}},
		{"subscription set", []string{"billing", "--url", "https://c.example.com/h"}, "", exitFailed, []string{"  --secret: the URL leads to another host now"}},
		{"subscription set", []string{"billing", "--url", "https://b.example.com:8443/h", "--unset", "secrets"}, "", exitDone, []string{"changed", "signing secret, shown this once: whsec_"}},
		{"subscription list", nil, "", exitDone, []string{"acme.example.com", "b.example.com"}},
		{"subscription pause", []string{"billing"}, "", exitDone, []string{"paused"}},
		{"subscription resume", []string{"billing"}, "", exitDone, []string{"resumed"}},
		{"subscription rotate-secret", []string{"billing", "--overlap", "0s"}, "", exitDone, []string{"new secret, shown this once: whsec_", "the old ones do not count any more"}},
		{"subscription test", []string{"billing"}, "", exitFailed, []string{"ok    address", "FAIL  answer: 500", "the endpoint answered 500 after 3ms", `its answer: no\x1b[2J`}},

		{"apply", []string{"-f", file, "--set", "team", "--dry-run"}, "", exitDifferent, []string{"+ source shop", "+ subscription mirror", "2 to add, 0 to change, 0 to remove, 0 unchanged", "Nothing was changed"}},
		{"apply", []string{"-f", file, "--set", "team"}, "", exitDone, []string{"2 added"}},
		{"apply", []string{"-f", file, "--set", "team"}, "", exitDone, []string{"0 added, 0 changed, 0 removed, 2 unchanged"}},
		{"apply", []string{"-f", file, "--set", "other"}, "", exitConflict, []string{file + ":2:5: sources[0]: it belongs to the set \"team\""}},
		{"apply", []string{"-f", file, "--set", "other", "--dry-run"}, "", exitConflict, []string{"! source shop", "2 in conflict"}},
		{"apply", []string{"-f", wrong, "--set", "team"}, "", exitFailed, []string{wrong + ":4:15: sources[0].secrets[0]: ", wrong + ":7:5: subscriptions[0].url: ", wrong + ":8:"}},
		{"apply", []string{"-f", file, "--set", "team", "--seal"}, "", exitDone, []string{"~ source shop\n    secrets: changed\n", "0 added, 2 changed"}},
		{"apply", []string{"-f", file, "--set", "team", "--seal", "--dry-run"}, "", exitDone, []string{"2 unchanged"}},
		{"subscription set", []string{"mirror", "--timeout", "5s"}, "", exitConflict, []string{"set"}},
		{"export", []string{"--set", "team"}, "", exitDone, []string{"- name: shop\n    provider: shopify\n    # a secret is sealed (one#"}},
		{"apply", []string{"-f", "-", "--set", "team", "--prune"}, "subscriptions: []", exitDone, []string{"- source shop", "- subscription mirror", "2 removed"}},

		{"key create", []string{"--role", "viewer", "--note", "n"}, "", exitDone, []string{"API key, shown this once: cwk_"}},
		{"key list", nil, "", exitDone, []string{"viewer"}},
		{"key revoke", []string{"nothing", "--yes"}, "", exitFailed, []string{"revoke API key nothing"}},
		{"key rotate", nil, "", exitDone, []string{"0 secrets sealed anew"}},
		{"key generate", nil, "", exitDone, nil},

		{"tenant rm", []string{"acme", "--yes"}, "", exitConflict, []string{"remove tenant acme: "}},
		{"source rm", []string{"stripe", "--yes"}, "", exitConflict, []string{`subscriptions still name it or its topic: "billing"`}},
		{"subscription rm", []string{"billing", "--tenant", "acme", "--yes"}, "", exitDone, []string{"removed"}},
		{"subscription rm", []string{"billing", "--yes"}, "", exitDone, []string{"removed"}},
		{"tenant rm", []string{"acme", "--yes"}, "", exitDone, []string{"removed"}},
		{"source rm", []string{"stripe", "--yes"}, "", exitDone, []string{"removed"}},
	} {
		r := causeway(t, step.stdin, append(strings.Fields(step.verb), step.args...)...)
		if r.code != step.code || !containsAll(r.out+r.err, step.texts) {
			t.Errorf("causeway %s %q: code %d, want %d; want %q in\n%s%s", step.verb, step.args, r.code, step.code, step.texts, r.out, r.err)
		}
		if strings.Contains(r.out+r.err, "canary") {
			t.Errorf("causeway %s %q showed a secret:\n%s%s", step.verb, step.args, r.out, r.err)
		}
		ran[step.verb] = true
		allowed := map[string]bool{}
		for _, row := range operations() {
			if row.verb == step.verb {
				allowed[row.id] = true
			}
		}
		if noun, _, _ := strings.Cut(step.verb, " "); slices.Contains(step.args, "--tenant") {
			allowed["list-"+noun+"s"] = true // to find which of that name is meant
		}
		for _, id := range l.take(t, known) {
			if !allowed[id] {
				t.Errorf("causeway %s asked for %s, which the table does not say", step.verb, id)
			}
		}
	}
	for _, row := range operations() {
		if !ran[row.verb] {
			t.Errorf("causeway %s was not tried", row.verb)
		}
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// TestKeysOfTheAPI uses a key that was made, and one that was revoked.
func TestKeysOfTheAPI(t *testing.T) {
	newLiveAPI(t)
	r := causeway(t, "", "key", "create", "--role", "viewer", "-o", "json")
	var key admin.Key
	if err := json.Unmarshal([]byte(r.out), &key); err != nil || key.Key == "" {
		t.Fatalf("%v: %+v", err, r)
	}
	t.Setenv(envAPIKey, key.Key)
	causeway(t, "", "source", "list").want(t, exitDone, "NAME")
	causeway(t, "", "source", "add", "x", "--provider", "github", "--secret", "env:TEAM_SHOP").want(t, exitForbidden, "add source x: ")
	t.Setenv(envAPIKey, "")
	causeway(t, "", "key", "revoke", key.UID, "--yes").want(t, exitDone)
	r = causeway(t, "", "source", "list", "--key-file", writeFile(t, "key", key.Key+"\n"))
	r.want(t, exitForbidden, "list sources: ", "name an API key with CAUSEWAY_API_KEY or --key-file")
	if strings.Contains(r.err, key.Key) {
		t.Errorf("showed the key: %s", r.err)
	}
}
