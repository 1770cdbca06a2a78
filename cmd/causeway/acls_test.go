package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/pkg/kafka"
)

// written holds a file in deploy against what a verb prints; go test -update writes it.
func written(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("..", "..", "deploy", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("deploy/%s is not what causeway prints: go test ./cmd/causeway -run TestACLsInDeploy -update", name)
	}
}

// ask runs causeway with a process file and gives its code and what it printed.
func ask(t *testing.T, file string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "causeway.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, say bytes.Buffer
	code = run(t.Context(), append(args, "-c", path), &out, &say)
	return code, out.String(), say.String()
}

func TestACLsInDeploy(t *testing.T) {
	code, text, stderr := ask(t, "kafka: {}\n", "check", "--acls")
	if code != 0 || stderr != "" {
		t.Fatalf("check --acls ends with %d and says %s", code, stderr)
	}
	written(t, "acls.sh", "#!/bin/sh -e\n# Written by `causeway check --acls` (go test ./cmd/causeway -run TestACLsInDeploy -update), for\n# a process file with default settings: BROKERS=kafka-1:9092 sh acls.sh\n#\n"+text)
	code, text, stderr = ask(t, "kafka: {}\n", "check", "--acls=iam")
	if code != 0 || !strings.Contains(stderr, "put your own in for REGION, ACCOUNT, CLUSTER_NAME and CLUSTER_UUID") || strings.Count(stderr, "\n") != 1 {
		t.Fatalf("check --acls=iam ends with %d and says %s", code, stderr)
	}
	var policies map[string]kafka.Policy
	if err := json.Unmarshal([]byte(text), &policies); err != nil {
		t.Fatal(err)
	}
	for _, verb := range aclVerbs() {
		// The most that a managed policy of IAM may have is 6,144 characters.
		if one, _ := json.Marshal(policies[verb]); len(policies[verb].Statement) == 0 || len(one) > 6144 {
			t.Errorf("the policy of %s has %d statements in %d characters", verb, len(policies[verb].Statement), len(one))
		}
	}
	written(t, "acls-msk.json", text)
}

// Neither Kafka nor a secret is needed for what is made of the file alone.
func TestWhatCheckPrintsOfTheFileAlone(t *testing.T) {
	const file = `kafka:
  brokers: ["127.0.0.1:1", "127.0.0.1:2"]
  prefix: hooks.
  sasl: {mechanism: PLAIN, username: me, password: env:NOT_SET_AT_ALL}
  topics: {allow: ["in.*.raw"], create: false}
ingress: {sources: [{name: a, provider: stripe, topic: in.a.raw, secrets: [env:NOT_SET_AT_ALL], partitions: 5}]}
egress: {topics: [{name: orders, format: json}], subscriptions: [{name: s, topics: [orders], url: "https://example.com", secrets: [env:NOT_SET_AT_ALL]}]}
`
	code, text, stderr := ask(t, file, "check", "--acls", "--principal", "ingress=User:CN=in door,O=x", "--principal", "egress=User:out")
	if code != 0 || !strings.Contains(stderr, `kafka.topics.allow has "in.*.raw"`) {
		t.Errorf("ends with %d and says %s", code, stderr)
	}
	for _, want := range []string{
		"kafka-acls.sh --bootstrap-server 127.0.0.1:1,127.0.0.1:2 --add --allow-principal 'User:CN=in door,O=x' --operation Write --operation Describe --operation DescribeConfigs --topic in.a.raw\n",
		"--allow-principal User:out --operation Read --operation Describe --topic orders\n",
		"--allow-principal User:causeway-admin --operation Write --operation Describe --transactional-id hooks.catalog\n",
		"\n# kafka-acls.sh --bootstrap-server 127.0.0.1:1,127.0.0.1:2 --add --allow-principal User:out --operation IdempotentWrite --cluster\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	code, text, stderr = ask(t, file, "check", "--topics")
	for _, want := range []string{"  - name: in.a.raw\n    partitions: 5\n    replication_factor: 3\n", "  - name: hooks.catalog\n    partitions: 1\n", "  - name: hooks.delay.24h\n"} {
		if code != 0 || stderr != "" || !strings.Contains(text, want) {
			t.Errorf("check --topics ends with %d, says %s, and has no %q:\n%s", code, stderr, want, text)
		}
	}
}

func TestACLQuestionsThatMakeNoSense(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a form that there is not":      {[]string{"--acls=xml"}, 2, "--acls=xml: write --acls=kafka for kafka-acls.sh, or --acls=iam for Amazon MSK"},
		"a form as an argument":         {[]string{"--acls", "iam"}, 2, "--acls takes its form with an equals sign: --acls=iam"},
		"two questions":                 {[]string{"--acls", "--topics"}, 2, "give one of them"},
		"a principal for nothing":       {[]string{"--principal", "ingress=User:a"}, 2, "give --acls too"},
		"a principal in a policy":       {[]string{"--acls=iam", "--principal", "ingress=User:a"}, 2, "--principal is for --acls=kafka"},
		"a verb that needs none":        {[]string{"--acls", "--principal", "send=User:a"}, 2, "for one of ingress, egress, admin, tail, topic, check"},
		"a principal without its type":  {[]string{"--acls", "--principal", "ingress=alice"}, 2, `"alice" is no principal of one user`},
		"everybody":                     {[]string{"--acls", "--principal", "ingress=User:*"}, 2, `"User:*" is no principal of one user`},
		"a principal of two lines":      {[]string{"--acls", "--principal", "ingress=User:a\nrm"}, 2, "no principal of one user"},
		"a file that has to be mended":  {[]string{"--acls"}, 1, "unknown key"},
		"the same, for the topics":      {[]string{"--topics"}, 1, "unknown key"},
		"a file that nobody looks into": {[]string{"--acls", "--ready"}, 2, "give one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			file := "kafka: {}\n"
			if tc.code == 1 {
				file = "kafak: {}\n"
			}
			code, stdout, stderr := ask(t, file, append([]string{"check"}, tc.args...)...)
			if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("ends with %d, prints %q and says %s, want %d and %q", code, stdout, stderr, tc.code, tc.want)
			}
		})
	}
}

// TestPrintingCommandsOfThePages runs what docs tell people to type for ACLs, topics and
// the plan.
func TestPrintingCommandsOfThePages(t *testing.T) {
	for page, want := range map[string]int{"kafka.md": 4, "operations.md": 1} {
		ran := 0
		for _, b := range blocksOf(t, filepath.Join("..", "..", "docs", page)) {
			for line := range strings.Lines(b.text) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " > ")
				words := strings.Fields(strings.TrimSuffix(line, " -c causeway.yaml"))
				prints := len(words) >= 3 && words[0] == "causeway" && (words[1] == "plan" || words[1] == "check" && strings.HasPrefix(words[2], "--"))
				if b.language != "sh" || !prints {
					continue
				}
				if code, stdout, stderr := ask(t, "kafka: {brokers: [kafka-1:9092]}\n", words[1:]...); code != 0 || stdout == "" {
					t.Errorf("%s: %s ends with %d and says %s", page, line, code, stderr)
				}
				ran++
			}
		}
		if ran != want {
			t.Errorf("docs/%s: %d commands were run, want %d", page, ran, want)
		}
	}
}
