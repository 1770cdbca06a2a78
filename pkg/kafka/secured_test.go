package kafka_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/secret"
)

// file writes a file of the test and gives its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func fileRef(t *testing.T, content string) secret.Ref {
	t.Helper()
	ref, err := secret.ParseRef("file:" + file(t, "secret", content))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func trusting(t *testing.T, ca []byte) *kafka.TLS {
	t.Helper()
	authorities, err := secret.NewResolver().Authorities(file(t, "ca.pem", string(ca)))
	if err != nil {
		t.Fatal(err)
	}
	return &kafka.TLS{CA: authorities}
}

func withPassword(t *testing.T, mechanism, user, password string) *kafka.SASL {
	return &kafka.SASL{Mechanism: mechanism, Username: user, Password: fileRef(t, password), Secrets: secret.NewResolver()}
}

func withToken(t *testing.T, token string) *kafka.SASL {
	return &kafka.SASL{Mechanism: kafka.OAuthBearer, Token: fileRef(t, token), Secrets: secret.NewResolver()}
}

func issued(t *testing.T, ca *kafkatest.Authority, name string, until time.Time) *secret.KeyPair {
	t.Helper()
	cert, key, err := ca.Issue(name, until)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := secret.NewResolver().KeyPair(file(t, "cert.pem", string(cert)), file(t, "key.pem", string(key)))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestEveryMechanism lets each one in, the probe and a client.
func TestEveryMechanism(t *testing.T) {
	c := kafkatest.RealSecured(t)
	soon := time.Now().Add(time.Hour)
	for name, o := range map[string]kafka.Options{
		"PLAIN":         {Brokers: []string{c.SASL}, SASL: withPassword(t, kafka.Plain, kafkatest.Root, kafkatest.Password)},
		"SCRAM-SHA-256": {Brokers: []string{c.SASL}, SASL: withPassword(t, kafka.Scram256, kafkatest.Root, kafkatest.Password)},
		"SCRAM-SHA-512": {Brokers: []string{c.SASL}, SASL: withPassword(t, kafka.Scram512, kafkatest.Root, kafkatest.Password)},
		"OAUTHBEARER":   {Brokers: []string{c.SASL}, SASL: withToken(t, kafkatest.Token(kafkatest.Root, soon))},
		"a certificate": {Brokers: []string{c.MTLS}, TLS: &kafka.TLS{Certificate: issued(t, c.CA, "client", soon)}},
		"by another name": {
			Brokers: []string{c.SASL}, TLS: &kafka.TLS{ServerName: "localhost"},
			SASL: withPassword(t, kafka.Plain, kafkatest.Root, kafkatest.Password),
		},
	} {
		t.Run(name, func(t *testing.T) {
			trusted := trusting(t, c.CA.PEM)
			if o.TLS == nil {
				o.TLS = &kafka.TLS{}
			}
			o.TLS.CA = trusted.CA
			reached, errs := o.Probe(t.Context())
			if len(errs) > 0 || reached.Cluster == "" || len(reached.Brokers) != 1 {
				t.Fatalf("got %+v, %v", reached, errs)
			}
			if err := open(t, o.Base("test")).Ping(t.Context()); err != nil {
				t.Errorf("a client: %v", err)
			}
		})
	}
}

// TestEachRefusalSaysItsStep spoils one thing at a time.
func TestEachRefusalSaysItsStep(t *testing.T) {
	c := kafkatest.RealSecured(t)
	other, err := kafkatest.NewAuthority("another CA", false)
	if err != nil {
		t.Fatal(err)
	}
	soon, gone := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	const canary = "not-the-password-canary"
	alice := func(password string) *kafka.SASL { return withPassword(t, kafka.Scram512, kafkatest.Alice, password) }
	ours := trusting(t, c.CA.PEM)
	_, port, _ := strings.Cut(c.SASL, ":")
	for name, tc := range map[string]struct {
		broker string
		tls    *kafka.TLS
		sasl   *kafka.SASL
		step   kafka.Step
		want   string
	}{
		"no such host":      {"nowhere.invalid:9092", nil, nil, kafka.StepResolve, "nowhere.invalid"},
		"nobody listens":    {"127.0.0.1:1", nil, nil, kafka.StepConnect, "nothing listens on port 1"},
		"no TLS there":      {c.Seeds[0], ours, nil, kafka.StepTLS, "does not speak TLS"},
		"no TLS here":       {c.SASL, nil, alice(canary), kafka.StepProtocol, "want TLS (kafka.tls.enabled)"},
		"a CA unknown here": {c.SASL, &kafka.TLS{}, nil, kafka.StepTLS, "name the cluster's own in kafka.tls.ca_file"},
		"a wrong CA":        {c.SASL, trusting(t, other.PEM), nil, kafka.StepTLS, "ca_file must hold the CA that signed it"},
		"a wrong name":      {c.SASL, &kafka.TLS{CA: ours.CA, ServerName: "kafka.example.com"}, nil, kafka.StepTLS, "is for localhost, 127.0.0.1, not for kafka.example.com"},
		"an expired server": {c.Expired, ours, alice(kafkatest.Password), kafka.StepTLS, "CN=broker of the broker or its CA expired at " + gone.UTC().Format("2006-01-02T")},
		"no certificate":    {c.MTLS, ours, nil, kafka.StepTLS, "no client certificate is configured"},
		"an expired certificate": {
			c.MTLS, &kafka.TLS{CA: ours.CA, Certificate: issued(t, c.CA, "client", gone)}, nil,
			kafka.StepTLS, "our client certificate CN=client expired at " + gone.UTC().Format("2006-01-02T"),
		},
		"a certificate of another CA": {
			c.MTLS, &kafka.TLS{CA: ours.CA, Certificate: issued(t, other, "client", soon)}, nil,
			kafka.StepTLS, "refuses our client certificate CN=client, issued by CN=another CA",
		},
		"no SASL there":        {c.MTLS, &kafka.TLS{CA: ours.CA, Certificate: issued(t, c.CA, "client", soon)}, alice(canary), kafka.StepMechanism, "does not use SASL"},
		"no SASL here":         {c.SASL, ours, nil, kafka.StepMechanism, "wants SASL"},
		"a mechanism not on":   {c.Scram, ours, withPassword(t, kafka.Plain, kafkatest.Alice, canary), kafka.StepMechanism, "PLAIN is not enabled on this listener; it offers SCRAM-SHA-512"},
		"a wrong password":     {c.SASL, ours, alice(canary), kafka.StepAuthenticate, "wrong user name or password for user alice"},
		"an unknown user":      {c.SASL, ours, withPassword(t, kafka.Scram256, "mallory", canary), kafka.StepAuthenticate, "for user mallory"},
		"wrong, with PLAIN":    {"127.0.0.1:" + port, ours, withPassword(t, kafka.Plain, kafkatest.Alice, canary), kafka.StepAuthenticate, "for user alice"},
		"an expired token":     {c.SASL, ours, withToken(t, kafkatest.Token(kafkatest.Alice, gone)), kafka.StepAuthenticate, "it expired at " + gone.UTC().Format("2006-01-02T")},
		"a token that is none": {c.SASL, ours, withToken(t, canary), kafka.StepAuthenticate, "refuses the token"},
		"a token with spaces":  {c.SASL, ours, withToken(t, canary+" x"), kafka.StepCredentials, "no token has"},
		"a password gone": {
			c.SASL, ours, &kafka.SASL{Mechanism: kafka.Plain, Username: "a", Password: secret.Fixed(secret.Secret{}), Secrets: secret.NewResolver()},
			kafka.StepCredentials, "kafka.sasl.password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := kafka.Options{Brokers: []string{tc.broker}, TLS: tc.tls, SASL: tc.sasl}
			_, errs := o.Probe(t.Context())
			if len(errs) != 1 {
				t.Fatalf("got %v", errs)
			}
			check := func(what string, err error) {
				t.Helper()
				text := err.Error()
				if !strings.HasPrefix(text, tc.broker+": "+string(tc.step)+": ") || !strings.Contains(text, tc.want) {
					t.Errorf("%s: got %q, want step %q and %q", what, text, tc.step, tc.want)
				}
				if strings.Contains(text, canary) {
					t.Errorf("%s repeats a secret: %s", what, text)
				}
			}
			check("the probe", errs[0])
			// A client that runs already goes through the same steps.
			cl := open(t, append(o.Base("test"), kgo.RetryTimeout(time.Second)))
			err := cl.Ping(t.Context())
			if err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("a client: %v", err)
			}
			t.Log(errs[0], "|", err)
		})
	}
}
