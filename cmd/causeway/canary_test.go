package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSecretsAreNowhere runs dev, send and listen with secrets that it knows,
// correctly and not, and then looks for them in everything that came out:
// output, logs at their most talkative, /metrics, /readyz, the data directory
// but for dev.yaml, the spans, and the command lines of all these processes.
func TestSecretsAreNowhere(t *testing.T) {
	w := newCanaryWorld(t)
	collector := newOTLP(t, httptest.NewServer)
	config := w.write("causeway.yaml", fmt.Sprintf(`
kafka: {topics: {partitions: 1}}
ingress:
  listen: %s
  sources:
    - {name: stripe, provider: stripe, secrets: ["env:CANARY_STRIPE"]}
    - {name: gitlab, provider: gitlab, secrets: ["file:%s"]}
    - {name: basic, provider: basic, basic: {username: me}, secrets: ["env:CANARY_BASIC"], headers: [Authorization]}
    - {name: token, provider: token, secrets: ["env:CANARY_TOKEN"], headers: [Authorization, X-Other]}
egress:
  allow_http: true
  subscriptions:
    - {name: s, topics: ["webhooks.*"], url: "http://%s/hooks?token=%s", secrets: ["env:CANARY_DELIVERY"], retry: {schedule: [1s]}}
ops: {listen: %s}
traces: {endpoint: "%s", headers: [{name: Authorization, value: "env:CANARY_COLLECTOR"}]}
log: {level: debug}
`, w.address["ingress"], w.write("gitlab-secret", w.secret["gitlab"]), w.address["listen"], "not-a-canary", w.address["ops"], collector.URL))

	dev := w.start("dev", "-c", config, "--broker-listen", w.address["broker"], "--secret", "stripe=env:CANARY_OTHER")
	w.await(w.address["ops"] + "/readyz")
	listen := w.start("listen", "--listen", w.address["listen"], "--secret", "env:CANARY_DELIVERY", "--fail", "1")
	// An attempt that finds nobody there would use up the one retry.
	if err := until(patience, func() error { return dial(w.address["listen"]) }); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"send", "stripe", "-c", config, "--secret", "env:CANARY_OTHER", "--count", "20"},
		{"send", "gitlab", "-c", config},
		{"send", "basic", "-c", config},
		{"send", "token", "-c", config},
		{"send", "stripe", "-c", config, "--tamper", "signature"},
		{"send", "token", "-c", config, "--tamper", "unsigned"},
		// What somebody might type by mistake must not be repeated.
		{"check", "-c", config},
		{"config", "schema"},
		{"tail", "webhooks.token", "--from-start", "-n", "1"},
		{"tail", "webhooks.basic", "--from-start", "-n", "1"},
		{"tail", "causeway.delay.1s", "--from-start", "-n", "1"},
		{"tail", "causeway.attempts", "--from-start", "-n", "5"},
	} {
		w.run(args...)
	}
	w.await(w.address["ops"]+"/metrics", `causeway_egress_attempts_total{outcome="done",topic="webhooks.stripe"} 20`)
	for _, path := range []string{"/metrics", "/readyz", "/healthz"} {
		body, err := get("http://" + w.address["ops"] + path)
		if err != nil {
			t.Fatal(err)
		}
		w.look(path, []byte(body))
	}
	w.stop(listen)
	w.stop(dev)
	w.lookAtData()
	spans := collector.bytes.Bytes()
	w.look("the spans", spans)
	if bytes.Contains(spans, []byte("not-a-canary")) {
		t.Error("the query of a subscription's URL is in the spans")
	}
	if len(collector.spans) < 4*20 || collector.headers.Get("Authorization") != w.secret["collector"] {
		t.Errorf("the collector has %d spans, of one who says to be %q", len(collector.spans), collector.headers.Get("Authorization"))
	}
	// The test itself must be able to find one.
	if w.find([]byte("x"+base64.StdEncoding.EncodeToString([]byte(w.secret["token"]))+"x")) == "" {
		t.Error("a secret in plain sight was not found")
	}
}

