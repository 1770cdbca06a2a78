package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

// TestAnApplyThatIsCutOff applies many entries at once, and ends the process of the API
// with kill -9 or the verb with Ctrl-C at any moment of it. Whoever reads the catalog
// sees all of them as one apply left them, at each moment, and never anything older than
// what was acknowledged.
func TestAnApplyThatIsCutOff(t *testing.T) {
	s := newShared(t)
	f := s.admins(t)
	m := f.start("admin")
	f.applyBase(m)
	b := &bigSet{fleet: f, admin: m, size: 5_000, rounds: 5}
	if adminsLong() {
		b.size, b.rounds = 100_000, 12
	}
	stop := b.follow()
	began := time.Now()
	b.apply()
	took := time.Since(began) // and the first one is the fastest
	b.check()
	for range b.rounds {
		b.killed(took)
		b.check()
	}
	b.interrupted(took)
	b.apply() // what is left of the others is over then
	stop()
	b.check()
	if b.cut == 0 {
		t.Error("every apply came to its end: the test shows nothing")
	}
	t.Logf("%d entries, first applied in %v; %d of %d applies were cut off, %d of these are whole; versions of the catalog seen: %d; most memory of the process: %d MiB",
		b.size, took.Round(time.Millisecond), b.cut, b.tried, b.wholeAlthough, b.versions, b.peak()>>20)
}

// bigSet is a set of many subscriptions, all of which name the apply that made them.
type bigSet struct {
	*fleet
	admin        *fleetMember
	size, rounds int

	tried, cut, wholeAlthough int

	mu       sync.Mutex
	acked    int // the newest apply that was acknowledged
	seen     int // the one that the catalog shows
	versions int
}

// input is what the next apply puts in.
func (b *bigSet) input() admin.ApplyInput {
	b.mu.Lock()
	b.tried++
	try := b.tried
	b.mu.Unlock()
	in := admin.ApplyInput{Set: "big", Prune: true}
	for i := range b.size {
		in.Subscriptions = append(in.Subscriptions, catalog.SubscriptionSpec{
			Name: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("https://example.com/%d", try),
			Sources: []string{b.source}, Secrets: []string{"env:FLEET_SECRET"},
		})
	}
	return in
}

// call applies what was made for one try, and notes when it is acknowledged.
func (b *bigSet) call(in admin.ApplyInput) error {
	try := b.tried
	api, err := admin.NewClient(admin.ClientOptions{URL: "http://" + b.admin.listen, HTTP: &http.Client{Timeout: 2 * time.Minute}})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := api.Apply(context.Background(), in); err != nil {
		return err
	}
	b.note(try)
	return nil
}

func (b *bigSet) note(try int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked = max(b.acked, try)
}

// apply applies once. What the interrupted verb began may still be going on, and refuses
// another beside it.
func (b *bigSet) apply() {
	b.t.Helper()
	in := b.input()
	b.await("the set is applied", func() error { return b.call(in) })
}

// killed applies, and kills the process in the middle of it, or after it when it was quick.
func (b *bigSet) killed(took time.Duration) {
	b.t.Helper()
	in := b.input()
	done := make(chan error, 1)
	go func() { done <- b.call(in) }()
	<-time.After(rand.N(took))
	if err := b.admin.process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	err := <-done
	b.admin.start()
	b.admin.awaitReady()
	b.counted(err)
}

// interrupted ends the verb in the middle. The process of the API goes on or does not.
func (b *bigSet) interrupted(took time.Duration) {
	b.t.Helper()
	in := b.input()
	text, err := json.Marshal(map[string]any{"subscriptions": in.Subscriptions})
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, "big.yaml") // JSON is YAML
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.t.Fatal(err)
	}
	verb, err := kafkatest.Spawn(filepath.Join(b.dir, "apply.log"), []string{"FLEET_SECRET=" + fleetSecret},
		b.binary, "apply", "-f", path, "--set", "big", "--prune", "--server", "http://"+b.admin.listen)
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case <-time.After(rand.N(2 * took)): // it reads the file first
	case <-verb.Done():
	}
	if verb.Signal(syscall.SIGINT) == nil {
		<-verb.Done()
	}
	if b.counted(verb.Err()); verb.Err() == nil {
		b.note(b.tried)
	}
}

func (b *bigSet) counted(err error) {
	if err == nil {
		return
	}
	b.cut++
	// Until the next writer, which fences it, the end of a transaction may be open.
	state := b.settled()
	if b.shown(state) == b.tried {
		b.wholeAlthough++
	}
}

// settled writes something else, and reads the catalog after that.
func (b *bigSet) settled() *catalog.State {
	b.t.Helper()
	topic, stop := b.topic()
	defer stop()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	state, err := topic.Update(ctx, func(s *catalog.State) (catalog.Changes, error) {
		e := s.Named(catalog.KindSource, "", b.source).Copy()
		e.Paused = !e.Paused
		return catalog.Changes{Put: []*catalog.Entry{e}}, nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

// topic reads the catalog as any process does.
func (b *bigSet) topic() (*catalog.Topic, func()) {
	o := kafka.Options{Brokers: b.cluster.Seeds, ClientID: "test"}
	topic := catalog.NewTopic(catalog.TopicOptions{Topic: b.prefix + "catalog", Transaction: b.prefix + "catalog", Client: o.Base})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := topic.Run(ctx); err != nil {
			b.t.Errorf("read the catalog: %v", err)
		}
	})
	return topic, func() { cancel(); running.Wait() }
}

// follow looks at each version of the catalog from now on.
func (b *bigSet) follow() (stop func()) {
	topic, end := b.topic()
	quit := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			state, changed := topic.Next()
			if state != nil {
				b.look(state)
			}
			select {
			case <-changed:
			case <-quit:
				return
			}
		}
	})
	return func() { close(quit); looking.Wait(); end() }
}

// look checks that the set is whole, and no older than it was before.
func (b *bigSet) look(s *catalog.State) {
	try := b.shown(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.versions++
	if try < b.seen {
		b.t.Errorf("version %d shows apply %d after %d", s.Version, try, b.seen)
	}
	b.seen = max(b.seen, try)
}

// shown is the apply that all entries of the set name; 0: there are none.
func (b *bigSet) shown(s *catalog.State) int {
	tries := map[string]int{}
	for e := range s.All(catalog.KindSubscription) {
		if e.Set != "big" {
			continue
		}
		spec, err := e.Subscription()
		if err != nil {
			b.t.Error(err)
		}
		tries[strings.TrimPrefix(spec.URL, "https://example.com/")]++
	}
	if len(tries) == 0 {
		return 0
	}
	for text, n := range tries {
		if len(tries) > 1 || n != b.size {
			b.t.Errorf("version %d of the catalog is of more than one apply, or of a part: %v", s.Version, tries)
		}
		try, err := strconv.Atoi(text)
		if err != nil {
			b.t.Error(err)
		}
		return try
	}
	return 0
}

// check reads the catalog once more from its beginning.
func (b *bigSet) check() {
	b.t.Helper()
	try := b.shown(b.settled())
	b.mu.Lock()
	defer b.mu.Unlock()
	if try < b.acked {
		b.t.Errorf("the catalog shows apply %d, and %d was acknowledged", try, b.acked)
	}
}

// peak is the most memory that the process has had, in bytes.
func (b *bigSet) peak() int64 { return b.admin.memory("VmHWM") }
