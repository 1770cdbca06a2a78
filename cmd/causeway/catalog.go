package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

// readKeyring reads the keys of sealed secrets; nil when there are none.
func readKeyring() (*secret.Keyring, error) {
	text := os.Getenv(secret.KeysVariable)
	if text == "" {
		return nil, nil
	}
	return secret.ParseKeyring(secret.New([]byte(text)))
}

// openCatalog opens what holds the catalog: the topic of a cluster, or the file beside
// the embedded broker. Tail keeps it up to date.
func openCatalog(o serveOptions, clients kafka.Options, client *kgo.Client) (kept store, tail func(context.Context) error, err error) {
	audit := cmp.Or(clients.Prefix, kafka.DefaultPrefix) + "audit"
	if o.embedded == nil {
		topic := catalog.NewTopic(catalog.TopicOptions{
			Topic: clients.Prefix + "catalog", Transaction: clients.Prefix + "catalog", Audit: audit, Client: clients.Base, Logger: clients.Logger,
		})
		return topic, topic.Run, nil
	}
	file, err := catalog.OpenFile(o.catalog, catalog.FileOptions{Audit: func(ctx context.Context, list []catalog.AuditRecord) error {
		return produceAudit(ctx, client, audit, list)
	}})
	return file, func(ctx context.Context) error { <-ctx.Done(); return nil }, err
}

// produceAudit writes audit records where no transaction holds them together with what
// they tell of.
func produceAudit(ctx context.Context, client *kgo.Client, topic string, list []catalog.AuditRecord) error {
	records := make([]*kgo.Record, len(list))
	for i, r := range list {
		value, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write an audit record: %w", err)
		}
		records[i] = &kgo.Record{Topic: topic, Key: []byte(r.Who), Value: value}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to %s: %w", topic, err)
	}
	return nil
}

// warnOfEntries says that the file's entries are of no use to these roles.
func (p *processFile) warnOfEntries() {
	c := p.config
	if n := len(c.Ingress.Sources) + len(c.Egress.Subscriptions); n > 0 {
		p.warn(fmt.Sprintf("ingress.sources and egress.subscriptions of the process file (%d entries) are not read by this process: it works from the catalog, into which `causeway apply -f %s --set NAME` puts them", n, cmp.Or(printable(p.path, 200), "FILE")))
	}
}

// loadTry is how long it takes until somebody is told that the catalog is not read yet.
const loadTry = 5 * time.Second

// load reads the catalog to its end and makes the first snapshot. It goes on trying
// until ctx ends: whatever is in the way may be mended.
func (l *liveCatalog) load(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, loadTry)
		state, err := l.store.AwaitEnd(try)
		cancel()
		if err == nil {
			l.take(state)
			l.read.OK()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.read.Fail(err.Error())
	}
}
