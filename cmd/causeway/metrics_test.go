package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/metrics.md anew")

// TestMetricsPage compares docs/metrics.md with what causeway dev really serves.
func TestMetricsPage(t *testing.T) {
	ops := freeAddress(t)
	door, api := freeAddress(t), freeAddress(t)
	t.Setenv("CAUSEWAY_OPS_LISTEN", ops)
	t.Setenv("CAUSEWAY_INGRESS_LISTEN", door)
	t.Setenv("CAUSEWAY_ADMIN_LISTEN", api)
	data := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"dev", "--data", data, "--broker-listen", freeAddress(t)}, io.Discard, &stderr)
	}()
	defer func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("causeway dev ended with %d\n%s", code, stderr.String())
		}
	}()
	awaitText(t, "http://"+ops+"/readyz", "")
	awaitText(t, "http://"+api+"/api/v1/health", "")
	if code := run(t.Context(), []string{"send", "stripe", "--data", data, "--url", "http://" + door + "/webhooks/stripe"}, io.Discard, os.Stderr); code != 0 {
		t.Fatalf("causeway send ended with %d", code)
	}
	text := awaitText(t, "http://"+ops+"/metrics", `causeway_egress_attempts_total{outcome="done"`)
	page := metricsPage(text)
	path := filepath.Join("..", "..", "docs", "metrics.md")
	if *updateDocs {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != page {
		t.Errorf("docs/metrics.md is not what is served; go test ./cmd/causeway -run TestMetricsPage -update-docs writes it anew. Served:\n%s", page)
	}
}

// awaitText asks the URL until it answers 200 with the text in it.
func awaitText(t *testing.T, url, text string) string {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK && strings.Contains(string(body), text) {
				return string(body)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer 200 with %q in it: %v", url, text, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

var (
	helpLine  = regexp.MustCompile(`^# HELP (causeway_\S+) (.*)$`)
	typeLine  = regexp.MustCompile(`^# TYPE (causeway_\S+) (\S+)$`)
	labelName = regexp.MustCompile(`[{,]([a-z_]+)="`)
)

// metricsPage is the page for an exposition.
func metricsPage(exposition string) string {
	var b strings.Builder
	b.WriteString(`# Metrics

Served at ` + "`/metrics`" + ` of ` + "`ops.listen`" + `, for Prometheus. Labels have values from closed sets; none is an event's ID or a URL.
Beside these there are Go's own (` + "`go_*`, `process_*`" + `) and those of the Kafka clients (` + "`causeway_kafka_*`" + `, told apart by ` + "`client`" + `).
A test keeps this page as it is served.

| metric | type | labels | what it tells |
|---|---|---|---|
`)
	kinds, labels, order, helps := map[string]string{}, map[string]map[string]bool{}, []string{}, map[string]string{}
	for line := range strings.Lines(exposition) {
		line = strings.TrimSpace(line)
		if m := helpLine.FindStringSubmatch(line); m != nil {
			order, helps[m[1]], labels[m[1]] = append(order, m[1]), m[2], map[string]bool{}
		} else if m := typeLine.FindStringSubmatch(line); m != nil {
			kinds[m[1]] = m[2]
		} else if len(order) > 0 && strings.HasPrefix(line, order[len(order)-1]) {
			for _, l := range labelName.FindAllStringSubmatch(line, -1) {
				labels[order[len(order)-1]][l[1]] = true
			}
		}
	}
	for _, name := range order {
		if strings.HasPrefix(name, "causeway_kafka_") {
			continue
		}
		var names []string
		for _, l := range []string{"source", "outcome", "topic", "reason", "verdict", "tier", "layer", "state", "condition", "version", "revision", "goversion"} {
			if labels[name][l] {
				names = append(names, "`"+l+"`")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kinds[name], strings.Join(names, ", "), helps[name])
	}
	return b.String()
}
