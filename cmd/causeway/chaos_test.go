package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const chaosSecret = "whsec_c2VjcmV0LW9mLXRoZS1jaGFvcy10ZXN0LTMyYg=="

// TestKillNine kills the whole of causeway dev at random under load, again and
// again. A ledger holds every 200, synced to disk before the next webhook is sent;
// at the end each of its events must have reached both subscriptions, and every
// delivery that came twice must have been in flight at a kill: its offset was not
// below the group's commit, as last seen from outside before the kill.
func TestKillNine(t *testing.T) {
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv("CHAOS_ROUNDS")); err == nil {
		rounds = n
	}
	c := newChaos(t)
	for round := range rounds {
		c.start()
		load := c.load(fmt.Sprintf("r%d", round))
		c.await("100 deliveries in flight", func() bool { return c.sink.inFlight.Load() >= 100 })
		<-time.After(rand.N(2 * time.Second))
		c.kill()
		load()
	}
	c.start()
	defer c.kill()
	c.await("every acknowledged event at both subscriptions", func() bool { return len(c.missing()) == 0 })
	c.judge()
}

type chaos struct {
	t                *testing.T
	binary, dir      string
	config           string
	ingress, brokers string
	scheme           *signature.Compiled
	key              signature.Key
	sink             *chaosSink
	ledger           *ledger

	cmd       *exec.Cmd
	stopWatch context.CancelFunc
	log       *bytes.Buffer
	seen      atomic.Int64 // the commit of the group of events, as last seen
	kills     []killed
}

// killed is one kill: when, and which commit was last seen before it.
type killed struct {
	at     time.Time
	commit int64
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	dir := t.TempDir()
	c := &chaos{t: t, dir: dir, binary: filepath.Join(dir, "causeway"), sink: newChaosSink(t, 300*time.Millisecond), ledger: newLedger(t, filepath.Join(dir, "ledger"))}
	build := exec.Command("go", "build", "-o", c.binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var err error
	if c.scheme, err = signature.Standard().Compile(); err != nil {
		t.Fatal(err)
	}
	if c.key, err = c.scheme.Key(secret.New([]byte(chaosSecret)), false); err != nil {
		t.Fatal(err)
	}
	c.ingress, c.brokers = freeAddress(t), freeAddress(t)
	c.config = filepath.Join(dir, "causeway.yaml")
	file := fmt.Sprintf(`
ingress:
  listen: %s
  sources:
    - name: shop
      provider: standard-webhooks
      secrets: [env:CHAOS_SECRET]
ops: {listen: %s}
egress:
  subscriptions:
    - name: a
      topics: [webhooks.shop]
      url: %s/a
      secrets: [env:CHAOS_SECRET]
      max_concurrency: 200
    - name: b
      topics: [webhooks.shop]
      url: %s/b
      secrets: [env:CHAOS_SECRET]
      max_concurrency: 200
`, c.ingress, freeAddress(t), c.sink.server.URL, c.sink.server.URL)
	if err := os.WriteFile(c.config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd != nil {
			c.kill()
		}
	})
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// start runs the process until it accepts connections.
func (c *chaos) start() {
	c.t.Helper()
	c.log = &bytes.Buffer{}
	c.cmd = exec.Command(c.binary, "dev", "-c", c.config, "--data", filepath.Join(c.dir, "data"), "--broker-listen", c.brokers, "--log-format", "json")
	c.cmd.Env = append(os.Environ(), "CHAOS_SECRET="+chaosSecret)
	c.cmd.Stdout, c.cmd.Stderr = io.Discard, c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.await("causeway dev accepts connections", func() bool {
		conn, err := net.Dial("tcp", c.ingress)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	ctx, stop := context.WithCancel(context.Background())
	c.stopWatch = stop
	go c.watchCommit(ctx)
}

// watchCommit follows the commit of the group of events from outside.
func (c *chaos) watchCommit(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers))
	if err != nil {
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		offsets, err := kadm.NewClient(client).FetchOffsets(ctx, "causeway.egress")
		if o, ok := offsets.Lookup("webhooks.shop", 0); err == nil && ok && o.At > c.seen.Load() {
			c.seen.Store(o.At)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (c *chaos) kill() {
	c.t.Helper()
	c.kills = append(c.kills, killed{time.Now(), c.seen.Load()})
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = c.cmd.Wait() // says that it was killed
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.cmd = nil
}

// load sends webhooks from 32 senders until the process is gone. It gives a
// function that waits for them to stop.
func (c *chaos) load(round string) (wait func()) {
	var senders sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 10 * time.Second}
	for s := range 32 {
		senders.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", round, s, n)
				status, err := c.post(client, id)
				if err != nil {
					return // killed under us: this one was never acknowledged
				}
				if status == http.StatusOK {
					c.ledger.add(id)
				}
			}
		})
	}
	return func() {
		senders.Wait()
		client.CloseIdleConnections()
	}
}

