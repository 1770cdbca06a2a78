package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/outbound"
)

// cluster is what a process must know of the Kafka it works on.
type cluster struct {
	id      string
	brokers []string // host:port, as they are announced
}

type prepareOptions struct {
	clients  kafka.Options
	config   kafkaConfig
	current  func() *catalog.Snapshot
	embedded bool
	health   *health.Set
	log      *zap.Logger
}

// prepareKafka waits for Kafka. One that does not answer is waited for, since both
// may just be starting; one that answers and refuses is an error.
func prepareKafka(ctx context.Context, client *kgo.Client, o prepareOptions) (cluster, error) {
	ready := o.health.Declare(health.Condition{Code: "kafka", Title: "Kafka answered at the start", Readiness: true})
	if !awaitKafka(ctx, o.clients, ready, o.log) {
		return cluster{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	found, err := describe(ctx, client)
	if err != nil {
		return cluster{}, err
	}
	ready.OK()
	return found, nil
}

// describe asks for the cluster's id and brokers.
func describe(ctx context.Context, client *kgo.Client) (cluster, error) {
	meta, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err != nil {
		return cluster{}, fmt.Errorf("ask Kafka for its brokers: %w", err)
	}
	c := cluster{id: meta.Cluster}
	for _, b := range meta.Brokers {
		c.brokers = append(c.brokers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	return c, nil
}

// forbidden tells the addresses that are causeway's own: a subscription must not
// be able to reach its listeners or its brokers, whatever else it may reach.
func forbidden(ctx context.Context, listeners, brokers []string) func(netip.AddrPort) bool {
	var own []netip.AddrPort
	for _, text := range slices.Concat(listeners, brokers) {
		host, port, err := net.SplitHostPort(text)
		n, e := strconv.ParseUint(port, 10, 16)
		if err != nil || e != nil || n == 0 {
			continue
		}
		if host == "" { // as of a listener on all addresses
			host = netip.IPv6Unspecified().String()
		}
		// A broker whose name cannot be resolved here cannot be reached from here.
		addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		for _, addr := range addrs {
			own = append(own, netip.AddrPortFrom(addr.Unmap(), uint16(n)))
		}
	}
	return outbound.Own(own...)
}
