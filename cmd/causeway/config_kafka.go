package main

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/kafka"
	"causeway/pkg/secret"
)

type kafkaTLSConfig struct {
	Enabled    bool   `json:"enabled,omitempty" doc:"Speak TLS with the brokers; false when left out."`
	CAFile     string `json:"ca_file,omitempty" doc:"PEM file of the CA certificates that the brokers' are signed by; the system's when left out."`
	CertFile   string `json:"cert_file,omitempty" doc:"PEM file of the certificate to show to brokers that ask for one (mutual TLS)."`
	KeyFile    string `json:"key_file,omitempty" doc:"PEM file of the private key to cert_file, without a passphrase."`
	ServerName string `json:"server_name,omitempty" doc:"Name that the brokers' certificates must have in place of their host names."`
}

type kafkaSASLConfig struct {
	Mechanism       string   `json:"mechanism,omitempty" enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER,AWS_MSK_IAM" doc:"How to authenticate with the brokers; not at all when left out."`
	Username        string   `json:"username,omitempty" doc:"User name for PLAIN and SCRAM."`
	Password        string   `json:"password,omitempty" doc:"Reference to the password for PLAIN and SCRAM, like env:KAFKA_PASSWORD or file:/run/secrets/kafka."`
	Token           string   `json:"token,omitempty" doc:"Reference to a token for OAUTHBEARER, like a service account's: file:/var/run/secrets/tokens/kafka. Instead of token_url."`
	TokenURL        string   `json:"token_url,omitempty" doc:"OAuth 2.0 token endpoint for OAUTHBEARER, asked with client_id and client_secret (client credentials)."`
	ClientID        string   `json:"client_id,omitempty" doc:"Client id at the token endpoint."`
	ClientSecret    string   `json:"client_secret,omitempty" doc:"Reference to the client secret at the token endpoint."`
	Scopes          []string `json:"scopes,omitempty" doc:"Scopes to ask the token endpoint for; none when left out."`
	Extensions      []string `json:"extensions,omitempty" doc:"SASL extensions for OAUTHBEARER, each name=value, as logicalCluster=lkc-123."`
	Region          string   `json:"region,omitempty" doc:"AWS region for AWS_MSK_IAM; the one in the broker's name when left out, else that of AWS_REGION."`
	AccessKeyID     string   `json:"access_key_id,omitempty" doc:"Reference to the access key id for AWS_MSK_IAM; AWS's own environment variables when left out."`
	SecretAccessKey string   `json:"secret_access_key,omitempty" doc:"Reference to the secret access key."`
	SessionToken    string   `json:"session_token,omitempty" doc:"Reference to the session token of temporary AWS keys."`
}

// connection is how clients get to the brokers.
type connection struct {
	tls  *kafka.TLS
	sasl *kafka.SASL
}

// connection resolves what the clients need to get to the brokers, and notes what
// is wrong with it.
func (p *processFile) connection(r *secret.Resolver) connection {
	c := p.config.Kafka
	s := &saslBuilder{p: p, c: c.SASL, secrets: r}
	conn := connection{tls: p.kafkaTLS(c.TLS, r), sasl: s.build()}
	if len(c.Brokers) == 0 && (conn.tls != nil || conn.sasl != nil) {
		p.fault(keys{"kafka", "brokers"}, "missing: kafka.tls and kafka.sasl are for the brokers of a cluster, and none are named")
	}
	if conn.sasl != nil && !c.TLS.Enabled {
		switch c.SASL.Mechanism {
		case kafka.MSKIAM:
			p.fault(keys{"kafka", "sasl", "mechanism"}, "AWS_MSK_IAM needs kafka.tls.enabled")
		case kafka.Plain, kafka.OAuthBearer:
			p.warn("kafka.sasl sends the password or token as it is, and kafka.tls is not enabled: whoever sees the traffic has it")
		default:
			p.warn("kafka.sasl without kafka.tls: events travel to the brokers unencrypted")
		}
	}
	return conn
}

func (p *processFile) kafkaTLS(c kafkaTLSConfig, r *secret.Resolver) *kafka.TLS {
	at := keys{"kafka", "tls"}
	if !c.Enabled {
		if c != (kafkaTLSConfig{}) {
			p.fault(at, "has settings, but enabled is not true: say enabled: true, or take them out")
		}
		return nil
	}
	t := &kafka.TLS{ServerName: c.ServerName, Certificate: p.keyPair(at, c.CertFile, c.KeyFile, r)}
	if c.CAFile != "" {
		ca, err := r.Authorities(c.CAFile)
		if err != nil {
			p.fault(at.and("ca_file"), "%v", err)
		}
		t.CA = ca
	}
	return t
}

// keyPair reads a certificate and its key, which come together or not at all.
func (p *processFile) keyPair(at keys, cert, key string, r *secret.Resolver) *secret.KeyPair {
	switch {
	case cert == "" && key == "":
		return nil
	case key == "":
		p.fault(at.and("cert_file"), "needs key_file beside it: the private key of the certificate")
		return nil
	case cert == "":
		p.fault(at.and("key_file"), "needs cert_file beside it: the certificate of the key")
		return nil
	}
	pair, err := r.KeyPair(cert, key)
	if err != nil {
		p.fault(at.and("cert_file"), "%v", err)
	}
	return pair
}

// saslBuilder makes kafka.SASL of its settings, each fault at its place.
type saslBuilder struct {
	p       *processFile
	c       kafkaSASLConfig
	secrets *secret.Resolver
}