// TestMadeSecretsAreNowhere does the same with the secrets that dev makes itself.
func TestMadeSecretsAreNowhere(t *testing.T) {
	w := newCanaryWorld(t)
	w.env = append(w.env, "CAUSEWAY_INGRESS_LISTEN="+w.address["ingress"], "CAUSEWAY_OPS_LISTEN="+w.address["ops"], "CAUSEWAY_LOG_LEVEL=debug")
	dev := w.start("dev", "--broker-listen", w.address["broker"])
	w.await(w.address["ops"] + "/readyz")
	made, err := readDevSecrets(filepath.Join(w.dir, defaultData))
	if err != nil {
		t.Fatal(err)
	}
	w.secret = map[string]string{}
	for name, s := range made {
		w.secret[name] = string(s.Reveal())
	}
	if len(w.secret) != 6 {
		t.Fatalf("dev made %d secrets, want 6", len(w.secret))
	}
	for _, name := range []string{"stripe", "github", "demo"} {
		w.run("send", name)
		w.run("send", name, "--tamper", "body")
	}
	w.await(w.address["ops"]+"/metrics", `causeway_egress_attempts_total{outcome="done",topic="webhooks.demo"} 1`)
	w.stop(dev)
	w.lookAtData()
	for name, mode := range map[string]fs.FileMode{defaultData: 0o700, filepath.Join(defaultData, devFile): 0o600} {
		info, err := os.Stat(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
}

// TestMistypedSecretsAreNotRepeated gives the secret itself where a reference to
// it is wanted.
func TestMistypedSecretsAreNotRepeated(t *testing.T) {
	w := newCanaryWorld(t)
	for _, args := range [][]string{
		{"dev", "--secret", "stripe=" + w.secret["stripe"]},
		{"dev", "--secret", w.secret["stripe"]},
		{"send", "stripe", "--secret", w.secret["stripe"]},
		{"send", "stripe", "--secret", "env:" + w.secret["stripe"]},
		{"send", "stripe", "--secret", "file:" + w.secret["stripe"]},
		{"listen", "--secret", w.secret["stripe"], "--listen", "127.0.0.1:0"},
		{"send", "stripe", "--url", "http://x:" + w.secret["stripe"] + "@127.0.0.1:1/%zz"},
		{"send", "stripe", "--secret", "env:CANARY_STRIPE", "--url", "http://127.0.0.1:1/?token=" + w.secret["stripe"]},
	} {
		cmd := w.command(args...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("causeway %s: want an error", args[0])
		}
		w.look(strings.Join(args[:1], " "), out)
	}
}

// canaryWorld is a folder with secrets in the environment, and everything that
// the processes in it say.
type canaryWorld struct {
	t       *testing.T
	dir     string
	bin     string
	env     []string
	secret  map[string]string
	address map[string]string
}

type canaryProcess struct {
	name string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

func newCanaryWorld(t *testing.T) *canaryWorld {
	t.Helper()
	w := &canaryWorld{t: t, dir: t.TempDir(), bin: filepath.Join(causewayBinary(t), "causeway"), secret: map[string]string{}, address: map[string]string{}}
	w.env = append(os.Environ(), envConfig+"=")
	for _, name := range []string{"stripe", "other", "gitlab", "basic", "token", "delivery", "collector"} {
		value := "canary-" + name + "-0123456789abcdef"
		if name == "delivery" {
			value = "whsec_" + base64.StdEncoding.EncodeToString([]byte("canary-delivery-0123456789abcdef"))
		}
		w.secret[name] = value
		w.env = append(w.env, "CANARY_"+strings.ToUpper(name)+"="+value)
	}
	for _, name := range []string{"ingress", "ops", "broker", "listen"} {
		address, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		w.address[name] = address
	}
	w.env = append(w.env, "CAUSEWAY_KAFKA_BROKERS=", slowDisk+"=25s")
	return w
}

func (w *canaryWorld) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *canaryWorld) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.bin, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	if verb := args[0]; verb == "tail" || verb == "topic" {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "CAUSEWAY_KAFKA_BROKERS="+w.address["broker"])
	}
	return cmd
}

func (w *canaryWorld) start(args ...string) *canaryProcess {
	w.t.Helper()
	p := &canaryProcess{name: args[0], cmd: w.command(args...), out: &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.lookAtCommandLine(p.name, p.cmd.Process.Pid)
	return p
}

func (w *canaryWorld) stop(p *canaryProcess) {
	w.t.Helper()
	w.lookAtCommandLine(p.name, p.cmd.Process.Pid)
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		w.t.Errorf("causeway %s: %v\n%s", p.name, err, p.out)
	}
	if p.out.Len() == 0 {
		w.t.Errorf("causeway %s said nothing", p.name)
	}
	w.look(p.name, p.out.Bytes())
}

func (w *canaryWorld) run(args ...string) {
	w.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	if err != nil {
		w.t.Errorf("causeway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	w.look(strings.Join(args, " "), out)
}

func (w *canaryWorld) await(at string, texts ...string) {
	w.t.Helper()
	var body string
	err := until(patience, func() (err error) {
		body, err = get("http://" + at)
		for _, text := range texts {
			if err == nil && !strings.Contains(body, text) {
				err = fmt.Errorf("no %q", text)
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v; it says\n%s", at, err, body)
	}
}

// find returns the name of a secret that is in what came out, as it is or in the
// forms in which one travels.
func (w *canaryWorld) find(text []byte) string {
	for name, value := range w.secret {
		raw := []byte(value)
		forms := [][]byte{raw, []byte(hex.EncodeToString(raw))}
		// Base64 depends on where in the encoded text the secret begins.
		for skip := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString(raw[skip:])
			forms = append(forms, []byte(encoded[:len(encoded)-2]))
		}
		if key, ok := strings.CutPrefix(value, "whsec_"); ok {
			forms = append(forms, []byte(key))
			if decoded, err := base64.StdEncoding.DecodeString(key); err == nil {
				forms = append(forms, decoded, []byte(hex.EncodeToString(decoded)))
			}
		}
		for _, form := range forms {
			if bytes.Contains(text, form) {
				return name
			}
		}
	}
	return ""
}

func (w *canaryWorld) look(where string, text []byte) {
	w.t.Helper()
	if name := w.find(text); name != "" {
		w.t.Errorf("the secret of %s is in %s", name, where)
	}
}

func (w *canaryWorld) lookAtCommandLine(name string, pid int) {
	w.t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		w.t.Fatal(err)
	}
	w.look("the command line of "+name, line)
}

// lookAtData looks into every file that the processes have left.
func (w *canaryWorld) lookAtData() {
	w.t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Join(w.dir, defaultData), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == devFile {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		w.look(path, text)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if files < 10 {
		w.t.Errorf("only %d files in the data directory", files)
	}
}
