package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"causeway/egress"
	"causeway/ingress"
	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/embedded"
	"causeway/pkg/outbound"
	"causeway/pkg/secret"
)

// roles are the parts of causeway that a process plays.
type roles struct{ ingress, egress, admin bool }

// serveOptions say what to serve.
type serveOptions struct {
	file     *processFile // complete but for the catalog's faults, which serve reports
	roles    roles
	embedded *embedded.Options // nil: there is a cluster
	catalog  string            // the file that holds the catalog beside the embedded broker
	applies  string            // the set that the file's sources and subscriptions are put into the catalog as; "": they are not
	apiKey   secret.Secret     // lets in whoever has the data directory of dev
	loopback bool              // deliveries may go to this machine, and over plain http
	stderr   io.Writer
	ready    func(serving) // called once, when everything serves; nil: nobody waits for it
}

// serving is where a process can be reached.
type serving struct{ ingress, admin, ops, kafka string }

// serve wires a process, runs it until ctx ends or a part of it fails, and takes
// it down again in the opposite order: what rests on something stops before it.
func serve(ctx context.Context, o serveOptions) error {
	c := o.file.config
	log, flush, err := newLogger(c.Log, o.stderr)
	if err != nil {
		return err
	}
	defer flush()
	for _, name := range o.file.unknown {
		log.Warn(unknownVariable(name))
	}

	keyring, err := readKeyring()
	if err != nil {
		return err
	}
	resolver := secret.NewResolver().WithKeyring(keyring)
	entries := o.file.options(catalog.Options{Resolver: resolver, AllowHTTP: o.loopback})
	if o.applies != "" {
		strict := entries
		strict.ResolveSources, strict.ResolveSubscriptions = true, true
		o.file.build(strict)
	} else {
		o.file.foreign(entries)
		o.file.warnOfEntries()
	}
	tracing := o.file.traces(os.Getenv, resolver)
	security := o.file.connection(resolver)
	var doorTLS, adminTLS *tls.Config
	if o.roles.ingress {
		doorTLS = o.file.listenerTLS("ingress", c.Ingress.TLS, resolver)
	}
	if o.roles.admin {
		adminTLS = o.file.listenerTLS("admin", c.Admin.TLS, resolver)
	}
	if err := o.file.err(); err != nil {
		return err
	}
	for _, text := range o.file.warnings {
		log.Warn(text)
	}

	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	version := readBuild()
	version.register(reg)
	conditions := health.NewSet(reg)
	// Parts declare their conditions as they are made. Until all are, this one
	// keeps a process that has hardly begun from looking ready.
	started := conditions.Declare(health.Condition{Code: "started", Title: "every part is started", Readiness: true})

	// Listeners before anything that takes time, and all of them, so that every
	// port in use is reported at once.
	doors, err := openDoors(ctx, c, o.roles)
	if err != nil {
		return err
	}
	defer doors.close()

	brokers, writable := c.Kafka.Brokers, (func() error)(nil)
	var broker *embedded.Broker
	if o.embedded != nil {
		eo := *o.embedded
		eo.Keep, eo.Logger, eo.Registerer = kafka.Unread(c.Kafka.Prefix), log, reg
		if broker, err = embedded.Start(ctx, eo); err != nil {
			return fmt.Errorf("start the embedded broker: %w", err)
		}
		defer closeBroker(broker, log)
		brokers, writable = []string{broker.Addr()}, broker.Writable
	}

	asked := context.AfterFunc(ctx, func() { log.Info("stopping; a second signal ends the process at once") })
	defer asked()

	// Two crews: the base stops only when nobody rests on it any more.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	base, parts := &crew{fail: fail}, &crew{fail: fail}
	baseCtx, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer func() { stopBase(); base.wg.Wait() }()
	ops := newOps(reg, conditions, c.Ops, loopback(doors.ops.Addr().String()))
	base.run(baseCtx, "ops", func(ctx context.Context) error {
		return serveUntil(ctx, ops, func() error { return ops.Serve(doors.ops) }, time.Second)
	})
	if broker != nil {
		base.run(baseCtx, "the embedded broker", broker.Run)
	}
	secrets := conditions.Declare(health.Condition{Code: "secrets", Title: "every secret and certificate file can be read again"})
	base.run(baseCtx, "secrets", func(ctx context.Context) error { return watchSecrets(ctx, resolver, secrets) })

	clients := kafka.Options{
		Brokers: brokers, Prefix: c.Kafka.Prefix, ClientID: c.Kafka.ClientID, MaxBody: int64(c.Kafka.Topics.MaxBody),
		InstanceID: c.Kafka.InstanceID, SessionTimeout: time.Duration(c.Kafka.SessionTimeout),
		TLS: security.tls, SASL: security.sasl,
		Logger: log, Registerer: reg,
	}
	client, err := kgo.NewClient(clients.Base("admin")...)
	if err != nil {
		return fmt.Errorf("make the Kafka client: %w", err)
	}
	defer client.Close()
	kept, tail, err := openCatalog(o, clients, client)
	if err != nil {
		return err
	}
	now := newLive(kept, o.roles, entries, conditions, reg, log)
	prepare := prepareOptions{
		clients: clients, config: c.Kafka, current: now.current, embedded: broker != nil,
		health: conditions, log: log,
	}
	topics := watchTopics(client, prepare, o.roles, reg)
	spans, err := newTraces(ctx, tracesOptions{settings: tracing, version: version.version, health: conditions, log: log, reg: reg})
	if err != nil {
		return err
	}
	defer spans.stop(context.WithoutCancel(ctx))

	var recreated []func(topic string) // clients that have to forget a topic that was made again
	registered, err := openRegistry(c.Registry, resolver, version.version, reg)
	if err != nil {
		return err
	}
	decoder := newDecoder(registered)
	var schemaID func(topic string) (int, error)
	if registered != nil {
		ids := schemaIDs(c.Registry, registered, o.roles, now.current, decoder, conditions, log)
		schemaID = ids.ID
		defer registered.CloseIdle()
		parts.run(ctx, "registry", ids.Run)
	}
	// The door opens before Kafka is reached, and says 503 if that takes too long: a
	// webhook that hung in a listener's queue would look like a timeout to its provider.
	var cluster cluster
	reached := make(chan struct{})
	if o.roles.ingress {
		producer, err := kgo.NewClient(clients.IngressProducer()...)
		if err != nil {
			return fmt.Errorf("make the client that produces events: %w", err)
		}
		defer producer.Close()
		edge := ingress.New(ingress.Options{
			Catalog: now.current, Client: producer, Started: reached, Cluster: func() string { return cluster.id }, Writable: writable, SchemaID: schemaID, Topic: topics.Usable,
			PublicURL:    c.publicURL(),
			ReplyTimeout: time.Duration(c.Ingress.ReplyTimeout), DrainDelay: drainDelay(c.Ingress), ShutdownTimeout: time.Duration(c.Ingress.ShutdownTimeout),
			MaxConns: c.Ingress.MaxConnections, MaxConnsPerAddress: c.Ingress.MaxPerAddress,
			MaxBodyBytes: int64(cmp.Or(c.Ingress.MaxBodyMemory, defaultBodyMemory)), AddressRate: float64(c.Ingress.AddressRate),
			TrustedProxies: networks(c.Ingress.TrustedProxies), TLS: doorTLS,
			Health: conditions, Logger: log, Registerer: reg, TracerProvider: spans.provider(),
		})
		recreated = append(recreated, func(topic string) { producer.PurgeTopicsFromProducing(topic) })
		parts.run(ctx, "ingress", func(ctx context.Context) error { return edge.Run(ctx, doors.ingress) })
	}
	cluster, err = prepareKafka(ctx, client, prepare)
	if err == nil && ctx.Err() == nil {
		err = topics.Await(ctx) // those that are there whatever the catalog says, itself among them
	}
	var api *admin.Server
	if err == nil && ctx.Err() == nil {
		base.run(baseCtx, "the catalog", tail)
		err = now.load(ctx)
	}
	var out *outbound.Client // to addresses that strangers choose
	if (o.roles.admin || o.roles.egress) && err == nil && ctx.Err() == nil {
		out = newOutbound(ctx, o, doors, cluster)
	}
	if o.roles.admin && err == nil && ctx.Err() == nil {
		api = newAdminAPI(o, apiParts{
			kept: kept, now: now, entries: entries, keyring: keyring, topics: newTopics{client, prepare}, doors: doors,
			outbound: out, health: conditions, log: log, reg: reg, version: version.version,
		})
	}
	if o.applies != "" && err == nil && ctx.Err() == nil {
		err = o.apply(ctx, api, now)
	}
	if err == nil && ctx.Err() == nil {
		base.run(baseCtx, "the live catalog", now.run)
		base.run(baseCtx, "the look at the catalog", now.follow)
		err = topics.Await(ctx) // now with the topics of its sources
	}
	if err != nil || ctx.Err() != nil {
		err = whyStopped(ctx, err)
		fail(nil)
		return stopError(err, parts.end())
	}
	close(reached)

	if o.roles.egress {
		deliveries := egress.New(egress.Options{
			Kafka: clients, Catalog: now.current, Changed: now.changed, CatalogEnd: kept.End, Decoder: decoder,
			Client:   out,
			InFlight: c.Egress.InFlight, QueueTasks: c.Egress.QueueTasks, QueueBytes: int64(c.Egress.QueueBytes), OpenBytes: int64(c.Egress.OpenBytes),
			ShutdownTimeout: time.Duration(c.Egress.ShutdownTimeout),
			Version:         version.version, Health: conditions, Logger: log, Registerer: reg, TracerProvider: spans.provider(),
		})
		recreated = append(recreated, deliveries.Recreated)
		parts.run(ctx, "egress", deliveries.Run)
	}
	if api != nil {
		parts.run(ctx, "admin", func(ctx context.Context) error { return api.Run(ctx, doors.secureAdmin(adminTLS)) })
	}
	parts.run(ctx, "topics", func(ctx context.Context) error {
		return topics.Run(ctx, func(topic string) {
			for _, forget := range recreated {
				forget(topic)
			}
		})
	})
	started.OK()
	parts.run(ctx, "readiness", func(ctx context.Context) error {
		if awaitReady(ctx, conditions) {
			log.Info("ready", zap.Strings("brokers", brokers))
			if o.ready != nil {
				o.ready(doors.serving(brokers))
			}
		}
		return nil
	})
	failed := parts.end()
	if err = stopError(whyStopped(ctx, nil), failed); err == nil {
		log.Info("stopped")
	}
	return err
}
