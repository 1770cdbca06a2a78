package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestConfigurationPage compares the tables of docs/configuration.md, where
// every key stands, with the types that the schema is made from.
func TestConfigurationPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "-update -->\n"
	head, tables, ok := strings.Cut(string(page), mark)
	if !ok {
		t.Fatalf("no %q in %s", mark, path)
	}
	want := settingTables(t)
	if *update {
		if err := os.WriteFile(path, []byte(head+mark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if tables != want {
		t.Errorf("the tables are not those of the types: go test ./cmd/causeway -run TestConfigurationPage -update. Want:\n%s", want)
	}
}

// settingTables writes a table for each mapping of the process file.
func settingTables(t *testing.T) string {
	var b strings.Builder
	var table func(title string, typ reflect.Type, above keys, inList bool)
	table = func(title string, typ reflect.Type, above keys, inList bool) {
		var later []func()
		head, line := "| key | meaning | variable |\n|---|---|---|\n", "| `%s` | %s | `%s` |\n"
		if inList {
			head, line = "| key | meaning |\n|---|---|\n", "| `%s` | %s |\n"
		}
		rows := 0
		fmt.Fprintf(&b, "\n## %s\n\n%s", title, head)
		var row func(fields []reflect.StructField, above keys)
		row = func(fields []reflect.StructField, above keys) {
			for _, field := range fields {
				k := above.and(settingName(field))
				doc := strings.TrimSuffix(field.Tag.Get("doc"), ".")
				if doc == "" {
					t.Errorf("%s has no doc tag", k)
				}
				doc = strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.ToUpper(doc[:1]) + doc[1:])
				if enum := field.Tag.Get("enum"); enum != "" {
					doc += " (`" + strings.ReplaceAll(enum, ",", "` `") + "`)"
				}
				switch ft := pointee(field.Type); {
				case ft.Kind() == reflect.Slice && len(settings(ft.Elem())) > 0:
					later = append(later, func() { table(fmt.Sprintf("`%s`: a list of these", k), ft.Elem(), nil, true) })
				case len(settings(ft)) > 0:
					row(settings(ft), k)
				case inList:
					fmt.Fprintf(&b, line, strings.Join(k, "."), doc)
					rows++
				default:
					fmt.Fprintf(&b, line, strings.Join(k, "."), doc, envPrefix+strings.ToUpper(strings.Join(k, "_")))
					rows++
				}
			}
		}
		row(settings(typ), above)
		if rows == 0 {
			t.Errorf("%s has no keys", title)
		}
		for _, next := range later {
			next()
		}
	}
	for _, field := range settings(reflect.TypeFor[config]()) {
		table("`"+settingName(field)+"`", field.Type, keys{settingName(field)}, false)
	}
	return b.String()
}

// block is one fenced block of a page.
type block struct{ language, text string }

func blocksOf(t *testing.T, path string) []block {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return blocksIn(string(page))
}

func blocksIn(page string) []block {
	var blocks []block
	for _, m := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// followedBlocks are those of the page, or of the part of it, that TestPagesWork runs.
func followedBlocks(t *testing.T, path string) []block {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, from, marked := strings.Cut(string(page), "<!-- From here to the next comment, TestPagesWork runs every command. -->")
	if !marked {
		return blocksIn(string(page))
	}
	part, _, _ := strings.Cut(from, "<!--")
	return blocksIn(part)
}

// TestPagesWork runs what the pages tell a newcomer to type, in one shell, in
// order. What runs until it is stopped goes into the background, and the next of
// its kind stops it, as the pages say. Only the addresses are other ones here.
//
// Of docs/operations.md and docs/api.md it runs what stands between two comments:
// the rest wants a cluster, or is no more than an example.
func TestPagesWork(t *testing.T) {
	for _, page := range []string{"README.md", "docs/start.md", "docs/operations.md", "docs/api.md"} {
		t.Run(filepath.Base(page), func(t *testing.T) {
			w := newPageWorld(t)
			for _, b := range followedBlocks(t, filepath.Join("..", "..", page)) {
				switch b.language {
				case "yaml":
					w.write("causeway.yaml", b.text)
				case "sh":
					for _, command := range commandsOf(b.text) {
						w.follow(command)
					}
				}
			}
			w.stopAll()
			if w.followed < 5 {
				t.Errorf("only %d commands found", w.followed)
			}
		})
	}
}

// commandsOf takes a block apart: each line that calls make or causeway stands
// for itself, what is between them belongs together.
func commandsOf(text string) []string {
	var commands []string
	alone := true
	for line := range strings.Lines(strings.ReplaceAll(text, "bin/causeway", "causeway")) {
		was := alone
		alone = strings.HasPrefix(line, "causeway ") || strings.HasPrefix(line, "make ")
		if alone || was {
			commands = append(commands, "")
		}
		commands[len(commands)-1] += line
	}
	return commands
}

// pageWorld is the folder of somebody who follows a page.
type pageWorld struct {
	*canaryWorld
	followed   int
	background map[string]*canaryProcess
	in         io.Writer
	out        *bufio.Reader
}

func newPageWorld(t *testing.T) *pageWorld {
	t.Helper()
	w := &pageWorld{canaryWorld: newCanaryWorld(t), background: map[string]*canaryProcess{}}
	var err error
	if w.address["admin"], err = freePort(); err != nil {
		t.Fatal(err)
	}
	w.secret = map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_of_a_page_that_is_followed", "SHOP_SECRET": "whsec_b2YtYS1wYWdlLXRoYXQtaXMtZm9sbG93ZWQ="}
	w.env = append(w.env,
		"PATH="+filepath.Dir(w.bin)+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"CAUSEWAY_INGRESS_LISTEN="+w.address["ingress"], "CAUSEWAY_OPS_LISTEN="+w.address["ops"], "CAUSEWAY_ADMIN_LISTEN="+w.address["admin"],
		"STRIPE_WEBHOOK_SECRET="+w.secret["STRIPE_WEBHOOK_SECRET"], "SHOP_SECRET="+w.secret["SHOP_SECRET"])
	shell := exec.CommandContext(t.Context(), "sh")
	shell.Dir, shell.Env = w.dir, append(w.env[:len(w.env):len(w.env)], "CAUSEWAY_KAFKA_BROKERS="+w.address["broker"])
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stderr = shell.Stdout
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = shell.Wait()
	})
	w.in, w.out = in, bufio.NewReader(out)
	return w
}

