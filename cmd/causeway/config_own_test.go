package main

import (
	"slices"
	"testing"

	"causeway/pkg/catalog"
)

// What the process works with is found wherever it stands; what sources and
// subscriptions refer to is theirs.
func TestWhatTheProcessRefersTo(t *testing.T) {
	var c config
	c.Kafka.SASL.Password = "env:KAFKA_PASSWORD"
	c.Kafka.TLS.KeyFile = "/run/tls/key.pem"
	c.Kafka.Brokers = []string{"kafka:9092"}
	c.Registry.Password = "file:/run/secrets/registry"
	c.Ingress.Sources = []catalog.SourceSpec{{Secrets: []string{"env:TEAM_A"}}}
	c.Secrets.Allow = []string{"env:TEAM_B"}
	var found []string
	for _, ref := range c.references() {
		found = append(found, ref.String())
	}
	slices.Sort(found)
	if want := []string{"env:KAFKA_PASSWORD", "file:/run/secrets/registry", "file:/run/tls/key.pem"}; !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if len(c.Ingress.Sources) != 1 {
		t.Error("the configuration itself was changed")
	}
}
