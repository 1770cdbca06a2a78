package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"causeway/egress/delay"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

// securedProcess is a process on the secured cluster, run by serve in this one.
type securedProcess struct {
	t            *testing.T
	cluster      *kafkatest.Secured
	dir          string
	ingress, ops string
	stop         func()
	out          lockedBuffer // its log
	secrets      []string     // that nobody may read in what comes out
}

// lockedBuffer is written and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSecuredProcess(t *testing.T) *securedProcess {
	p := &securedProcess{t: t, cluster: kafkatest.RealSecured(t), dir: t.TempDir(), secrets: []string{kafkatest.Password}}
	for _, at := range []*string{&p.ingress, &p.ops} {
		var err error
		if *at, err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *securedProcess) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	// By rename, as whoever replaces a secret under a running process should.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// certificate writes a client's certificate and key that are valid until then.
func (p *securedProcess) certificate(until time.Time) {
	p.t.Helper()
	cert, key, err := p.cluster.CA.Issue(kafkatest.Root, until)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("cert.pem", string(cert))
	p.write("key.pem", string(key))
}

// config writes a process file; in its text DIR and CA stand for paths.
func (p *securedProcess) config(kafka, more string) string {
	text := fmt.Sprintf("kafka:\n  topics: {create: false}\n%s\ningress: {listen: %q, drain_delay: 0s, sources: [{name: ok, provider: basic, basic: {username: me}, secrets: [\"file:DIR/source\"]}, {name: denied, provider: basic, basic: {username: me}, secrets: [\"file:DIR/source\"]}]}\nops: {listen: %q}\nlog: {format: json}\n%s\n",
		strings.TrimPrefix(kafka, "\n"), p.ingress, p.ops, more)
	p.write("source", "a-source-secret-canary")
	p.write("delivery", bridgeSecret)
	p.secrets = append(p.secrets, "a-source-secret-canary", strings.TrimPrefix(bridgeSecret, "whsec_"))
	return p.write("causeway.yaml", strings.NewReplacer("DIR", p.dir, "CA.PEM", p.cluster.CAFile).Replace(text))
}

func (p *securedProcess) start(r roles, path string) {
	p.t.Helper()
	file, err := readConfig(path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	file.config = file.config.withDefaults()
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, serveOptions{file: file, roles: r, loopback: true, stderr: &p.out}) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("serve: %v", err)
		}
		p.look("the log", p.out.String())
	})
	p.t.Cleanup(p.stop)
}

func (p *securedProcess) look(where, text string) {
	p.t.Helper()
	for _, s := range p.secrets {
		if strings.Contains(text, s) {
			p.t.Errorf("a secret is in %s: %s", where, text)
		}
	}
}

// readyz waits until /readyz holds each of the texts.
func (p *securedProcess) readyz(texts ...string) {
	p.t.Helper()
	body := ""
	err := until(time.Minute, func() error {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.ops+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		body = string(all)
		p.look("/readyz", body)
		for _, text := range texts {
			if not, ok := strings.CutPrefix(text, "!"); err == nil && strings.Contains(body, not) == ok {
				err = fmt.Errorf("want %q", text)
			}
		}
		return err
	})
	if err != nil {
		p.t.Fatalf("/readyz: %v in %s\n%s", err, body, p.out.String())
	}
}

