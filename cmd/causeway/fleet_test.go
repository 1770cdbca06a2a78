package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

const fleetSecret = "whsec_c2VjcmV0LW9mLXRoZS1mbGVldC10ZXN0LTMyYg=="

// fleet is causeway as it runs on a cluster: processes of one role each, made from
// the binary as it is shipped, on three brokers; two subscriptions; a ledger of what
// was acknowledged and one of what was delivered.
type fleet struct {
	t              *testing.T
	cluster        *kafkatest.Cluster
	binary, dir    string
	config         string
	prefix, source string
	scheme         *signature.Compiled
	key            signature.Key
	sink           *chaosSink
	commits        *commitWatch
	members        []*fleetMember
	client         *http.Client // of the load

	mu    sync.Mutex
	doors []string // addresses of the ingress processes
}

// fleetMember is one process, which keeps its addresses when it starts again.
type fleetMember struct {
	f           *fleet
	role        string
	listen, ops string
	log         string
	process     *kafkatest.Process
}

// shared is what the tests on one cluster have in common: the topics of delays take
// longer to make than all else.
type shared struct {
	cluster     *kafkatest.Cluster
	binary, dir string
	prefix      string
}

func newShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{cluster: kafkatest.Real(t, 3), dir: t.TempDir(), prefix: kafkatest.Prefix(t)}
	s.binary = filepath.Join(s.dir, "causeway")
	// As it is shipped: without the race detector and the tests' tag.
	if out, err := exec.Command("go", "build", "-o", s.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return s
}

// fleet makes one with a source and a session timeout of its own.
func (s *shared) fleet(t *testing.T, session string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, cluster: s.cluster, binary: s.binary, dir: t.TempDir(), prefix: s.prefix,
		source: strings.TrimSuffix(kafkatest.Prefix(t), "."), sink: newChaosSink(t, 20*time.Millisecond),
		// Connections that rest are given up before an ingress that stops does, after a second:
		// a request on one that is just being closed would be lost.
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 500 * time.Millisecond}},
	}
	var err error
	if f.scheme, err = signature.Standard().Compile(); err != nil {
		t.Fatal(err)
	}
	if f.key, err = f.scheme.Key(secret.New([]byte(fleetSecret)), false); err != nil {
		t.Fatal(err)
	}
	f.config = filepath.Join(f.dir, "causeway.yaml")
	file := fmt.Sprintf(`
kafka:
  brokers: [%[1]s]
  prefix: %[2]s
  session_timeout: %[5]s
  topics: {partitions: 6}
ingress:
  sources:
    - {name: %[3]s, provider: standard-webhooks, secrets: [env:FLEET_SECRET]}
egress:
  allow_networks: [127.0.0.0/8]
  allow_http: true
  subscriptions:
    - {name: a, topics: [webhooks.%[3]s], url: %[4]s/a, secrets: [env:FLEET_SECRET], max_concurrency: 100}
    - {name: b, topics: [webhooks.%[3]s], url: %[4]s/b, secrets: [env:FLEET_SECRET], max_concurrency: 100}
`, strings.Join(s.cluster.Seeds, ", "), f.prefix, f.source, f.sink.server.URL, session)
	if err := os.WriteFile(f.config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	f.apply()
	f.commits = watchCommits(f)
	return f
}

// apply puts the file's entries into the catalog, as an operator does.
func (f *fleet) apply() {
	f.t.Helper()
	api := f.start("admin")
	apply := exec.Command(f.binary, "apply", "-f", f.config, "--set", "fleet", "--prune", "--server", "http://"+api.listen)
	apply.Env = append(os.Environ(), "FLEET_SECRET="+fleetSecret)
	if out, err := apply.CombinedOutput(); err != nil {
		f.t.Fatalf("apply: %v\n%s", err, out)
	}
	api.stop()
	f.members = f.members[:len(f.members)-1]
}

// end ends what still runs, in order, so that the next test does not wait for members
// that are gone, and shows the logs' ends when the test has failed.
func (f *fleet) end() {
	f.client.CloseIdleConnections()
	for _, m := range f.members {
		if m.process != nil {
			_ = m.process.Signal(sigterm) // it is killed below
		}
	}
	grace := time.After(40 * time.Second)
	for _, m := range f.members {
		if m.process != nil {
			select {
			case <-m.process.Done():
			case <-grace:
			}
		}
	}
	for i, m := range f.members {
		if m.process != nil {
			if err := m.process.Kill(); err != nil {
				f.t.Error(err)
			}
		}
		if f.t.Failed() {
			f.t.Logf("%s %d:\n%s", m.role, i, m.tail())
		}
	}
}

// start starts a new process of the role and waits until it is ready.
func (f *fleet) start(role string) *fleetMember {
	f.t.Helper()
	m := f.add(role)
	m.start()
	m.awaitReady()
	return m
}