func (w *pageWorld) follow(command string) {
	w.t.Helper()
	w.followed++
	command = strings.NewReplacer(
		"127.0.0.1:8700", w.address["ingress"], "127.0.0.1:8701", w.address["admin"], "127.0.0.1:8703", w.address["broker"], "127.0.0.1:8790", w.address["listen"],
		"read -rs STRIPE_WEBHOOK_SECRET && ", "",
	).Replace(command)
	words := strings.Fields(strings.ReplaceAll(command, "ARGS=", ""))
	switch {
	case words[0] == "make" && words[1] == "run":
		w.dev(words[2:])
	case words[0] == "causeway" && words[1] == "dev":
		w.dev(words[2:])
	case words[0] == "causeway" && words[1] == "listen":
		w.end("listen")
		for i, word := range words {
			words[i] = strings.ReplaceAll(strings.Trim(word, `"`), "$PWD", w.dir)
		}
		w.background["listen"] = w.start(append(words[1:], "--listen", w.address["listen"])...)
		if err := until(patience, func() error { return dial(w.address["listen"]) }); err != nil {
			w.t.Fatal(err)
		}
	default:
		w.shell(command)
	}
}

// dev starts causeway dev, in the place of one that runs.
func (w *pageWorld) dev(args []string) {
	w.t.Helper()
	w.stopAll()
	w.background["dev"] = w.start(append([]string{"dev", "--broker-listen", w.address["broker"]}, args...)...)
	w.await(w.address["ops"] + "/readyz")
}

func (w *pageWorld) stopAll() {
	w.t.Helper()
	w.end("listen")
	w.end("dev")
}

// end stops what runs in the background, if it does.
func (w *pageWorld) end(name string) {
	w.t.Helper()
	p := w.background[name]
	if p == nil {
		return
	}
	delete(w.background, name)
	w.stop(p)
	if regexp.MustCompile(`[1-9][0-9]* not verified`).Match(p.out.Bytes()) {
		w.t.Errorf("a delivery was not signed as the page says:\n%s", p.out)
	}
}

// shell runs a command in the one shell and waits for it. A tool that is not on
// this machine is passed over: make test needs nothing but Go.
func (w *pageWorld) shell(command string) {
	w.t.Helper()
	for _, tool := range []string{"curl", "openssl", "kcat"} {
		if _, err := exec.LookPath(tool); err != nil && regexp.MustCompile(`\b`+tool+`\b`).MatchString(command) {
			w.t.Logf("%s is not here, so this was not run:\n%s", tool, command)
			return
		}
	}
	const end = "end-of-the-command"
	if _, err := fmt.Fprintf(w.in, "%s\nr=$?; echo; echo %s $r\n", command, end); err != nil {
		w.t.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := w.out.ReadString('\n')
		if status, ok := strings.CutPrefix(line, end+" "); ok {
			if strings.TrimSpace(status) != "0" {
				w.t.Errorf("%s\nended with %s%s", command, status, said.String())
			}
			break
		}
		said.WriteString(line)
		if err != nil {
			w.t.Fatalf("%s\n%v\n%s", command, err, said.String())
		}
	}
	if regexp.MustCompile(`(?ms)^curl .*/webhooks/`).MatchString(command) {
		if !strings.Contains(said.String(), `"status":"received"`) {
			w.t.Errorf("%s\nanswered %s", command, said.String())
		}
		w.await(w.address["ops"]+"/metrics", `causeway_egress_attempts_total{outcome="done",topic="webhooks.github"} 1`)
	}
	w.look(command, []byte(said.String()))
}