func (p *securedProcess) post(source, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.ingress+"/webhooks/"+source, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("me", "a-source-secret-canary")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

const scramRoot = `
  brokers: [%q]
  tls: {enabled: true, ca_file: "CA.PEM"}
  sasl: {mechanism: SCRAM-SHA-512, username: root, password: "file:DIR/password"}`

// TestWhatIsInTheWayToKafka starts a process while something is wrong, hears what,
// once, and mends it: nobody has to start the process again.
func TestWhatIsInTheWayToKafka(t *testing.T) {
	cluster := kafkatest.RealSecured(t)
	other, err := kafkatest.NewAuthority("another CA", false)
	if err != nil {
		t.Fatal(err)
	}
	newSecuredProcess(t).topics("", "webhooks.ok", "webhooks.denied")
	root := newSecuredProcess(t).admin()
	makeACLs(t, root, kadm.NewACLs().Allow("User:CN="+kafkatest.Root).AllowHosts("*").Topics("causeway.catalog").
		ResourcePatternType(kmsg.ACLResourcePatternTypeLiteral).Operations(kmsg.ACLOperationRead))
	past, soon := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, tc := range map[string]struct {
		kafka         string
		spoiled, good func(p *securedProcess)
		want          string
	}{
		"a wrong password": {
			fmt.Sprintf(scramRoot, cluster.SASL),
			func(p *securedProcess) { p.write("password", "a-wrong-password-canary\n") },
			func(p *securedProcess) { p.write("password", kafkatest.Password+"\n") },
			"authentication: wrong user name or password for user root",
		},
		"an expired token": {
			fmt.Sprintf("\n  brokers: [%q]\n  tls: {enabled: true, ca_file: CA.PEM}\n  sasl: {mechanism: OAUTHBEARER, token: \"file:DIR/token\"}", cluster.SASL),
			func(p *securedProcess) { p.write("token", kafkatest.Token(kafkatest.Root, past)) },
			func(p *securedProcess) { p.write("token", kafkatest.Token(kafkatest.Root, soon)) },
			"authentication: the broker refuses the token",
		},
		"an expired client certificate": {
			fmt.Sprintf("\n  brokers: [%q]\n  tls: {enabled: true, ca_file: CA.PEM, cert_file: DIR/cert.pem, key_file: DIR/key.pem}", cluster.MTLS),
			func(p *securedProcess) { p.certificate(past) },
			func(p *securedProcess) { p.certificate(soon) },
			"TLS handshake: our client certificate CN=root expired",
		},
		"a wrong CA": {
			strings.ReplaceAll(fmt.Sprintf(scramRoot, cluster.SASL), "CA.PEM", "DIR/ca.pem"),
			func(p *securedProcess) { p.write("password", kafkatest.Password); p.write("ca.pem", string(other.PEM)) },
			func(p *securedProcess) { p.write("ca.pem", string(cluster.CA.PEM)) },
			"TLS handshake: the broker's certificate (issued by CN=causeway test CA) is signed by no CA that is trusted here",
		},
		"an expired server certificate": {
			fmt.Sprintf(scramRoot, cluster.Expired),
			func(p *securedProcess) { p.write("password", kafkatest.Password) },
			func(p *securedProcess) { p.renewBroker() },
			"TLS handshake: the certificate CN=broker of the broker or its CA expired",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newSecuredProcess(t)
			p.secrets = append(p.secrets, "a-wrong-password-canary", kafkatest.Token(kafkatest.Root, past), kafkatest.Token(kafkatest.Root, soon))
			tc.spoiled(p)
			path := p.config(tc.kafka, "")
			var checked bytes.Buffer
			if code := run(t.Context(), []string{"check", "-c", path}, &checked, &checked); code != 1 || !strings.Contains(checked.String(), tc.want) {
				t.Errorf("check ends with %d and says %s", code, &checked)
			}
			p.look("what check says", checked.String())
			p.start(roles{ingress: true}, path)
			p.readyz(`"ready":false`, tc.want)
			tc.good(p)
			p.readyz(`"ready":true`)
			p.stop()
			if n := strings.Count(p.out.String(), `"level":"warn"`); n > 20 {
				t.Errorf("%d warnings in a few seconds:\n%s", n, p.out.String())
			}
			if n := strings.Count(p.out.String(), "Kafka cannot be reached, trying on"); n != 1 {
				t.Errorf("said %d times what is wrong:\n%s", n, p.out.String())
			}
		})
	}
}

// renewBroker gives the broker's expired listener a new certificate.
func (p *securedProcess) renewBroker() {
	p.t.Helper()
	path := filepath.Join(p.dir, "renewed.pem")
	if err := p.cluster.Keystore(path, time.Now().Add(time.Hour)); err != nil {
		p.t.Fatal(err)
	}
	client := p.admin()
	value := path
	_, err := kadm.NewClient(client).AlterBrokerConfigs(p.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "listener.name.expired.ssl.keystore.location", Value: &value}}, 1)
	if err != nil {
		p.t.Fatal(err)
	}
}

