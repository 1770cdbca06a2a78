package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/secret"
)

// TestTheDoorAsksForCertificates has clients with a certificate of the right CA, of
// another one, an expired one and none.
func TestTheDoorAsksForCertificates(t *testing.T) {
	dir, until := t.TempDir(), time.Now().Add(time.Hour)
	authority := func(name string) *kafkatest.Authority {
		a, err := kafkatest.NewAuthority(name, false)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours, clients, other := authority("server CA"), authority("client CA"), authority("another CA")
	issue := func(a *kafkatest.Authority, until time.Time) (cert, key []byte) {
		cert, key, err := a.Issue("someone", until)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	door := func(cert, key []byte) (*tls.Config, error) {
		path := write("causeway.yaml", fmt.Appendf(nil, "ingress: {tls: {cert_file: %q, key_file: %q, client_ca_file: %q}}\n",
			write("cert.pem", cert), write("key.pem", key), write("ca.pem", clients.PEM)))
		p, err := readConfig(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.listenerTLS("ingress", p.config.Ingress.TLS, secret.NewResolver()), p.err()
	}
	if _, err := door(issue(ours, time.Now().Add(-time.Hour))); err == nil || !strings.Contains(err.Error(), "causeway.yaml:1:17: ingress.tls.cert_file: certificate") || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("an expired certificate: %v", err)
	}
	config, err := door(issue(ours, until))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ours.PEM)
	for name, tc := range map[string]struct {
		ca    *kafkatest.Authority
		until time.Time
		want  bool
	}{
		"of the CA":     {clients, until, true},
		"of another CA": {other, until, false},
		"expired":       {clients, time.Now().Add(-time.Hour), false},
		"none":          {nil, until, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
			if tc.ca != nil {
				pair, err := tls.X509KeyPair(issue(tc.ca, tc.until))
				if err != nil {
					t.Fatal(err)
				}
				// Shown even where the server names other CAs.
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if (err == nil) != tc.want {
				t.Errorf("got %v, want it let in: %v", err, tc.want)
			}
			if err == nil {
				resp.Body.Close()
			}
		})
	}
}

// TestKafkaPage reads each example of docs/kafka.md.
func TestKafkaPage(t *testing.T) {
	examples := 0
	for _, b := range blocksOf(t, filepath.Join("..", "..", "docs", "kafka.md")) {
		if b.language != "yaml" {
			continue
		}
		examples++
		path := filepath.Join(t.TempDir(), "causeway.yaml")
		if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readConfig(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.err(); err != nil {
			t.Errorf("%s\n%v", b.text, err)
		}
	}
	if examples < 6 {
		t.Errorf("%d examples found", examples)
	}
}
