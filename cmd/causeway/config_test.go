package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestConfigFaults reads each file of testdata/config: a process file, the
// environment over it, and everything that is to be said about the two.
func TestConfigFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	t.Setenv("TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	t.Setenv("TEST_SHORT", "hunter2")
	t.Setenv("TEST_EMPTY", "")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			part := func(name string) *txtar.File {
				i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
				if i < 0 {
					archive.Files = append(archive.Files, txtar.File{Name: name})
					i = len(archive.Files) - 1
				}
				return &archive.Files[i]
			}
			got := faultsOf(t, part("causeway.yaml").Data, strings.Fields(string(part("env").Data)))
			if *update {
				part("want").Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(part("want").Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// faultsOf is what is said about a process file: warnings, then faults.
func faultsOf(t *testing.T, text []byte, environ []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "causeway.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := readConfig(path, environ)
	if err != nil {
		t.Fatal(err)
	}
	resolver := secret.NewResolver()
	p.build(catalog.Options{Resolver: resolver, ResolveSources: true, ResolveSubscriptions: true})
	p.connection(resolver)
	p.listenerTLS("ingress", p.config.Ingress.TLS, resolver)
	var b strings.Builder
	for _, name := range p.unknown {
		fmt.Fprintf(&b, "warning: %s\n", unknownVariable(name))
	}
	for _, text := range p.warnings {
		fmt.Fprintf(&b, "warning: %s\n", text)
	}
	if err := p.err(); err != nil {
		b.WriteString(strings.ReplaceAll(err.Error(), path, "causeway.yaml") + "\n")
	}
	return b.String()
}

func TestConfigIsReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "causeway.yaml")
	text := `
kafka:
  brokers: [a:9092, b:9092]
  topics: {create: false, partitions: 6}
ingress:
  listen: 127.0.0.1:9000
  drain_delay: 0s
  max_body_memory: 1048576
  trusted_proxies:            # nothing but a comment behind it: left out
  sources:
    - &first
      name: a
      provider: stripe
      secrets: [env:A]
      max_body: 64KiB
    - <<: *first
      name: b
egress:
  subscriptions:
    - {name: s, sources: [a], url: "https://example.com/hooks", secrets: [env:A], timeout: 3s, retry: {schedule: [1s, 5m]}}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := readConfig(path, []string{
		"CAUSEWAY_INGRESS_LISTEN=:9001", "CAUSEWAY_OPS_PPROF=true", "CAUSEWAY_EGRESS_IN_FLIGHT=7",
		"CAUSEWAY_EGRESS_ALLOW_NETWORKS=10.0.0.0/8, 192.168.1.1", "CAUSEWAY_INGRESS_REPLY_TIMEOUT=2s", "HOME=/",
	})
	if err == nil {
		err = p.err()
	}
	if err != nil {
		t.Fatal(err)
	}
	source := func(name string) catalog.SourceSpec {
		return catalog.SourceSpec{Name: name, Provider: "stripe", Secrets: []string{"env:A"}, MaxBody: 64 << 10}
	}
	want := config{
		Kafka: kafkaConfig{Brokers: []string{"a:9092", "b:9092"}, Topics: topicsConfig{Create: new(false), Partitions: 6}},
		Ingress: ingressConfig{
			Listen: ":9001", DrainDelay: new(catalog.Duration(0)), MaxBodyMemory: 1 << 20,
			ReplyTimeout: catalog.Duration(2 * time.Second),
			Sources:      []catalog.SourceSpec{source("a"), source("b")},
		},
		Egress: egressConfig{
			AllowNetworks: []string{"10.0.0.0/8", "192.168.1.1"}, InFlight: 7,
			Subscriptions: []catalog.SubscriptionSpec{{
				Name: "s", Sources: []string{"a"}, URL: "https://example.com/hooks", Secrets: []string{"env:A"},
				Timeout: catalog.Duration(3 * time.Second),
				Retry:   catalog.RetrySpec{Schedule: []catalog.Duration{catalog.Duration(time.Second), catalog.Duration(5 * time.Minute)}},
			}},
		},
		Ops: opsConfig{Pprof: true},
	}
	if !reflect.DeepEqual(p.config, want) {
		t.Errorf("got  %+v\nwant %+v", p.config, want)
	}
}

func TestAliasesCannotFillTheMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	got := faultsOf(t, []byte(b.String()), nil)
	if !strings.Contains(got, "too much") {
		t.Errorf("got %.200q", got)
	}
}

func TestConfigLargerThanItsLimit(t *testing.T) {
	got := faultsOf(t, bytes.Repeat([]byte("# a comment\n"), 100_000), nil)
	if want := "causeway.yaml: the file has 1048577 bytes or more, and 1 MiB is the most\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFaultsNeverQuoteSecrets puts a secret into every place where somebody
// might write one by mistake.
func TestFaultsNeverQuoteSecrets(t *testing.T) {
	const canary = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZ"
	t.Setenv("TEST_CANARY", canary[:12])
	for name, text := range map[string]string{
		"in the place of a reference":   "ingress: {sources: [{name: a, provider: stripe, secrets: [" + canary + "]}]}",
		"in the place of the list":      "ingress: {sources: [{name: a, provider: stripe, secrets: " + canary + "}]}",
		"behind env":                    "ingress: {sources: [{name: a, provider: stripe, secrets: ['env:" + canary + "+/=']}]}",
		"behind file":                   "ingress: {sources: [{name: a, provider: stripe, secrets: ['file:" + canary + "']}]}",
		"as a mapping":                  "ingress: {sources: [{name: a, provider: stripe, secrets: [{value: " + canary + "}]}]}",
		"in a line that is not YAML":    "ingress:\n  sources: [{secrets: [" + canary + "]}\n  x: '" + canary,
		"too short, from a variable":    "ingress: {sources: [{name: a, provider: stripe, secrets: ['env:TEST_CANARY']}]}",
		"twice":                         "ingress: {sources: [{name: a, provider: stripe, secrets: [" + canary + "], secrets: [" + canary + "]}]}",
		"in a subscription":             "egress: {subscriptions: [{name: a, url: 'https://example.com', secrets: [" + canary + "]}]}",
		"in the user part of a URL":     "egress: {subscriptions: [{name: a, url: 'https://me:" + canary + "@example.com', secrets: ['env:X']}]}",
		"in the user part of our URL":   "ingress: {public_url: 'https://me:" + canary + "@example.com'}",
		"in the query of our URL":       "ingress: {public_url: 'https://example.com/?" + canary + "'}",
		"in the address of a broker":    "kafka: {brokers: ['me:" + canary + "@kafka']}",
		"as the text of a tagged value": "ingress: {sources: [{name: a, provider: stripe, secrets: [!vault " + canary + "]}]}",
	} {
		t.Run(name, func(t *testing.T) {
			got := faultsOf(t, []byte(text), nil)
			if got == "" {
				t.Error("no fault")
			}
			if strings.Contains(got, canary[:12]) {
				t.Errorf("the secret is in %q", got)
			}
		})
	}
}

func TestKeysAsPeopleWriteThem(t *testing.T) {
	for want, k := range map[string]keys{
		"ingress.sources[0].allow_cidrs[1]": {"ingress", "sources", "0", "allow_cidrs", "1"},
		`ingress["a.b"]`:                    {"ingress", "a.b"},
		`["\x1b[2J"]`:                       {"\x1b[2J"},
		"":                                  nil,
	} {
		if got := k.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSchemaGolden(t *testing.T) {
	got, err := configSchema()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/schema.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the schema has changed: look at git diff after go test ./cmd/causeway -run TestSchemaGolden -update\n%s", got)
	}
}

func TestEveryVariableIsNamedOnce(t *testing.T) {
	count := map[string]int{}
	var walk func(reflect.Type, keys)
	walk = func(typ reflect.Type, above keys) {
		for _, field := range settings(typ) {
			k := above.and(settingName(field))
			if len(settings(pointee(field.Type))) > 0 {
				walk(field.Type, k)
				continue
			}
			count[strings.ToUpper(strings.Join(k, "_"))]++
		}
	}
	walk(reflect.TypeFor[config](), nil)
	for name, n := range count {
		if n > 1 {
			t.Errorf("%d settings share CAUSEWAY_%s", n, name)
		}
	}
	if len(count) < 20 {
		t.Errorf("only %d settings found", len(count))
	}
}

// FuzzYAML leaves out the schema, which takes a hundred times as long and reads
// nothing but the values that come out here.
func FuzzYAML(f *testing.F) {
	files, _ := filepath.Glob("testdata/config/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if part.Name == "causeway.yaml" {
				f.Add(part.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 16<<10 {
			return
		}
		d := readYAML(text, processFileLimits())
		if d.value == nil && len(d.faults) == 0 {
			return
		}
		d.override([]string{"CAUSEWAY_INGRESS_LISTEN=:1"})
		d.value = d.normalize(reflect.TypeFor[config](), d.value, nil)
		if _, err := json.Marshal(d.value); err != nil {
			t.Errorf("the value has no JSON: %v", err)
		}
		faults := &configError{file: "f", faults: d.faults}
		if strings.ContainsFunc(faults.Error(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
			t.Errorf("a control character in %q", faults)
		}
	})
}