// admin may do everything.
func (p *securedProcess) admin() *kgo.Client {
	p.t.Helper()
	client, err := kgo.NewClient(p.cluster.Options().Base("admin")...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

// allow lets alice do everything with topics, or with groups, of a name or prefix.
func (p *securedProcess) allow(build func(*kadm.ACLBuilder) *kadm.ACLBuilder, pattern kmsg.ACLResourcePatternType) {
	p.t.Helper()
	b := build(kadm.NewACLs()).ResourcePatternType(pattern).Allow("User:" + kafkatest.Alice).AllowHosts("*").Operations(kmsg.ACLOperationAll)
	makeACLs(p.t, p.admin(), b)
}

// topics makes the sources' topics and, with a prefix, causeway's own, all small.
func (p *securedProcess) topics(prefix string, sources ...string) {
	p.t.Helper()
	o := kafka.PlanOptions{Prefix: prefix, Tiers: delay.Names(), Brokers: 1}
	if prefix == "" {
		o.Tiers = nil
	}
	for _, name := range sources {
		o.Sources = append(o.Sources, kafka.SourceTopic{Name: name})
	}
	plan := kafka.Plan(o)
	for i := range plan {
		plan[i].Partitions = 1
	}
	if _, err := kafka.Ensure(p.t.Context(), p.admin(), plan); err != nil {
		p.t.Fatal(err)
	}
}

// subscriber counts what is delivered to it.
type subscriber struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string]int // by body
}

func newSubscriber(t *testing.T) *subscriber {
	r := &subscriber{got: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[string(body)]++
	}))
	t.Cleanup(r.Close)
	return r
}

