package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/secret"
)

// aclWorld is a secured Kafka on which each verb has a user of its own, who may do
// what check --acls prints and nothing else.
type aclWorld struct {
	t                        *testing.T
	prefix, sources, foreign string
	url                      string // of the subscriber
	root                     *kgo.Client
}

func (w *aclWorld) user(verb string) string { return w.prefix + verb }

// process is a process of one verb, with its process file.
func (w *aclWorld) process(verb string) (*securedProcess, string) {
	w.t.Helper()
	p := newSecuredProcess(w.t)
	token := kafkatest.Token(w.user(verb), time.Now().Add(time.Hour))
	p.write("token", token)
	p.write("source", "a-source-secret-canary")
	p.write("delivery", bridgeSecret)
	p.secrets = append(p.secrets, token, "a-source-secret-canary")
	return p, p.write("causeway.yaml", strings.NewReplacer(
		"DIR", p.dir, "CA.PEM", p.cluster.CAFile, "BROKER", p.cluster.SASL, "PREFIX", w.prefix, "SOURCES", w.sources, "FOREIGN", w.foreign,
		"INGRESS", p.ingress, "ADMIN", p.ingress, "OPS", p.ops, "URL", w.url,
	).Replace(`kafka:
  brokers: ["BROKER"]
  prefix: "PREFIX"
  tls: {enabled: true, ca_file: "CA.PEM"}
  sasl: {mechanism: OAUTHBEARER, token: "file:DIR/token"}
  topics: {allow: ["SOURCES*"], partitions: 1}
ingress:
  listen: "INGRESS"
  drain_delay: 0s
  sources: [{name: ok, topic: "SOURCESok", provider: basic, basic: {username: me}, secrets: ["file:DIR/source"]}]
egress:
  allow_http: true
  topics: [{name: "FOREIGN", format: json}]
  subscriptions: [{name: s, topics: ["SOURCESok", "FOREIGN"], url: "URL", secrets: ["file:DIR/delivery"], retry: {schedule: [1s]}}]
admin: {listen: "ADMIN"}
secrets: {allow: ["file:DIR/*"]}
ops: {listen: "OPS"}
log: {format: json}
`))
}

