package catalog_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// past writes records past Update, as somebody with a console producer would.
func past(t *testing.T, b *kafkatest.Bubble, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(b.Options().Base("past")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		r.Topic = catalogTopic
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestACatalogThatIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		s, err := topicIn(t, b)().AwaitEnd(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		snapshot := catalog.NewCompiler(options()).Compile(s)
		if s.Len() != 0 || s.Version != 0 || !s.Unwritten() || len(snapshot.Sources) != 0 || len(snapshot.Subscriptions) != 0 {
			t.Errorf("%+v compiled to %+v", s, snapshot)
		}
	})
}

// What nobody can read counts as not written, is said once, and keeps nothing else from
// being read or written.
func TestARecordThatIsNoneSpoilsNothing(t *testing.T) {
	const good = `{"schema":1,"kind":"source","uid":"%[1]s","name":"%[1]s","created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}`
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		open := topicIn(t, b)
		stripe := entry(catalog.KindSource, "", "stripe")
		before := put(t, open(), stripe).Entry(stripe.Kind, stripe.UID)
		bad := []*kgo.Record{
			{Key: []byte("source/text"), Value: []byte("hello")},
			{Key: []byte("source/nothing"), Value: []byte{}},
			{Key: []byte(before.Key()), Value: []byte(`{"schema":1,"kind":"source",`)},
			{Key: []byte("source/list"), Value: []byte(`[]`)},
			{Key: []byte("source/null"), Value: []byte(`null`)},
			{Key: []byte("source/none"), Value: []byte(`{"kind":"source","uid":"none"}`)},
			{Key: []byte("source/zero"), Value: []byte(`{"schema":0,"kind":"source","uid":"zero"}`)},
			{Key: []byte("source/words"), Value: []byte(`{"schema":"one","kind":"source","uid":"words"}`)},
			{Key: []byte("source/shape"), Value: []byte(`{"schema":1,"kind":"source","uid":"shape","name":7}`)},
			{Key: []byte("source/twice"), Value: fmt.Appendf(nil, good+good, "twice")},
			{Key: []byte("source/one"), Value: fmt.Appendf(nil, good, "another")},
			{Key: []byte("subscription/other"), Value: fmt.Appendf(nil, good, "other")},
			{Key: []byte("source/"), Value: fmt.Appendf(nil, good, "")},
			{Key: []byte("lonely"), Value: fmt.Appendf(nil, good, "lonely")},
			{Value: fmt.Appendf(nil, good, "keyless")},
			{Key: []byte("\xff\xfe\x00"), Value: []byte("\xff\xfe\x00")},
		}
		past(t, b, slices.Concat(bad, []*kgo.Record{{Key: []byte("source/fine"), Value: fmt.Appendf(nil, good, "fine")}})...)

		core, logs := observer.New(zapcore.ErrorLevel)
		o := b.Options()
		topic := catalog.NewTopic(catalog.TopicOptions{Topic: catalogTopic, Transaction: "causeway.catalog", Client: o.Base, Logger: zap.New(core)})
		run(t, topic)
		github := entry(catalog.KindSource, "", "github")
		last := put(t, topic, github)
		for who, s := range map[string]*catalog.State{"the writer": reached(t, topic, last.Version), "a reader": now(t, open())} {
			kept := s.Entry(before.Kind, before.UID)
			if s.Len() != 3 || kept == nil || kept.Version != before.Version || s.Entry(catalog.KindSource, "fine") == nil || s.Entry(github.Kind, github.UID) == nil {
				t.Errorf("%s: %d entries, and that which was written over is %+v", who, s.Len(), kept)
			}
		}
		said := logs.All()
		if len(said) != len(bad) {
			t.Errorf("%d records that are none, and %d lines", len(bad), len(said))
		}
		for i, line := range said {
			fields := line.ContextMap()
			if !strings.Contains(line.Message, "counts as not written") || i < len(bad) && fields["offset"] != bad[i].Offset || strings.Contains(fmt.Sprint(fields), "hello") {
				t.Errorf("line %d: %s %v", i, line.Message, fields)
			}
		}
	})
}

// later is what a later release has written: a subscription in a form of its own, one
// without even a name, a tenant, a thing of another kind, and fields more than this
// release knows.
func later() map[string]string {
	return map[string]string{
		"subscription/6a2f6b4e-0000-4000-8000-000000000001": `{"schema":2,"kind":"subscription","uid":"6a2f6b4e-0000-4000-8000-000000000001","name":"billing","targets":["<a>"]}`,
		"subscription/6a2f6b4e-0000-4000-8000-000000000002": `{"schema":2,"title":["x"]}`,
		"source/6a2f6b4e-0000-4000-8000-000000000003":       `{"schema":3,"name":"robots","engine":{}}`,
		"tenant/acme": `{"schema":2,"plan":"gold"}`,
		"robot/r1":    `{"schema":1,"arms":2}`,
		"source/6a2f6b4e-0000-4000-8000-000000000004": `{"schema":1,"kind":"source","uid":"6a2f6b4e-0000-4000-8000-000000000004","name":"stripe","set":"team-a","mood":"good","spec":{"name":"stripe","provider":"stripe","secrets":["env:OLD"],"colour":"red"},"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}`,
	}
}

