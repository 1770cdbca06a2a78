package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// welcome says what serves where and what to try next. It is for a person who
// sees causeway for the first time; nothing in it is a secret.
func (d *dev) welcome(at serving) {
	c := d.file.config
	var b strings.Builder
	fmt.Fprintf(&b, "\ncauseway dev is ready: %s\n\n", d.where())
	for _, src := range c.Ingress.Sources {
		fmt.Fprintf(&b, "  %-10s http://%s/webhooks/%s -> topic %s\n", src.Name, at.ingress, src.Name, topicOf(src))
	}
	for _, sub := range c.Egress.Subscriptions {
		to := printable(sub.URL, 200)
		if d.receiving {
			to += ", the receiver built in here: it prints a line for each delivery"
		}
		fmt.Fprintf(&b, "  %-10s delivers to %s\n", sub.Name, to)
	}
	fmt.Fprintf(&b, "  %-10s %s\n", "kafka", at.kafka)
	fmt.Fprintf(&b, "  %-10s http://%s%s, for causeway source, subscription, apply\n", "admin", at.admin, admin.BasePath)
	fmt.Fprintf(&b, "  %-10s http://%s/metrics /healthz /readyz\n", "ops", at.ops)
	b.WriteString("\nTry next, in another terminal:\n\n")
	for _, line := range d.suggestions(at) {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\n")
	fmt.Fprint(d.out, b.String())
}

func (d *dev) where() string {
	if len(d.file.config.Kafka.Brokers) > 0 {
		return "it runs on the brokers of the process file, and may deliver to this machine and over http"
	}
	return fmt.Sprintf("it keeps everything in %s, in one copy, and may deliver to this machine and over http", d.options.data)
}

// suggestions are the lines to try. They work as they stand, in the folder in
// which dev was started.
func (d *dev) suggestions(at serving) []string {
	src := d.file.config.Ingress.Sources[0]
	send := []string{program() + " send", src.Name}
	if d.file.path != "" {
		send = append(send, "-c", quote(d.file.path))
	}
	if d.examples {
		send = append(send, d.sendFlags(at, src)...)
	}
	tail := program() + " tail " + topicOf(src) + " --from-start"
	if at.kafka != defaultBroker {
		tail = "CAUSEWAY_KAFKA_BROKERS=" + at.kafka + " " + tail
	}
	lines := []string{
		strings.Join(send, " "),
		tail,
		d.subscribe(at, src),
		fmt.Sprintf("kcat -C -b %s -t %s -o beginning -e", at.kafka, topicOf(src)),
	}
	if d.examples {
		lines = append(lines, "", "# with nothing but curl and openssl; the secret goes through pipes, never onto a command line")
		lines = append(lines, curlLines(filepath.Join(d.options.data, devFile), at.ingress)...)
	}
	return lines
}

// subscribe is a line that delivers the source's events to one more URL, while dev runs.
func (d *dev) subscribe(at serving, src catalog.SourceSpec) string {
	line := program() + " subscription add mine --sources " + src.Name + " --url http://localhost:3000/hooks"
	if at.admin != defaultAdmin {
		line += " --server http://" + at.admin
	}
	if d.options.data != defaultData {
		line += " --data " + quote(d.options.data)
	}
	return line
}

// program is this program as the next line in the same folder can call it: by the
// path it was called by, if that was one below the folder.
func program() string {
	if called := filepath.Clean(os.Args[0]); strings.ContainsRune(called, filepath.Separator) && filepath.IsLocal(called) {
		return quote(called)
	}
	return "causeway"
}

// sendFlags say what send cannot find out by itself about an example.
func (d *dev) sendFlags(at serving, src catalog.SourceSpec) []string {
	var flags []string
	if at.ingress != defaultIngress {
		flags = append(flags, "--url", "http://"+at.ingress+"/webhooks/"+src.Name)
	}
	if d.options.data != defaultData {
		flags = append(flags, "--data", quote(d.options.data))
	}
	for _, text := range d.options.secrets {
		if ref, ok := strings.CutPrefix(text, src.Name+"="); ok {
			flags = append(flags, "--secret", quote(ref))
		}
	}
	return flags
}

// curlLines sign a GitHub webhook in the shell. openssl takes an HMAC key only
// as an argument, which everybody on the machine can see, so the HMAC is put
// together from two plain hashes (RFC 2104); the loops are the shell's own.
func curlLines(file, ingress string) []string {
	return []string{
		`body='{"zen":"Design for failure."}'; key=$(sed -n 's/^github: //p' ` + quote(file) + `)`,
		`pad() { n=0; for c in $(printf %s "$key" | od -An -v -tu1); do printf "\\$(printf %o $((c ^ $1)))"; n=$((n+1)); done`,
		`        while [ $n -lt 64 ]; do printf "\\$(printf %o "$1")"; n=$((n+1)); done; }`,
		`sign() { { pad 92; { pad 54; printf %s "$body"; } | openssl sha256 -binary; } | openssl sha256 -r | cut -d' ' -f1; }`,
		`curl -H "X-Hub-Signature-256: sha256=$(sign)" -H "X-GitHub-Event: ping" -H "X-GitHub-Delivery: $(date +%s)" -H 'Content-Type: application/json' -d "$body" http://` + ingress + `/webhooks/github`,
	}
}

// quote makes a word safe for a shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return strings.ContainsRune("/._-:=@+,", r) || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func topicOf(src catalog.SourceSpec) string {
	if src.Topic != "" {
		return src.Topic
	}
	return "webhooks." + src.Name
}
