package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"causeway/pkg/secret"
)

type serverTLSConfig struct {
	CertFile     string `json:"cert_file,omitempty" doc:"PEM file of the listener's certificate and those between it and the CA; plain HTTP when left out."`
	KeyFile      string `json:"key_file,omitempty" doc:"PEM file of the private key to cert_file, without a passphrase."`
	ClientCAFile string `json:"client_ca_file,omitempty" doc:"PEM file of the CA certificates that clients' are signed by; clients need no certificate when left out."`
}

// listenerTLS reads the certificate of the part's listener and notes what is wrong with
// it. The files behind the result are looked at for each new connection.
func (p *processFile) listenerTLS(part string, c serverTLSConfig, r *secret.Resolver) *tls.Config {
	at := keys{part, "tls"}
	if c == (serverTLSConfig{}) {
		return nil
	}
	pair := p.keyPair(at, c.CertFile, c.KeyFile, r)
	switch {
	case c.CertFile == "" && c.KeyFile == "":
		p.fault(at.and("cert_file"), "missing: client_ca_file needs a certificate of the listener's own")
	case pair != nil:
		if now, err := pair.Load(); err == nil && time.Now().After(now.Leaf.NotAfter) {
			p.fault(at.and("cert_file"), "certificate %s: expired at %s, every client would refuse it", c.CertFile, now.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	var ca *secret.Authorities
	if c.ClientCAFile != "" {
		var err error
		if ca, err = r.Authorities(c.ClientCAFile); err != nil {
			p.fault(at.and("client_ca_file"), "%v", err)
		}
	}
	return serverTLS(pair, ca)
}

// serverTLS shows the certificate as it is now. Where there is a CA, clients have to
// show one of its certificates; what it holds is read for each connection, so it is
// checked here and not by crypto/tls.
func serverTLS(pair *secret.KeyPair, ca *secret.Authorities) *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Load() },
	}
	if ca != nil {
		config.ClientAuth = tls.RequireAnyClientCert
		config.VerifyConnection = func(s tls.ConnectionState) error { return verifyClient(s.PeerCertificates, ca) }
	}
	return config
}

func verifyClient(chain []*x509.Certificate, ca *secret.Authorities) error {
	if len(chain) == 0 {
		return errors.New("the client shows no certificate")
	}
	roots, err := ca.Load()
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return fmt.Errorf("the client's certificate: %w", err)
	}
	return nil
}