// add makes a process that does not run yet.
func (f *fleet) add(role string) *fleetMember {
	f.t.Helper()
	m := &fleetMember{f: f, role: role, log: filepath.Join(f.dir, fmt.Sprintf("%s-%d.log", role, len(f.members)))}
	for _, at := range []*string{&m.listen, &m.ops} {
		port, err := kafkatest.FreePort()
		if err != nil {
			f.t.Fatal(err)
		}
		*at = fmt.Sprintf("127.0.0.1:%d", port)
	}
	f.members = append(f.members, m)
	if role == "ingress" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.doors = append(f.doors, m.listen)
	}
	return m
}

func (m *fleetMember) start() {
	m.f.t.Helper()
	drain := "1s" // of several restarts in a row
	if long() {
		drain = "5s"
	}
	var err error
	m.process, err = kafkatest.Spawn(m.log, []string{
		"FLEET_SECRET=" + fleetSecret, "CAUSEWAY_SECRETS_ALLOW=env:FLEET_SECRET", "CAUSEWAY_INGRESS_DRAIN_DELAY=" + drain, "CAUSEWAY_INGRESS_LISTEN=" + m.listen, "CAUSEWAY_ADMIN_LISTEN=" + m.listen, "CAUSEWAY_OPS_LISTEN=" + m.ops,
	}, m.f.binary, m.role, "-c", m.f.config)
	if err != nil {
		m.f.t.Fatal(err)
	}
}

func (m *fleetMember) awaitReady() {
	m.f.t.Helper()
	m.f.await(m.role+" is ready", func() error {
		select {
		case <-m.process.Done():
			m.f.t.Fatalf("%s ended: %v\n%s", m.role, m.process.Err(), m.tail())
		default:
		}
		_, err := get("http://" + m.ops + "/readyz")
		return err
	})
}

// stop asks the process to end, waits, and fails the test unless it ends with 0.
func (m *fleetMember) stop() {
	m.f.t.Helper()
	if err := m.process.Signal(sigterm); err != nil {
		m.f.t.Fatal(err)
	}
	select {
	case <-m.process.Done():
	case <-time.After(time.Minute):
		m.f.t.Fatalf("%s has not ended a minute after SIGTERM\n%s", m.role, m.tail())
	}
	if err := m.process.Err(); err != nil {
		m.f.t.Errorf("%s stopped with %v\n%s", m.role, err, m.tail())
	}
	m.process = nil
}

func (m *fleetMember) tail() []byte {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return []byte(err.Error())
	}
	var kept []string // what went well would hide the rest
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"level":"info"`) {
			kept = append(kept, line)
		}
	}
	return tail([]byte(strings.Join(kept, "")), 6000)
}

// memory is a figure of the process's memory, as VmRSS or VmHWM, in bytes.
func (m *fleetMember) memory(figure string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.process.Pid()))
	if err != nil {
		return 0 // not Linux: nothing is known, and nothing asserted
	}
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, figure+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// await tries until it works, for as long as a slow machine may take.
func (f *fleet) await(what string, try func() error) {
	f.t.Helper()
	if err := until(3*time.Minute, try); err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
}

// kafka is a client of the test's own.
func (f *fleet) kafka(opts ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(f.cluster.Seeds...), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	return client
}

// ingresses are the addresses of those processes; the load asks while more are added.
func (f *fleet) ingresses() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.doors)
}

// settle waits until everything acknowledged has arrived at both subscriptions.
func (f *fleet) settle(load *fleetLoad) {
	f.t.Helper()
	f.await("every acknowledged event at both subscriptions", func() error {
		var missing []string
		for id := range load.acknowledged() {
			for _, sub := range []string{"a", "b"} {
				if len(f.sink.answered(sub, id)) == 0 {
					missing = append(missing, sub+"/"+id)
				}
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d missing, like %s: %w", len(missing), missing[0], errMissing)
		}
		return nil
	})
}

var errMissing = errors.New("acknowledged and not delivered")

func long() bool { return os.Getenv("CLUSTER_LONG") != "" }

// pause lets load run for a while: short in CI, long by make cluster.
func pause(t *testing.T, short, whole time.Duration) {
	t.Helper()
	if long() {
		short = whole
	}
	select {
	case <-time.After(short):
	case <-t.Context().Done():
	}
}

func (f *fleet) kill(brokers ...int) {
	f.t.Helper()
	for _, i := range brokers {
		if err := f.cluster.Kill(i); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fleet) restart(brokers ...int) {
	f.t.Helper()
	if err := f.cluster.Restart(context.WithoutCancel(f.t.Context()), brokers...); err != nil {
		f.t.Fatal(err)
	}
}
