package kafkatest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Password is what every user of a Secured cluster has.
const Password = "correct-horse-battery"

// Secured is Apache Kafka with one broker that lets in only whom it knows, and
// does only what an ACL allows: its seeds are a listener without TLS and SASL,
// whose clients may do everything.
type Secured struct {
	*Cluster
	CA     *Authority // of the brokers, and of the clients that they accept
	CAFile string

	SASL    string // SASL_SSL: PLAIN, SCRAM-SHA-256 and -512, OAUTHBEARER
	Reauth  string // the same, and sessions last three seconds
	Scram   string // SASL_SSL: only SCRAM-SHA-512
	MTLS    string // SSL, and clients show a certificate; its subject is the user
	Expired string // SASL_SSL: like SASL, but its certificate has expired
}

// Users that a Secured cluster knows. Only Root may do anything without an ACL.
// OAUTHBEARER lets in whoever a Token names.
const (
	Root  = "root"
	Alice = "alice"
)

var secured struct {
	sync.Mutex
	cluster *Secured
	err     error
}

// RealSecured is a Secured cluster, shared by all tests of the process as Real is.
func RealSecured(t testing.TB) *Secured {
	t.Helper()
	secured.Lock()
	defer secured.Unlock()
	if secured.cluster == nil && secured.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		secured.cluster, secured.err = launchSecured(ctx)
	}
	if errors.Is(secured.err, errUnavailable) && os.Getenv("REQUIRE_KAFKA") != "1" {
		t.Skip(secured.err)
	}
	if secured.err != nil {
		t.Fatalf("start a secured Kafka: %v", secured.err)
	}
	return secured.cluster
}

func stopSecured() {
	secured.Lock()
	defer secured.Unlock()
	if secured.cluster != nil {
		if err := secured.cluster.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "kafkatest: end the secured cluster: %v\n", err)
		}
	}
	secured.cluster = nil
}

func launchSecured(ctx context.Context) (*Secured, error) {
	ca, err := NewAuthority("causeway test CA", false)
	if err != nil {
		return nil, err
	}
	s := &Secured{CA: ca}
	if s.Cluster, err = launch(ctx, 1, quick(), s); err != nil {
		return nil, err
	}
	return s, nil
}

// listen names the secured listeners of the only broker and writes their
// certificates into its folder.
func (s *Secured) listen(b *broker, ports []int) error {
	s.CAFile = filepath.Join(b.dir, "ca.pem")
	for path, until := range map[string]time.Time{b.keystore("good"): time.Now().Add(12 * time.Hour), b.keystore("expired"): time.Now().Add(-time.Hour)} {
		if err := s.Keystore(path, until); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.CAFile, s.CA.PEM, 0o600); err != nil {
		return fmt.Errorf("write a broker's CA: %w", err)
	}
	for i, to := range []*string{&s.SASL, &s.Reauth, &s.Scram, &s.MTLS, &s.Expired} {
		*to = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	b.secured = s
	return nil
}

// Keystore writes a broker's key and certificate, as ssl.keystore.location wants them.
func (s *Secured) Keystore(path string, until time.Time) error {
	cert, key, err := s.CA.Issue("broker", until)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(key, cert...), 0o600); err != nil {
		return fmt.Errorf("write a broker's certificate: %w", err)
	}
	return nil
}

func (b *broker) keystore(name string) string { return filepath.Join(b.dir, name+".pem") }

// listeners are the parts of a broker's properties that name listeners.
func (s *Secured) listeners() (addresses, protocols string) {
	for _, l := range []struct{ name, at, protocol string }{
		{"SASL", s.SASL, "SASL_SSL"},
		{"REAUTH", s.Reauth, "SASL_SSL"},
		{"SCRAM", s.Scram, "SASL_SSL"},
		{"MTLS", s.MTLS, "SSL"},
		{"EXPIRED", s.Expired, "SASL_SSL"},
	} {
		addresses += "," + l.name + "://" + l.at
		protocols += "," + l.name + ":" + l.protocol
	}
	return addresses, protocols
}

func (s *Secured) properties(b *broker) string {
	var p strings.Builder
	fmt.Fprintf(&p, `authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:%s
ssl.keystore.type=PEM
ssl.keystore.location=%s
ssl.truststore.type=PEM
ssl.truststore.location=%s
listener.name.mtls.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=%s
listener.name.reauth.connections.max.reauth.ms=3000
`, Root, b.keystore("good"), s.CAFile, b.keystore("expired"))
	modules := map[string]string{
		"PLAIN":         fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_%[1]s="%[3]s" user_%[2]s="%[3]s";`, Root, Alice, Password),
		"SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"OAUTHBEARER":   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
	}
	for listener, mechanisms := range map[string][]string{
		"sasl": {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}, "reauth": {"SCRAM-SHA-512", "OAUTHBEARER"},
		"scram": {"SCRAM-SHA-512"}, "expired": {"SCRAM-SHA-512"},
	} {
		fmt.Fprintf(&p, "listener.name.%s.sasl.enabled.mechanisms=%s\n", listener, strings.Join(mechanisms, ","))
		for _, m := range mechanisms {
			fmt.Fprintf(&p, "listener.name.%s.%s.sasl.jaas.config=%s\n", listener, strings.ToLower(m), modules[m])
		}
	}
	return p.String()
}

// users are the arguments that make the SCRAM users when a folder is formatted.
func (s *Secured) users() (args []string) {
	for _, user := range []string{Root, Alice} {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, Password))
		}
	}
	return args
}

// Token is an unsecured JWT for OAUTHBEARER: Kafka's own validator for tests takes
// its subject as the user's name.
func Token(user string, until time.Time) string {
	claims, _ := json.Marshal(map[string]any{"sub": user, "iat": time.Now().Add(-time.Hour).Unix(), "exp": until.Unix()})
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(claims) + "."
}
