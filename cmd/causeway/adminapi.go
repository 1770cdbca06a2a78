package main

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/outbound"
	"causeway/pkg/secret"
)

// apiParts are what the API works on.
type apiParts struct {
	kept     store
	now      *liveCatalog
	entries  catalog.Options
	keyring  *secret.Keyring
	topics   newTopics
	doors    *doors
	outbound *outbound.Client
	health   *health.Set
	log      *zap.Logger
	reg      prometheus.Registerer
	version  string
}

// newAdminAPI makes the API of this process.
func newAdminAPI(o serveOptions, p apiParts) *admin.Server {
	c := o.file.config
	try := &trial{client: p.outbound, version: p.version}
	looks := topicLook{newTopics: p.topics, current: p.now.current}
	return admin.New(admin.Options{
		Catalog: p.kept,
		Checks: catalog.CheckOptions{
			Options: p.entries, SecretsAllow: c.Secrets.Allow, SecretsOwn: c.references(), MaxBody: int64(c.Kafka.Topics.MaxBody), Address: wayOut(o).CheckAddresses(),
		},
		Keyring: p.keyring, PublicURL: c.publicURL(), Version: p.version,
		Loopback: loopback(p.doors.admin.Addr().String()), Hosts: c.Admin.Hosts,
		Ends: p.topics.ends, Committed: looks.committed, Drained: looks.drained, Prepare: p.topics.prepare, Topics: looks.list, Test: try.subscription, Live: p.now.current,
		Health: p.health, Logger: p.log, Registerer: p.reg,
	})
}

// newOutbound makes the client for addresses that strangers choose.
func newOutbound(ctx context.Context, o serveOptions, doors *doors, found cluster) *outbound.Client {
	way := wayOut(o)
	way.Forbidden = forbidden(ctx, append(doors.addresses(), o.file.config.listens()...), found.brokers)
	return outbound.New(way)
}

// wayOut is where deliveries may go by what the process file says.
func wayOut(o serveOptions) outbound.Options {
	c := o.file.config
	return outbound.Options{
		AllowNetworks: networks(c.Egress.AllowNetworks), AllowLoopback: o.loopback, AllowHTTP: o.loopback || c.Egress.AllowHTTP,
	}
}

// apply puts the process file's sources and subscriptions into the catalog, and works
// from them.
func (o serveOptions) apply(ctx context.Context, api *admin.Server, now *liveCatalog) error {
	c := o.file.config
	done, err := api.Apply(ctx, devSet, admin.ApplyInput{
		Set: o.applies, Sources: c.Ingress.Sources, Subscriptions: c.Egress.Subscriptions,
		Prune: o.embedded != nil, // on a cluster the set may be another dev's as well
	})
	if err != nil {
		return fmt.Errorf("put the process file's sources and subscriptions into the catalog: %w", err)
	}
	if err := api.Adopt(ctx, devSet, o.apiKey, "of whoever has the data directory of causeway dev"); err != nil {
		return fmt.Errorf("put the API key of the data directory into the catalog: %w", err)
	}
	now.take(now.store.State())
	for _, d := range done.Differences {
		now.log.Info("the process file changed the catalog", zap.String("action", string(d.Action)), zap.String("kind", string(d.Kind)), zap.String("name", d.Name))
	}
	return nil
}
