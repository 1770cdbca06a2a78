// Package kafkatest gives tests a Kafka: a bubble, in which hours pass in
// milliseconds, and real brokers started from their jars.
package kafkatest

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
)

// Bubble is an in-process cluster on a network of its own, for use inside
// synctest.Test: nothing in it touches a socket, so the bubble's clock can jump.
// Build with -tags synctests, which lets waits for the clients' locks count as
// durably blocked too.
type Bubble struct {
	net     *kfake.VirtualNetwork
	cluster *kfake.Cluster
	seeds   []string
}

// NewBubble starts a cluster with one broker, or as many as said. It is closed
// when the test ends, after the clients that the test closes itself.
func NewBubble(t testing.TB, brokers ...int) *Bubble {
	t.Helper()
	oneProcessor(t)
	n := 1
	if len(brokers) > 0 {
		n = brokers[0]
	}
	ports := make([]int, n)
	for i := range ports {
		ports[i] = 9092 + i
	}
	b := &Bubble{net: new(kfake.VirtualNetwork)}
	cluster, err := kfake.NewCluster(kfake.Ports(ports...), kfake.ListenFn(b.net.Listen))
	if err != nil {
		t.Fatalf("start a cluster in the bubble: %v", err)
	}
	t.Cleanup(cluster.Close)
	b.cluster, b.seeds = cluster, cluster.ListenAddrs()
	return b
}

// Net is the network that the brokers listen on.
func (b *Bubble) Net() *kfake.VirtualNetwork { return b.net }

// Cluster is the cluster itself, to look into and to inject faults.
func (b *Bubble) Cluster() *kfake.Cluster { return b.cluster }

// Options are client options that stay in the bubble and let it sleep for long.
func (b *Bubble) Options() kafka.Options {
	return kafka.Options{Brokers: b.seeds, Extra: VirtualTime(b.net)}
}

// VirtualTime are the client settings of a bubble: its network, and waits so
// long that a day of idling costs next to no wall time. Group sessions live for
// five minutes, the most that the broker allows.
func VirtualTime(network *kfake.VirtualNetwork) []kgo.Opt {
	return []kgo.Opt{
		kgo.Dialer(network.DialContext),
		kgo.DisableClientMetrics(),
		kgo.FetchMaxWait(time.Minute),
		kgo.SessionTimeout(5 * time.Minute),
		kgo.HeartbeatInterval(90 * time.Second),
		kgo.MetadataMaxAge(time.Hour),
	}
}

// Listen opens a listener inside the bubble, say 127.0.0.1:8080.
func (b *Bubble) Listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	ln, err := b.net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("listen in the bubble: %v", err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// Client is an HTTP client for listeners inside the bubble.
func (b *Bubble) Client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: b.net.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
