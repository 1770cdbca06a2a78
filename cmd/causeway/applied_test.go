package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

// applied puts the sources and subscriptions of a process file into the catalog of a
// cluster, for tests of processes that are about something else.
func applied(t *testing.T, clients kafka.Options, path string) {
	t.Helper()
	file, err := readConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := file.config.withDefaults()
	clients.Prefix = c.Kafka.Prefix
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := serveOptions{file: file, loopback: true}
	client, err := kgo.NewClient(clients.Base("applied")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	plan := kafka.Plan(kafka.PlanOptions{Prefix: c.Kafka.Prefix, Brokers: 1})
	plan = slices.DeleteFunc(plan, func(topic kafka.Topic) bool { return topic.Kind != kafka.Catalog && topic.Kind != kafka.Audit })
	if _, err := kafka.Ensure(ctx, client, plan); err != nil {
		t.Fatal(err)
	}
	kept, tail, err := openCatalog(o, clients, client)
	if err != nil {
		t.Fatal(err)
	}
	tailing := make(chan error, 1)
	go func() { tailing <- tail(ctx) }()
	defer func() {
		cancel()
		if err := <-tailing; err != nil {
			t.Error(err)
		}
	}()
	if _, err := kept.AwaitEnd(ctx); err != nil {
		t.Fatal(err)
	}
	api := admin.New(admin.Options{
		Catalog: kept,
		Checks:  catalog.CheckOptions{Options: file.options(catalog.Options{Resolver: secret.NewResolver(), AllowHTTP: true})},
	})
	in := admin.ApplyInput{Set: "test", Prune: true, Sources: c.Ingress.Sources, Subscriptions: c.Egress.Subscriptions}
	if _, err := api.Apply(ctx, "test", in); err != nil {
		t.Fatal(err)
	}
}