func (b *saslBuilder) at(name string) keys { return keys{"kafka", "sasl", name} }

func (b *saslBuilder) build() *kafka.SASL {
	s := &kafka.SASL{Mechanism: b.c.Mechanism, Username: b.c.Username, Secrets: b.secrets}
	var used []string
	switch s.Mechanism {
	case kafka.Plain, kafka.Scram256, kafka.Scram512:
		used = []string{"username", "password"}
		if s.Username == "" {
			b.p.fault(b.at("username"), "missing: %s needs one", s.Mechanism)
		}
		s.Password = b.secret("password", b.c.Password, true)
	case kafka.OAuthBearer:
		used = []string{"token", "token_url", "client_id", "client_secret", "scopes", "extensions"}
		s.Extensions = b.extensions()
		if b.c.Token == "" {
			s.Endpoint = b.endpoint()
		} else {
			used = []string{"token", "extensions"}
			s.Token = b.secret("token", b.c.Token, true)
		}
	case kafka.MSKIAM:
		used = []string{"region", "access_key_id", "secret_access_key", "session_token"}
		s.AWS = b.aws()
	}
	if !b.p.faulty("kafka", "sasl", "mechanism") {
		b.unused(used)
	}
	if s.Mechanism == "" {
		return nil
	}
	return s
}

func (b *saslBuilder) endpoint() *kafka.TokenEndpoint {
	if b.c.TokenURL == "" {
		b.p.fault(b.at("token_url"), "missing: OAUTHBEARER needs token_url with client_id and client_secret, or token")
		return nil
	}
	u, err := url.Parse(b.c.TokenURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		// Not quoted: it may hold a password.
		b.p.fault(b.at("token_url"), "this is not the URL of a token endpoint: write it like https://login.example.com/oauth2/token")
	case u.Scheme == "http" && !loopback(u.Hostname()+":80"):
		b.p.warn("kafka.sasl.token_url is http: the client secret travels unencrypted")
	}
	if b.c.ClientID == "" {
		b.p.fault(b.at("client_id"), "missing: token_url needs one")
	}
	return &kafka.TokenEndpoint{
		URL: b.c.TokenURL, ClientID: b.c.ClientID, Scopes: b.c.Scopes, Secrets: b.secrets,
		Secret: b.secret("client_secret", b.c.ClientSecret, true),
	}
}

func (b *saslBuilder) aws() *kafka.AWS {
	wanted := b.c.AccessKeyID != "" || b.c.SecretAccessKey != "" || b.c.SessionToken != ""
	c := &kafka.AWSCredentials{
		AccessKeyID:     b.secret("access_key_id", b.c.AccessKeyID, wanted),
		SecretAccessKey: b.secret("secret_access_key", b.c.SecretAccessKey, wanted),
		SessionToken:    b.secret("session_token", b.c.SessionToken, false),
		Secrets:         b.secrets,
	}
	if _, err := c.Source(); err != nil && !wanted {
		b.p.fault(b.at("mechanism"), "%v", err)
	}
	return &kafka.AWS{Region: b.c.Region, Credentials: c}
}

// secret reads a reference and sees that there is something behind it.
func (b *saslBuilder) secret(name, text string, needed bool) secret.Ref {
	if text == "" {
		if needed {
			b.p.fault(b.at(name), "missing: give a reference, env:NAME or file:/absolute/path")
		}
		return secret.Ref{}
	}
	ref, err := secret.ParseRef(text)
	if err == nil {
		_, err = b.secrets.Resolve(ref)
	}
	if err != nil {
		b.p.fault(b.at(name), "%v", err)
	}
	return ref
}

// extensions are those of RFC 7628: names of letters, values without control characters.
func (b *saslBuilder) extensions() map[string]string {
	m := map[string]string{}
	letters := regexp.MustCompile(`^[A-Za-z]+$`)
	for i, text := range b.c.Extensions {
		name, value, ok := strings.Cut(text, "=")
		if !ok || !letters.MatchString(name) || strings.EqualFold(name, "auth") || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			b.p.fault(b.at("extensions").and(strconv.Itoa(i)), "this is not an extension: write it like logicalCluster=lkc-123, with a name of letters that is not auth")
			continue
		}
		m[name] = value
	}
	return m
}

// unused finds settings of another mechanism: somebody expects something of them.
func (b *saslBuilder) unused(used []string) {
	for _, setting := range []struct {
		name  string
		there bool
	}{
		{"username", b.c.Username != ""},
		{"password", b.c.Password != ""},
		{"token", b.c.Token != ""},
		{"token_url", b.c.TokenURL != ""},
		{"client_id", b.c.ClientID != ""},
		{"client_secret", b.c.ClientSecret != ""},
		{"scopes", len(b.c.Scopes) > 0},
		{"extensions", len(b.c.Extensions) > 0},
		{"region", b.c.Region != ""},
		{"access_key_id", b.c.AccessKeyID != ""},
		{"secret_access_key", b.c.SecretAccessKey != ""},
		{"session_token", b.c.SessionToken != ""},
	} {
		if !setting.there || slices.Contains(used, setting.name) {
			continue
		}
		if b.c.Mechanism == "" {
			b.p.fault(b.at(setting.name), "means nothing without kafka.sasl.mechanism")
		} else {
			b.p.fault(b.at(setting.name), "is not used: %s takes %s", b.c.Mechanism, strings.Join(used, ", "))
		}
	}
}
