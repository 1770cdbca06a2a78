package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/registry"
	"causeway/pkg/secret"
	"causeway/schemas"
)

type registryConfig struct {
	URLs     []string          `json:"urls,omitempty" doc:"Base URLs of a schema registry's Confluent API; the next one is asked when one does not answer. With a registry the default format of sources is avro, framed for it."`
	Username string            `json:"username,omitempty" doc:"User name for the registry."`
	Password string            `json:"password,omitempty" doc:"Reference to the user's password: env:NAME or file:/path."`
	Token    string            `json:"token,omitempty" doc:"Reference to a bearer token, in place of user name and password."`
	Register *bool             `json:"register,omitempty" doc:"Register the schema of events for each topic; true when left out. Otherwise it must be there already."`
	TLS      registryTLSConfig `json:"tls,omitempty" doc:"How the registry is reached over https."`
}

type registryTLSConfig struct {
	CAFile   string `json:"ca_file,omitempty" doc:"PEM file of the authorities that may have signed the registry's certificate; the system's when left out."`
	CertFile string `json:"cert_file,omitempty" doc:"PEM file of a client certificate, read anew for each connection."`
	KeyFile  string `json:"key_file,omitempty" doc:"PEM file of its key."`
}

// checkRegistry notes what is wrong with the registry's settings.
func (p *processFile) checkRegistry() {
	c, at := p.config.Registry, keys{"registry"}
	for i, text := range c.URLs {
		if err := checkRegistryURL(text); err != nil {
			p.fault(at.and("urls", strconv.Itoa(i)), "%v", err)
		}
	}
	for key, text := range map[string]string{"password": c.Password, "token": c.Token} {
		if _, err := secret.ParseRef(text); text != "" && err != nil {
			p.fault(at.and(key), "%v", err)
		}
	}
	if c.Token != "" && (c.Username != "" || c.Password != "") {
		p.fault(at.and("token"), "there are a user name or password too: name one or the other")
	}
	if c.Token == "" && (c.Username == "") != (c.Password == "") {
		p.fault(at.and("username"), "user name and password belong together")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		p.fault(at.and("tls"), "cert_file and key_file belong together")
	}
}

func checkRegistryURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return errors.New("a password does not belong here: use registry.username and registry.password")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("this is not a base URL: write it like http://registry:8081 or http://apicurio:8080/apis/ccompat/v7") // not quoted: it may hold a password
	}
	return nil
}

// registryCredential gives what to send to the registry, resolved for each
// request: a password may change. Nil when there is nothing to send.
func registryCredential(c registryConfig, resolver *secret.Resolver) func() (registry.Credential, error) {
	resolve := func(text string) (secret.Secret, error) {
		ref, err := secret.ParseRef(text)
		if err != nil {
			return secret.Secret{}, err
		}
		return resolver.Resolve(ref)
	}
	switch {
	case c.Token != "":
		return func() (registry.Credential, error) {
			token, err := resolve(c.Token)
			return registry.Credential{Token: token}, err
		}
	case c.Username != "":
		return func() (registry.Credential, error) {
			password, err := resolve(c.Password)
			return registry.Credential{Username: c.Username, Password: password}, err
		}
	default:
		return nil
	}
}

// openRegistry makes the client of the schema registry; nil when there is none.
func openRegistry(c registryConfig, resolver *secret.Resolver, version string, reg prometheus.Registerer) (*registry.Client, error) {
	if len(c.URLs) == 0 {
		return nil, nil
	}
	o := registry.Options{URLs: c.URLs, Credential: registryCredential(c, resolver), Version: version, Registerer: reg}
	if o.Credential != nil {
		if _, err := o.Credential(); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	var err error
	if o.TLS, err = registryTLS(c.TLS); err != nil {
		return nil, err
	}
	return registry.New(o)
}

func registryTLS(c registryTLSConfig) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("registry.tls.ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("registry.tls.ca_file: %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("registry.tls.cert_file and key_file: %w", err)
			}
			return &cert, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return conf, nil
}

// newDecoder reads values that are framed for the registry; without one it says
// that there is none.
func newDecoder(client *registry.Client) *schemas.Decoder {
	if client == nil {
		return schemas.NewDecoder(func(context.Context, int) (schemas.RegisteredSchema, error) {
			return schemas.RegisteredSchema{}, errors.New("the process file names no schema registry: registry.urls")
		})
	}
	return schemas.NewDecoder(client.Schema)
}

// schemaIDs keeps the schema of events registered. A process that only delivers
// learns the ids too, so that it can read events while the registry is away, but
// misses nothing where there are none.
func schemaIDs(c registryConfig, client *registry.Client, r roles, current func() *catalog.Snapshot, decoder *schemas.Decoder, conditions *health.Set, log *zap.Logger) *registry.Registration {
	o := registry.RegistrationOptions{
		Client: client, Topics: func() []string { return registeredTopics(current()) },
		Register: r.ingress && (c.Register == nil || *c.Register), Own: decoder.Own, Logger: log,
	}
	if r.ingress {
		o.Health = conditions
	}
	return registry.NewRegistration(o)
}

// registeredTopics are those whose values are events in Avro.
func registeredTopics(snapshot *catalog.Snapshot) []string {
	var topics []string
	seen := map[string]bool{}
	for _, src := range snapshot.Sources {
		if src.Format == schemas.Avro && !seen[src.Topic] {
			seen[src.Topic] = true
			topics = append(topics, src.Topic)
		}
	}
	return topics
}

// registryCheckTimeout bounds what causeway check asks of the registry.
const registryCheckTimeout = 20 * time.Second

// checkRegistry asks the registry what keeps it from working, for causeway check.
func checkRegistry(ctx context.Context, c *common, conf registryConfig, snapshot *catalog.Snapshot) (wrong int) {
	client, err := openRegistry(conf, secret.NewResolver(), "check", nil)
	if err == nil && client == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, registryCheckTimeout)
	defer cancel()
	if err == nil {
		defer client.CloseIdle()
		err = client.Ping(ctx)
	}
	if err != nil {
		fmt.Fprintf(c.stdout, "registry: %v\n", err)
		return 1
	}
	if snapshot == nil {
		fmt.Fprintln(c.stdout, "registry: answers")
		return 0
	}
	topics := registeredTopics(snapshot)
	faults := client.Check(ctx, topics, conf.Register == nil || *conf.Register)
	for _, fault := range faults {
		fmt.Fprintf(c.stdout, "registry: %v\n", fault)
	}
	if len(faults) == 0 {
		fmt.Fprintf(c.stdout, "registry: answers, and takes the schema of events for %d topics\n", len(topics))
	}
	return len(faults)
}
