package main

import (
	"path/filepath"
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
	c.Admin.TLS.KeyFile = "tls/admin.pem" // opened from where the process runs
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/aws/token")
	c.Registry.Password = "file:/run/secrets/registry"
	c.Ingress.Sources = []catalog.SourceSpec{{Secrets: []string{"env:TEAM_A"}}}
	c.Secrets.Allow = []string{"env:TEAM_B"}
	var found []string
	for _, ref := range c.references() {
		found = append(found, ref.String())
	}
	here, err := filepath.Abs("tls/admin.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"env:KAFKA_PASSWORD", "file:/run/secrets/registry", "file:/run/tls/key.pem", "file:" + here, "env:AWS_SECRET_ACCESS_KEY", "file:/run/aws/token"} {
		if !slices.Contains(found, want) {
			t.Errorf("%s is not found: %q", want, found)
		}
	}
	if slices.Contains(found, "env:TEAM_A") || slices.Contains(found, "env:TEAM_B") {
		t.Errorf("found what is another's: %q", found)
	}
	if len(c.Ingress.Sources) != 1 {
		t.Error("the configuration itself was changed")
	}
}
