package kafkatest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// shared holds the clusters and the schema registry of this test process. It is package state on
// purpose: a cluster takes seconds and hundreds of megabytes, and TestMain is
// the only place that outlives all tests.
var shared struct {
	sync.Mutex
	clusters    map[int]*started
	registry    *registry
	registryErr error
}

type started struct {
	cluster *Cluster
	err     error
}

// Real is Apache Kafka with that many brokers, one or three, shared by all tests
// of the process: take a Prefix of your own, and put back what you kill. Where
// it cannot be had the test is skipped, unless REQUIRE_KAFKA=1. The package's
// TestMain calls Main.
func Real(t testing.TB, brokers int) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.clusters == nil {
		shared.clusters = make(map[int]*started)
	}
	s := shared.clusters[brokers]
	if s == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		s = new(started)
		s.cluster, s.err = launch(ctx, brokers, quick(), nil)
		shared.clusters[brokers] = s
	}
	if errors.Is(s.err, errUnavailable) && os.Getenv("REQUIRE_KAFKA") != "1" {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatalf("start Kafka with %d brokers: %v", brokers, s.err)
	}
	return s.cluster
}

// Main runs a package's tests and ends the clusters that they started:
//
//	func TestMain(m *testing.M) { kafkatest.Main(m) }
func Main(m *testing.M) {
	defer stop() // also when a test's panic passes through here
	m.Run()      // the testing package exits with its code when TestMain returns
}

func stop() {
	stopSecured()
	shared.Lock()
	defer shared.Unlock()
	for n, s := range shared.clusters {
		if s.cluster != nil {
			if err := s.cluster.Close(); err != nil {
				fmt.Fprintf(os.Stderr, "kafkatest: end the cluster of %d: %v\n", n, err)
			}
		}
	}
	shared.clusters = nil
	if shared.registry != nil {
		if err := shared.registry.close(); err != nil {
			fmt.Fprintf(os.Stderr, "kafkatest: end the schema registry: %v\n", err)
		}
		shared.registry = nil
	}
}

// Prefix is a prefix for topics and groups that no other test has, in place of
// causeway's own.
func Prefix(t testing.TB) string {
	t.Helper()
	return "t" + strings.ToLower(rand.Text()[:8]) + "."
}