func (c *chaos) post(client *http.Client, id string) (int, error) {
	body := []byte(`{"id":"` + id + `","type":"order.paid"}`)
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.ingress+"/webhooks/shop", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Webhook-Id", id)
	m := &signature.Message{Method: http.MethodPost, Header: req.Header, Body: body}
	if err := c.scheme.Sign(m, []signature.Key{c.key}, time.Now()); err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// await waits for a condition and fails the test when it does not come true.
func (c *chaos) await(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not within 90 s; %d acknowledged, %d in flight\n%s", what, len(c.ledger.ids()), c.sink.inFlight.Load(), tail(c.log.Bytes(), 4000))
		}
		<-time.After(10 * time.Millisecond)
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// missing lists what was acknowledged and has not arrived.
func (c *chaos) missing() []string {
	var missing []string
	for _, id := range c.ledger.ids() {
		for _, sub := range []string{"a", "b"} {
			if len(c.sink.answered(sub, id)) == 0 {
				missing = append(missing, sub+"/"+id)
			}
		}
	}
	return missing
}

// judge looks at everything that came twice.
func (c *chaos) judge() {
	c.t.Helper()
	offsets := c.offsets()
	acknowledged := c.ledger.ids()
	doubled, stored := 0, len(offsets)
	for key, times := range c.sink.all() {
		if len(times) < 2 {
			continue
		}
		doubled += len(times) - 1
		_, id, _ := strings.Cut(key, "/")
		for i := 1; i < len(times); i++ {
			if !c.wasInFlight(offsets[id], times[i-1], times[i]) {
				c.t.Errorf("%s (offset %v) was delivered again although it was committed", key, offsets[id])
			}
		}
	}
	c.t.Logf("%d kills; %d events acknowledged, %d stored; %d deliveries, %d of them again",
		len(c.kills), len(acknowledged), stored, 2*stored, doubled)
}

// wasInFlight says whether a kill between the two deliveries explains the second:
// one of the event's offsets was not below the commit last seen before it.
func (c *chaos) wasInFlight(offsets []int64, first, second time.Time) bool {
	if len(offsets) > 1 {
		return true // the embedded broker stored the produce twice: two events to Kafka
	}
	for _, k := range c.kills {
		if k.at.Before(second) && !k.at.Before(first.Add(-time.Second)) && len(offsets) == 1 && offsets[0] >= k.commit {
			return true
		}
	}
	return false
}

// offsets reads the event topic: where each event stands.
func (c *chaos) offsets() map[string][]int64 {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers), kgo.ConsumeTopics("webhooks.shop"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // the embedded broker reads slowly what is on disk
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "webhooks.shop")
	if err != nil {
		c.t.Fatal(err)
	}
	end, _ := ends.Lookup("webhooks.shop", 0)
	found := map[string][]int64{}
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("read the topic, at %d of %d: %v\n%s", next, end.Offset, err, tail(c.log.Bytes(), 4000))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			e, err := schemas.FromRecord(r)
			if err != nil {
				c.t.Fatal(err)
			}
			found[e.ID] = append(found[e.ID], r.Offset)
		})
	}
	return found
}

// chaosSink is both subscribers. It takes a while, so that much is in flight.
type chaosSink struct {
	server   *httptest.Server
	takes    time.Duration // from a delivery's arrival to its answer
	inFlight atomic.Int64
	mu       sync.Mutex
	times    map[string][]time.Time // sub/id -> when a 2xx was written
}

func newChaosSink(t *testing.T, takes time.Duration) *chaosSink {
	s := &chaosSink{takes: takes, times: map[string][]time.Time{}}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inFlight.Add(1)
		defer s.inFlight.Add(-1)
		_, _ = io.Copy(io.Discard, r.Body)
		<-time.After(s.takes)
		s.mu.Lock()
		defer s.mu.Unlock()
		key := r.URL.Path[1:] + "/" + r.Header.Get("Webhook-Id")
		s.times[key] = append(s.times[key], time.Now())
	}))
	t.Cleanup(s.server.Close)
	return s
}

func (s *chaosSink) answered(sub, id string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[sub+"/"+id]
}

func (s *chaosSink) all() map[string][]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times)
}

// ledger is a file that holds what was acknowledged: each line is on disk before
// add returns.
type ledger struct {
	t    *testing.T
	mu   sync.Mutex
	file *os.File
}

func newLedger(t *testing.T, path string) *ledger {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &ledger{t: t, file: f}
}

func (l *ledger) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.file.WriteString(id + "\n")
	if err = errors.Join(err, l.file.Sync()); err != nil {
		l.t.Error(err)
	}
}

func (l *ledger) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.file.Name())
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	var ids []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		ids = append(ids, lines.Text())
	}
	return ids
}