// client connects as the user of a verb.
func (w *aclWorld) client(verb string, more ...kgo.Opt) (*kgo.Client, kafka.Options) {
	w.t.Helper()
	p, path := w.process(verb)
	file, err := readConfig(path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	security := file.connection(secret.NewResolver())
	o := kafka.Options{Brokers: []string{p.cluster.SASL}, Prefix: w.prefix, TLS: security.tls, SASL: security.sasl, Extra: []kgo.Opt{kgo.DisableClientMetrics()}}
	client, err := kgo.NewClient(append(o.Base(verb), more...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client, o
}

// newACLWorld makes the ACLs that check --acls prints.
func newACLWorld(t *testing.T, url string) *aclWorld {
	w := &aclWorld{t: t, prefix: kafkatest.Prefix(t), sources: kafkatest.Prefix(t), foreign: kafkatest.Prefix(t) + "foreign", url: url}
	p, path := w.process("check")
	w.root = p.admin()
	args := []string{"check", "--acls", "-c", path}
	for _, verb := range aclVerbs() {
		args = append(args, "--principal", verb+"=User:"+w.user(verb))
	}
	var out, say bytes.Buffer
	if code := run(t.Context(), args, &out, &say); code != 0 || say.Len() > 0 {
		t.Fatalf("check --acls ends with %d and says %s", code, &say)
	}
	made := 0
	for line := range strings.Lines(out.String()) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			w.make(words)
			made++
		}
	}
	if made < 20 {
		t.Fatalf("only %d commands in\n%s", made, &out)
	}
	return w
}

// make does what a command of kafka-acls.sh does.
func (w *aclWorld) make(words []string) {
	w.t.Helper()
	b := kadm.NewACLs().AllowHosts("*").ResourcePatternType(kmsg.ACLResourcePatternTypeLiteral)
	var operations []kmsg.ACLOperation
	for i := 1; i < len(words); i++ {
		value := ""
		if words[i] != "--add" {
			value = words[i+1]
		}
		switch words[i] {
		case "--add":
			continue
		case "--bootstrap-server":
		case "--allow-principal":
			b = b.Allow(value)
		case "--operation":
			op, err := kmsg.ParseACLOperation(value)
			if err != nil {
				w.t.Fatal(err)
			}
			operations = append(operations, op)
		case "--topic":
			b = b.Topics(value)
		case "--group":
			b = b.Groups(value)
		case "--transactional-id":
			b = b.TransactionalIDs(value)
		case "--resource-pattern-type":
			if value != "prefixed" {
				w.t.Fatalf("pattern type %s", value)
			}
			b = b.ResourcePatternType(kmsg.ACLResourcePatternTypePrefixed)
		default:
			w.t.Fatalf("kafka-acls.sh has no %s in %s", words[i], strings.Join(words, " "))
		}
		i++
	}
	if made := makeACLs(w.t, w.root, b.Operations(operations...)); made != len(operations) {
		w.t.Fatalf("%s: %d ACLs made", strings.Join(words, " "), made)
	}
}

// makeACLs makes ACLs and waits until the only broker goes by them: the controller
// acknowledges them earlier.
func makeACLs(t *testing.T, root *kgo.Client, b *kadm.ACLBuilder) int {
	t.Helper()
	admin := kadm.NewClient(root)
	made, err := admin.CreateACLs(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		if m.Err != nil {
			t.Fatal(m.Err)
		}
	}
	if err := until(time.Minute, func() error {
		there, err := admin.DescribeACLs(t.Context(), b)
		for _, d := range there {
			if err == nil && len(d.Described) == 0 {
				err = fmt.Errorf("the broker does not know the ACL yet: %w", d.Err)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return len(made)
}

// moody fails the first attempt of each body with "once" in it, and all of those with
// "never".
func moody(t *testing.T) *subscriber {
	r := &subscriber{got: map[string]int{}}
	seen := map[string]bool{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if text := string(body); strings.Contains(text, "never") || strings.Contains(text, "once") && !seen[text] {
			seen[text] = true
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.got[string(body)]++
	}))
	t.Cleanup(r.Close)
	return r
}

// records counts what was ever written to a topic.
func (w *aclWorld) records(topic string) (n int64) {
	w.t.Helper()
	ends, err := kadm.NewClient(w.root).ListEndOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// TestTheBridgeUnderTheACLsThatArePrinted runs every verb as the user whom check --acls
// is for, from topics that are not there to a dead letter.
func TestTheBridgeUnderTheACLsThatArePrinted(t *testing.T) {
	r := moody(t)
	w := newACLWorld(t, r.URL)
	if _, err := kadm.NewClient(w.root).CreateTopic(t.Context(), 1, 1, nil, w.foreign); err != nil {
		t.Fatal(err)
	}

	w.apply()
	in, path := w.process("ingress")
	in.start(roles{ingress: true}, path)
	in.readyz(`"ready":true`)
	out, path := w.process("egress")
	out.start(roles{egress: true}, path)
	out.readyz(`"ready":true`)
	for _, body := range []string{`"at once"`, `"once"`, `"never"`} {
		if status, answer := in.post("ok", body); status != 200 {
			t.Errorf("the door answers %d %s", status, answer)
		}
	}
	foreign := &kgo.Record{Topic: w.foreign, Value: []byte(`"foreign"`)}
	if err := w.root.ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.await(t, `"at once"`, `"once"`, `"foreign"`)
	if err := until(time.Minute, func() error {
		if letters, attempts := w.records(w.prefix+"dlq"), w.records(w.prefix+"attempts"); letters != 1 || attempts < 6 {
			return fmt.Errorf("%d dead letters, %d attempts, want 1 and 6", letters, attempts)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	w.administer()
	w.look()

	for verb, p := range map[string]*securedProcess{"ingress": in, "egress": out} {
		p.readyz(`"ready":true`, "!egress_topics", "!ingress_topics", "!topic_settings", "!topics_present")
		p.stop()
		if text := p.out.String(); strings.Contains(text, "AUTHORIZATION") || strings.Contains(text, "denie") {
			t.Errorf("%s was denied something:\n%s", verb, text)
		}
	}
}

// apply runs admin as its user, and puts what the process file says into the catalog.
func (w *aclWorld) apply() {
	t := w.t
	t.Helper()
	p, path := w.process("admin")
	p.start(roles{admin: true}, path)
	p.readyz(`"ready":true`)
	var out bytes.Buffer
	args := []string{"apply", "-c", path, "-f", path, "--set", "test", "--server", "http://" + p.ingress, "--data", t.TempDir()}
	if code := run(t.Context(), args, &out, &out); code != 0 {
		t.Fatalf("apply ends with %d and says %s\n%s", code, &out, p.out.String())
	}
	out.Reset()
	if code := run(t.Context(), []string{"topic", "lag", "--server", "http://" + p.ingress, "--data", t.TempDir()}, &out, &out); code != 0 || !strings.Contains(out.String(), w.sources+"ok") {
		t.Errorf("topic lag ends with %d and says %s", code, &out)
	}
	p.stop()
	if text := p.out.String(); strings.Contains(text, "AUTHORIZATION") || strings.Contains(text, "denie") {
		t.Errorf("admin was denied something:\n%s", text)
	}
}

// administer does what admin does in Kafka, as its user.
func (w *aclWorld) administer() {
	t := w.t
	t.Helper()
	client, o := w.client("admin")
	plan := kafka.Plan(kafka.PlanOptions{Prefix: w.prefix, Brokers: 1, Partitions: 1, Sources: []kafka.SourceTopic{{Name: w.sources + "ok"}, {Name: w.sources + "new"}}})
	created, err := kafka.Ensure(t.Context(), client, plan)
	if want := []string{w.sources + "new"}; err != nil || strings.Join(created, " ") != strings.Join(want, " ") {
		t.Errorf("admin made %v, %v, want %v", created, err, want)
	}
	findings, err := kafka.Check(t.Context(), client, plan, kafka.CheckOptions{Use: kafka.Use{Admin: true}})
	if err != nil || len(findings) > 0 {
		t.Errorf("admin finds %v, %v", findings, err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: w.prefix + "audit", Value: []byte("who did what")}).FirstErr(); err != nil {
		t.Errorf("admin cannot write the audit: %v", err)
	}
	lags, err := kadm.NewClient(client).Lag(t.Context(), w.prefix+"egress", w.prefix+"delay")
	if err != nil || lags.Error() != nil {
		t.Errorf("admin cannot look up lag: %v, %v", err, lags.Error())
	}
	var topics int
	lags.Each(func(l kadm.DescribedGroupLag) {
		if l.Error() != nil {
			t.Errorf("lag of %s: %v", l.Group, l.Error())
		}
		topics += len(l.Lag)
	})
	if topics < 11 {
		t.Errorf("admin sees the lag of %d topics, want that of the source's, the foreign one and the delay topics", topics)
	}
	e := &catalog.Entry{Kind: catalog.KindSource, UID: catalog.NewUID(), Name: "new"}
	if err := e.SetSpec(catalog.SourceSpec{Name: "new", Provider: "stripe", Topic: w.sources + "new", Secrets: []string{"env:OF_NOBODY_HERE"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	state, err := w.catalog("admin", o).Update(ctx, func(*catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Put: []*catalog.Entry{e}}, nil
	})
	if err != nil || state.Entry(e.Kind, e.UID) == nil {
		t.Fatalf("admin cannot write the catalog: %v", err)
	}
	for _, verb := range []string{"ingress", "egress"} {
		_, o := w.client(verb)
		c := w.catalog(verb, o)
		for state, moved := c.Next(); state.Entry(e.Kind, e.UID) == nil; state, moved = c.Next() {
			select {
			case <-moved:
			case <-time.After(time.Minute):
				t.Fatalf("%s cannot read the catalog", verb)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := c.Update(ctx, func(*catalog.State) (catalog.Changes, error) {
			return catalog.Changes{Remove: []*catalog.Entry{e}}, nil
		})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED") {
			t.Errorf("%s may write the catalog: %v", verb, err)
		}
	}
}

// catalog reads the catalog as the user of a verb, until the test ends.
func (w *aclWorld) catalog(verb string, o kafka.Options) *catalog.Topic {
	c := catalog.NewTopic(catalog.TopicOptions{Topic: w.prefix + "catalog", Transaction: w.prefix + "catalog", Client: o.Base})
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Errorf("the catalog of %s: %v", verb, err)
		}
	})
	w.t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// look does what tail, topic and check do, each as its user.
func (w *aclWorld) look() {
	w.t.Helper()
	source := w.sources + "ok"
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"tail", source, "--from-start", "-n", "1"}, []string{`"at once"`}},
		{[]string{"tail", w.prefix + "dlq", "--from-start", "-n", "1"}, []string{"exhausted"}},
		{[]string{"tail", w.prefix + "attempts", "--from-start", "-n", "1"}, []string{"attempt 1 of"}},
		{[]string{"tail", w.foreign, "--from-start", "-n", "1"}, []string{`"foreign"`}},
		{[]string{"topic", "list"}, []string{source, w.prefix + "catalog", w.foreign}},
		{[]string{"topic", "describe", source}, []string{"retention.ms"}},
		// Missing of its own rights are only those that the roles need, which it is told.
		{[]string{"check"}, []string{"kafka: 14 topics, 14 as planned", "ACLs deny WRITE on topic " + source + " (ingress)", "ACLs deny READ on topic " + w.foreign + " (egress)", "nothing wrong"}},
	} {
		_, path := w.process(tc.args[0])
		var out, say bytes.Buffer
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		code := run(ctx, append(tc.args, "-c", path), &out, &say)
		cancel()
		for _, want := range tc.want {
			if code != 0 || !strings.Contains(out.String(), want) {
				w.t.Errorf("%v ends with %d, says %s, and does not print %q:\n%s", tc.args, code, &say, want, &out)
			}
		}
	}
}

// TestWhatThePrintedACLsDeny asks Kafka itself, for each verb, what its user must not.
func TestWhatThePrintedACLsDeny(t *testing.T) {
	w := newACLWorld(t, "http://127.0.0.1:1")
	source := w.sources + "ok"
	plan := kafka.Plan(kafka.PlanOptions{Prefix: w.prefix, Brokers: 1, Partitions: 1, Tiers: []string{"5s"}, Sources: []kafka.SourceTopic{{Name: source}, {Name: w.foreign}}})
	if _, err := kafka.Ensure(t.Context(), w.root, plan); err != nil {
		t.Fatal(err)
	}
	for _, topic := range plan { // so that whoever may read has something to read
		if err := w.root.ProduceSync(t.Context(), &kgo.Record{Topic: topic.Name, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, topic := range plan {
		all = append(all, topic.Name)
	}
	own := func(names ...string) []string {
		for i := range names {
			names[i] = w.prefix + names[i]
		}
		return names
	}
	for verb, may := range map[string]struct{ read, write []string }{
		"ingress": {own("catalog"), []string{source}},
		"egress":  {append(own("catalog", "delay.5s"), source, w.foreign), own("delay.5s", "dlq", "attempts")},
		"admin":   {own("catalog"), own("catalog", "audit")},
		"tail":    {append(own("delay.5s", "dlq", "attempts"), source, w.foreign), nil},
		"topic":   {},
		"check":   {},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			for _, topic := range all {
				if err, want := w.reads(t, verb, topic), slices.Contains(may.read, topic); (err == nil) != want || err != nil && !kafka.IsDenied(err) {
					t.Errorf("reading %s: %v, want it allowed: %v", topic, err, want)
				}
				if err, want := w.writes(t, verb, topic), slices.Contains(may.write, topic); (err == nil) != want || err != nil && !kafka.IsDenied(err) {
					t.Errorf("writing %s: %v, want it allowed: %v", topic, err, want)
				}
			}
			client, _ := w.client(verb)
			admin := kadm.NewClient(client)
			if deleted, err := admin.DeleteTopics(t.Context(), all...); err != nil || deleted.Error() == nil || !kafka.IsDenied(deleted.Error()) {
				t.Errorf("deleting topics: %v, %v", deleted, err)
			}
			if made, err := admin.CreateTopics(t.Context(), 1, 1, nil, w.prefix[:4]+"-of-somebody-else"); err != nil || !kafka.IsDenied(made.Error()) {
				t.Errorf("making a topic that is not causeway's: %v, %v", made, err)
			}
		})
	}
}

// reads reads a record of the topic as the user of a verb.
func (w *aclWorld) reads(t *testing.T, verb, topic string) error {
	t.Helper()
	client, _ := w.client(verb, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return e.Err
		}
		if fetches.NumRecords() > 0 {
			return nil
		}
	}
}

// writes writes a record to the topic as the user of a verb.
func (w *aclWorld) writes(t *testing.T, verb, topic string) error {
	t.Helper()
	client, _ := w.client(verb, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("w")}).FirstErr()
}