// await waits until each of the bodies has come.
func (r *subscriber) await(t *testing.T, bodies ...string) {
	t.Helper()
	err := until(time.Minute, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, b := range bodies {
			if r.got[b] == 0 {
				return fmt.Errorf("%s has not come", b)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// subscribed is the part of a process file that delivers to the subscriber.
func (r *subscriber) subscribed(topics string) string {
	return fmt.Sprintf("egress: {allow_http: true, subscriptions: [{name: s, topics: [%s], url: %q, secrets: [\"file:DIR/delivery\"]}]}", topics, r.URL)
}

// TestADeniedTopicIsNamedAndOthersGoOn lets alice use everything but one source's
// topic, at the door and behind it, and then that one too.
func TestADeniedTopicIsNamedAndOthersGoOn(t *testing.T) {
	p, r := newSecuredProcess(t), newSubscriber(t)
	prefix := kafkatest.Prefix(t)
	p.topics(prefix, "webhooks.ok", "webhooks.denied")
	p.allow(func(b *kadm.ACLBuilder) *kadm.ACLBuilder { return b.Topics(prefix) }, kmsg.ACLResourcePatternTypePrefixed)
	p.allow(func(b *kadm.ACLBuilder) *kadm.ACLBuilder { return b.Groups(prefix) }, kmsg.ACLResourcePatternTypePrefixed)
	p.allow(func(b *kadm.ACLBuilder) *kadm.ACLBuilder { return b.Topics("webhooks.ok") }, kmsg.ACLResourcePatternTypeLiteral)
	p.write("password", kafkatest.Password)
	path := p.config(fmt.Sprintf(scramRoot+"\n  prefix: %q", p.cluster.SASL, prefix), r.subscribed(`"webhooks.*"`))
	text, _ := os.ReadFile(path)
	p.write("causeway.yaml", strings.Replace(string(text), "username: root", "username: alice", 1))

	var checked bytes.Buffer
	run(t.Context(), []string{"check", "-c", path}, &checked, &checked)
	for _, want := range []string{"ACLs deny WRITE on topic webhooks.denied (ingress)", "ACLs deny READ on topic webhooks.denied (egress)"} {
		if !strings.Contains(checked.String(), want) || strings.Count(checked.String(), "ACLs deny") != 2 {
			t.Errorf("check does not say %q, or says more:\n%s", want, &checked)
		}
	}
	applied(t, p.cluster.Options(), path)
	t.Setenv("CAUSEWAY_KAFKA_PREFIX", "denied.")
	checked.Reset()
	if run(t.Context(), []string{"check", "-c", path}, &checked, &checked); !strings.Contains(checked.String(), "ACLs deny READ on group denied.egress (egress)") {
		t.Errorf("check does not name the groups:\n%s", &checked)
	}
	p.start(roles{ingress: true, egress: true}, path)
	p.readyz(`"ready":true`, "Kafka's ACLs deny READ on webhooks.denied")
	for n := range 5 {
		if status, answer := p.post("denied", fmt.Sprintf(`{"denied":%d}`, n)); status != 503 || !strings.Contains(answer, "topic_denied") {
			t.Errorf("the denied source: %d %s", status, answer)
		}
		body := fmt.Sprintf(`{"ok":%d}`, n)
		if status, answer := p.post("ok", body); status != 200 {
			t.Errorf("the other source: %d %s", status, answer)
		}
		r.await(t, body)
	}
	p.readyz(`"ready":true`, "Kafka's ACLs deny WRITE on webhooks.denied")
	if n := strings.Count(p.out.String(), "Kafka denies a topic"); n != 2 {
		t.Errorf("the log names the topic %d times, want once for writing and once for reading:\n%s", n, p.out.String())
	}

	p.allow(func(b *kadm.ACLBuilder) *kadm.ACLBuilder { return b.Topics("webhooks.denied") }, kmsg.ACLResourcePatternTypeLiteral)
	if err := until(time.Minute, func() error {
		if status, answer := p.post("denied", `{"allowed":true}`); status != 200 {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	}); err != nil {
		t.Fatalf("allowed, and %v", err)
	}
	r.await(t, `{"allowed":true}`)
	p.readyz(`"ready":true`, "!egress_topics", "!ingress_topics")
}

// TestSessionsThatEndUnderLoad has sessions of three seconds and tokens of six, from a
// token endpoint: what is under way at their ends is neither refused nor lost.
func TestSessionsThatEndUnderLoad(t *testing.T) {
	p, r := newSecuredProcess(t), newSubscriber(t)
	var mu sync.Mutex
	asked := 0
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": kafkatest.Token(kafkatest.Root, time.Now().Add(6*time.Second)), "expires_in": 6})
	}))
	t.Cleanup(tokens.Close)
	prefix := kafkatest.Prefix(t)
	p.topics(prefix, "webhooks.ok", "webhooks.denied")
	p.write("client", "a-client-secret-canary")
	p.secrets = append(p.secrets, "a-client-secret-canary", "eyJhbGciOiJub25lIn0")
	path := p.config(fmt.Sprintf("\n  brokers: [%q]\n  prefix: %q\n  tls: {enabled: true, ca_file: CA.PEM}\n  sasl: {mechanism: OAUTHBEARER, token_url: %q, client_id: causeway, client_secret: \"file:DIR/client\"}",
		p.cluster.Reauth, prefix, tokens.URL), r.subscribed("webhooks.ok"))
	applied(t, p.cluster.Options(), path)
	p.start(roles{ingress: true, egress: true}, path)
	p.readyz(`"ready":true`)
	var bodies []string
	for n := 0; ; n++ {
		mu.Lock()
		enough := asked >= 4
		mu.Unlock()
		if enough {
			break
		}
		body := fmt.Sprintf(`{"n":%d}`, n)
		if status, answer := p.post("ok", body); status != 200 {
			t.Fatalf("webhook %d: %d %s\n%s", n, status, answer, p.out.String())
		}
		bodies = append(bodies, body)
	}
	r.await(t, bodies...)
	t.Logf("%d webhooks while the token was renewed three times", len(bodies))
	p.stop()
	for line := range strings.Lines(p.out.String()) {
		wrong := strings.Contains(line, `"level":"error"`) || strings.Contains(line, `"level":"warn"`)
		if wrong && !strings.Contains(line, "are not read by this process") { // that the file has sources, as the test needs
			t.Errorf("the log: %s", line)
		}
	}
}

// TestTheSameIsSaidOnce has no Kafka for an hour.
func TestTheSameIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		handle := health.NewSet(nil).Declare(health.Condition{Code: "kafka", Readiness: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second) // in the middle of a pause
		defer cancel()
		if awaitKafka(ctx, kafka.Options{Brokers: []string{"127.0.0.1:1"}}, handle, zap.New(core)) {
			t.Error("reached")
		}
		if logs.Len() != 1 {
			t.Errorf("said %d times: %v", logs.Len(), logs.All())
		}
	})
}
