package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka/kafkatest"
)

// TestAdmins changes the catalog through three admin processes, by many clients at
// once, while the processes are killed and frozen at random, one of them for longer
// than a transaction lives. A ledger holds every call with what its client was told.
// In the end the topic itself is the witness: what was acknowledged is there, once and
// where the answer said; what was refused is not; what nobody knows of is whole or not
// there; nothing was written over what its writer had not seen; and whoever followed
// the catalog all along has come to the same end.
func TestAdmins(t *testing.T) {
	s := newShared(t)
	f := s.admins(t)
	admins := []*fleetMember{f.start("admin"), f.start("admin"), f.start("admin")}
	f.applyBase(admins[0])
	f.start("ingress")
	f.start("egress")

	load := f.adminLoad(admins, 8)
	f.torment(load, 20*time.Second)
	load.stop()
	for _, m := range admins {
		// What a client has given up may still be on its way in the process: it ends
		// before the process does. One that was just killed and started hears no signal yet.
		m.awaitReady()
		m.stop()
		m.start()
	}
	for _, m := range f.members {
		m.awaitReady()
	}
	f.judgeAdmins(load)
	f.sameEverywhere(load, admins)
}

// adminsLong makes TestAdmins go on for minutes.
func adminsLong() bool { return os.Getenv("ADMINS_LONG") != "" }

// admins makes a fleet whose catalog is empty.
func (s *shared) admins(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		t: t, cluster: s.cluster, binary: s.binary, dir: t.TempDir(), prefix: s.prefix,
		source: strings.TrimSuffix(kafkatest.Prefix(t), "."), client: &http.Client{Timeout: 12 * time.Second, Transport: apiTransport{&http.Transport{MaxIdleConnsPerHost: 256}}},
	}
	f.config = filepath.Join(f.dir, "causeway.yaml")
	file := fmt.Sprintf(`
kafka:
  brokers: [%s]
  prefix: %s
  topics: {partitions: 1}
secrets: {allow: [env:FLEET_SECRET]}
egress: {allow_networks: [127.0.0.0/8], allow_http: true}
`, strings.Join(s.cluster.Seeds, ", "), f.prefix)
	if err := os.WriteFile(f.config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	return f
}

// api is a client of one process.
func (m *fleetMember) api() *admin.Client {
	m.f.t.Helper()
	c, err := admin.NewClient(admin.ClientOptions{URL: "http://" + m.listen, HTTP: m.f.client})
	if err != nil {
		m.f.t.Fatal(err)
	}
	return c
}

// applyBase makes the source that subscriptions read.
func (f *fleet) applyBase(m *fleetMember) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	api, err := admin.NewClient(admin.ClientOptions{URL: "http://" + m.listen})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := api.Apply(ctx, admin.ApplyInput{Set: "base", Sources: []catalog.SourceSpec{
		{Name: f.source, Provider: "standard-webhooks", Secrets: []string{"env:FLEET_SECRET"}},
	}}); err != nil {
		f.t.Fatal(err)
	}
}

// torment kills and freezes the processes at random. One is frozen for longer than
// Kafka lets a transaction live, so that what it had begun is over when it goes on. It
// takes longer than whole where a slow machine has not got enough done by then.
func (f *fleet) torment(l *adminLoad, whole time.Duration) {
	f.t.Helper()
	admins := l.admins
	const longer = 12 * time.Second // than the 10 s of a transaction
	if adminsLong() {
		whole = 5 * time.Minute
	}
	end, latest := time.Now().Add(whole), time.Now().Add(whole+2*time.Minute)
	frozen, thaw := -1, time.Time{} // the one that is frozen for long
	kills, freezes, longs := 0, 0, 0
	for time.Now().Before(end) || frozen >= 0 || !l.enough() && time.Now().Before(latest) {
		<-time.After(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		if frozen >= 0 && time.Now().After(thaw) {
			f.resume(admins[frozen])
			frozen = -1
		}
		if frozen < 0 && time.Until(end) > longer || longs == 0 {
			frozen, thaw = rand.IntN(len(admins)), time.Now().Add(longer)
			f.freeze(admins[frozen])
			longs++
			continue
		}
		i := rand.IntN(len(admins))
		if i == frozen {
			continue
		}
		if rand.IntN(2) == 0 {
			kills++
			if err := admins[i].process.Kill(); err != nil {
				f.t.Fatal(err)
			}
			admins[i].start()
			continue
		}
		freezes++
		f.freeze(admins[i])
		<-time.After(time.Duration(500+rand.IntN(1500)) * time.Millisecond)
		f.resume(admins[i])
	}
	if !l.enough() {
		f.t.Errorf("only so much was acknowledged, which shows little: %v", l.told(acknowledged))
	}
	f.t.Logf("%d kills, %d short and %d long freezes", kills, freezes, longs)
}

func (f *fleet) freeze(m *fleetMember) {
	f.t.Helper()
	if err := m.process.Pause(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) resume(m *fleetMember) {
	f.t.Helper()
	if err := m.process.Resume(); err != nil {
		f.t.Fatal(err)
	}
}

// sameEverywhere waits until every process has come to the catalog's end, and compares
// what each API shows with what the topic holds.
func (f *fleet) sameEverywhere(l *adminLoad, admins []*fleetMember) {
	f.t.Helper()
	ends, err := kadm.NewClient(f.kafka()).ListCommittedOffsets(f.t.Context(), f.prefix+"catalog")
	if err != nil {
		f.t.Fatal(err)
	}
	end, _ := ends.Lookup(f.prefix+"catalog", 0)
	for _, m := range f.members {
		f.await(fmt.Sprintf("%s has read the catalog to %d", m.role, end.Offset), func() error { return m.atVersion(end.Offset) })
	}
	for i, m := range admins {
		shown := map[string]admin.Subscription{}
		for sub, err := range admin.Each(f.t.Context(), admin.ListOptions{Limit: 500}, m.api().Subscriptions) {
			if err != nil {
				f.t.Fatal(err)
			}
			shown[sub.UID] = sub
		}
		for uid, want := range l.last {
			got, ok := shown[uid]
			if !ok || got.Version != want.offset+1 || got.Spec.URL != want.url || got.Paused != want.paused || got.Set != want.set {
				f.t.Errorf("admin %d shows %+v where the topic holds %+v", i, got, *want)
			}
		}
		if len(shown) != len(l.last) {
			f.t.Errorf("admin %d shows %d subscriptions, and the topic holds %d", i, len(shown), len(l.last))
		}
	}
}

// atVersion is nil when the process works from that version of the catalog.
func (m *fleetMember) atVersion(want int64) error {
	text, err := get("http://" + m.ops + "/metrics")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "causeway_catalog_version "); ok {
			var got float64
			if _, err := fmt.Sscan(value, &got); err != nil || int64(got) != want {
				return fmt.Errorf("it works from version %s", strings.TrimSpace(value))
			}
			return nil
		}
	}
	return fmt.Errorf("it has no causeway_catalog_version")
}