// TestALaterReleasesCatalog: the same in both kinds of a store.
func TestALaterReleasesCatalog(t *testing.T) {
	t.Run("topic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := kafkatest.NewBubble(t)
			open := topicIn(t, b)
			for key, value := range later() {
				past(t, b, &kgo.Record{Key: []byte(key), Value: []byte(value)})
			}
			topic := open()
			now(t, topic)
			heldAsItIs(t, topic)
			values := map[string]string{}
			client, err := kgo.NewClient(append(b.Options().Base("raw"), kgo.ConsumeTopics(catalogTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for end, read := topic.State().Version, int64(0); read < end; {
				client.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
					if read = r.Offset + 1; !r.Attrs.IsControl() {
						values[string(r.Key)] = string(r.Value)
					}
				})
			}
			writtenOn(t, func(key string) string { return values[key] })
		})
	})
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "catalog")
		lines := []string{`{"schema":1,"version":6}`}
		for key, value := range later() {
			lines = append(lines, fmt.Sprintf(`{"version":%d,"key":%q,"value":%s}`, len(lines), key, value))
		}
		lines = append(lines, `{"entries":6}`, "")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := catalog.OpenFile(path, catalog.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		heldAsItIs(t, f)
		if f, err = catalog.OpenFile(path, catalog.FileOptions{}); err != nil {
			t.Fatal(err)
		}
		stillHeld(t, f.State())
		values := map[string]string{}
		for line := range strings.Lines(read(t, path)) {
			var l struct {
				Key   string          `json:"key"`
				Value json.RawMessage `json:"value"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			values[l.Key] = string(l.Value)
		}
		writtenOn(t, func(key string) string { return values[key] })
	})
}

// heldAsItIs works with the catalog as this release does.
func heldAsItIs(t *testing.T, s store) {
	t.Helper()
	stillHeld(t, s.State())

	// Another entry is written beside them, and a set that has nothing to do with them.
	put(t, s, entry(catalog.KindSource, "", "github"))
	set := catalog.Set{Name: "team-a", Sources: []catalog.SourceSpec{source()}, Prune: true}
	if _, err := s.Update(t.Context(), func(now *catalog.State) (catalog.Changes, error) {
		ch, differences := now.Plan(set, "apply", time.Unix(100, 0))
		if len(differences) != 1 || differences[0].Action != catalog.ActionChange {
			t.Errorf("planned %+v", differences)
		}
		return ch, nil
	}); err != nil {
		t.Fatal(err)
	}
	stillHeld(t, s.State())

	// Those that a set has as well are not made a second time, and not written over.
	set.Subscriptions = []catalog.SubscriptionSpec{subscription()}
	set.Tenants = []catalog.TenantSpec{{Name: "acme"}}
	changes, differences := s.State().Plan(set, "apply", time.Unix(200, 0))
	if len(changes.Put)+len(changes.Remove) > 0 || len(differences) != 2 {
		t.Errorf("planned %+v", differences)
	}
	for _, d := range differences {
		if d.Action != catalog.ActionConflict || !strings.Contains(d.Text, "newer release") || !strings.Contains(d.Text, "update") {
			t.Errorf("planned %+v", d)
		}
	}

	// Here they cannot be used, and everything else can.
	t.Setenv("CATALOG_TEST", goodSecret)
	put(t, s, sourceEntry("stripe-2", strings.Replace(stripeSpec, `"stripe"`, `"stripe-2"`, 1)),
		subscriptionEntry("", "fine", strings.NewReplacer(`"billing"`, `"fine"`, "webhooks.stripe", "webhooks.stripe-2").Replace(billingSpec)),
		subscriptionEntry("acme", "theirs", strings.Replace(billingSpec, `"billing"`, `"theirs"`, 1)))
	snapshot := catalog.NewCompiler(options()).Compile(s.State())
	faults := map[string]error{}
	for _, src := range snapshot.Sources {
		faults["source "+src.Name] = src.Fault
	}
	for _, sub := range snapshot.Subscriptions {
		faults["subscription "+sub.Name] = sub.Fault
	}
	for what, newer := range map[string]bool{
		"source robots": true, "subscription billing": true, "subscription ": true, "subscription theirs": true,
		"source stripe-2": false, "subscription fine": false,
	} {
		fault, there := faults[what]
		switch {
		case !there || newer != (fault != nil):
			t.Errorf("%s: there %t, fault %v", what, there, fault)
		case newer && (!strings.Contains(fault.Error(), "newer release") || !strings.Contains(fault.Error(), "update") || strings.Contains(fault.Error(), "\n")):
			t.Errorf("%s: fault %v", what, fault)
		}
	}
	if slices.Contains(snapshot.Readable(), "webhooks.") {
		t.Error("a topic is made up for a source that cannot be read")
	}
}

func stillHeld(t *testing.T, s *catalog.State) {
	t.Helper()
	newer := 0
	for key := range later() {
		kind, uid, _ := strings.Cut(key, "/")
		e := s.Entry(catalog.Kind(kind), uid)
		if e == nil {
			t.Fatalf("%s is gone", key)
		}
		if e.Newer() {
			newer++
		}
	}
	if newer != 5 {
		t.Errorf("%d entries are a newer release's, want 5", newer)
	}
}

// writtenOn checks the values after heldAsItIs.
func writtenOn(t *testing.T, value func(key string) string) {
	t.Helper()
	for key, before := range later() {
		after := value(key)
		if !strings.Contains(before, `"mood"`) {
			if after != before {
				t.Errorf("%s: got %s, want %s", key, after, before)
			}
			continue
		}
		for _, want := range []string{`"mood":"good"`, `"colour":"red"`} {
			if !strings.Contains(after, want) || strings.Contains(after, "env:OLD") {
				t.Errorf("%s: got %s, want %s in it and the new spec", key, after, want)
			}
		}
	}
}
