package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"causeway/pkg/secret"
)

// TLS says how connections to the brokers are secured. The files behind it are
// looked at for each new connection.
type TLS struct {
	CA          *secret.Authorities // nil: those of the system
	Certificate *secret.KeyPair     // shown to brokers that ask for one; nil: none
	ServerName  string              // in place of the broker's host name
}

func (t *TLS) name(broker string) string {
	host, _, _ := net.SplitHostPort(broker)
	return cmp.Or(t.ServerName, host)
}

// config is made anew for each connection, because files change.
func (t *TLS) config(broker string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.name(broker)}
	if t.CA != nil {
		pool, err := t.CA.Load()
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := t.certificate()
		if pair == nil && err == nil {
			pair = &tls.Certificate{} // shows none
		}
		return pair, err
	}
	return c, nil
}

func (t *TLS) certificate() (*tls.Certificate, error) {
	if t.Certificate == nil {
		return nil, nil //nolint:nilnil // none is configured
	}
	return t.Certificate.Load()
}

// trusted says which CAs count, for who has to add one.
func (t *TLS) trusted() string {
	if t.CA == nil {
		return "only this system's CAs are; name the cluster's own in kafka.tls.ca_file"
	}
	return "kafka.tls.ca_file must hold the CA that signed it"
}

// dialTimeout is for a connection, its TLS handshake included.
const dialTimeout = 10 * time.Second

// dial connects to a broker, so that its errors say at which step it ended.
func (o Options) dial(ctx context.Context, network, broker string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, broker)
	if err != nil {
		return nil, dialError(broker, err)
	}
	if o.TLS == nil {
		return raw, nil
	}
	config, err := o.TLS.config(broker)
	if err != nil {
		_ = raw.Close()
		return nil, &StepError{Broker: broker, Step: StepTLS, Text: err.Error(), Err: err}
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, handshakeError(broker, o.TLS, err)
	}
	return &securedConn{Conn: conn, broker: broker, tls: o.TLS}, nil
}

// securedConn explains the alert with which a broker refuses a client certificate:
// with TLS 1.3 it comes after the handshake.
type securedConn struct {
	*tls.Conn
	broker string
	tls    *TLS
}

func (c *securedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && alerted(err) {
		err = alertError(c.broker, c.tls, err)
	}
	return n, err
}
