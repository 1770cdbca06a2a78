package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"causeway/pkg/secret"
)

// The SASL mechanisms that there are.
const (
	Plain       = "PLAIN"
	Scram256    = "SCRAM-SHA-256"
	Scram512    = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
	MSKIAM      = "AWS_MSK_IAM"
)

// SASL says as whom the clients of a process authenticate. Secrets are resolved
// for each new session, so a changed one needs no restart.
type SASL struct {
	Mechanism  string
	Username   string
	Password   secret.Ref // PLAIN and SCRAM
	Token      secret.Ref // OAUTHBEARER: a token at hand, as a mounted file has it
	Endpoint   *TokenEndpoint
	Extensions map[string]string // of OAUTHBEARER, as some brokers want them
	AWS        *AWS
	Secrets    *secret.Resolver
}

// mechanism is how kgo sees it.
func (s *SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	case Scram256:
		return scram.Sha256(s.scram)
	case Scram512:
		return scram.Sha512(s.scram)
	case MSKIAM:
		return s.AWS
	default:
		return &bearer{s}
	}
}

func (s *SASL) scram(context.Context) (scram.Auth, error) {
	password, err := s.password()
	return scram.Auth{User: s.Username, Pass: password}, err
}

func (s *SASL) password() (string, error) {
	password, err := s.Secrets.Resolve(s.Password)
	if err != nil {
		return "", &StepError{Step: StepCredentials, Text: "kafka.sasl.password: " + err.Error(), Err: err}
	}
	return string(password.Reveal()), nil
}

// bearer is OAUTHBEARER with refusals that can be understood.
type bearer struct{ *SASL }

func (*bearer) Name() string { return OAuthBearer }

func (b *bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	token, err := b.token(ctx)
	if err != nil {
		return nil, nil, err
	}
	text := string(token.Reveal())
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, nil, &StepError{Step: StepCredentials, Text: "the token holds spaces or other characters that no token has"}
	}
	_, first, err := oauth.Auth{Token: text, Extensions: b.Extensions}.AsMechanism().Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return &bearerSession{b, token}, first, nil
}

func (b *bearer) token(ctx context.Context) (secret.Secret, error) {
	if b.Endpoint != nil {
		return b.Endpoint.token(ctx)
	}
	token, err := b.Secrets.Resolve(b.Token)
	if err != nil {
		return secret.Secret{}, &StepError{Step: StepCredentials, Text: "kafka.sasl.token: " + err.Error(), Err: err}
	}
	return token, nil
}

type bearerSession struct {
	*bearer
	used secret.Secret
}

// Challenge hears the broker's verdict. Nothing is consent; a refusal comes as a
// JSON object (RFC 7628, 3.2.2) whose status says next to nothing, where the token
// itself often tells the reason.
func (s *bearerSession) Challenge(response []byte) (bool, []byte, error) {
	if len(response) == 0 {
		return true, nil, nil
	}
	if s.Endpoint != nil {
		s.Endpoint.refused(s.used)
	}
	var refusal struct{ Status string }
	_ = json.Unmarshal(response, &refusal)
	if refusal.Status == "" || len(refusal.Status) > 100 {
		refusal.Status = "without a reason"
	}
	text := fmt.Sprintf("the broker refuses the token (%q)", refusal.Status)
	if hint := explainToken(s.used); hint != "" {
		text += ": " + hint
	}
	return false, nil, &StepError{Step: StepAuthenticate, Text: text}
}

// refused says in words what a broker answered to a mechanism or its credentials.
func (s *SASL) refused(broker string, offered []string, said *string, err error) error {
	e := &StepError{Broker: broker, Step: StepAuthenticate, Err: err}
	switch {
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		e.Step = StepMechanism
		e.Text = fmt.Sprintf("%s is not enabled on this listener", s.Mechanism)
		if len(offered) > 0 {
			e.Text += "; it offers " + strings.Join(offered, ", ")
		}
	case errors.Is(err, kerr.IllegalSaslState):
		e.Step, e.Text = StepMechanism, "this listener does not use SASL: use one that does, or leave kafka.sasl out"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		e.Text = s.suspect()
		if said != nil && *said != "" {
			e.Text += " (the broker says: " + *said + ")"
		}
	default:
		e.Text = err.Error()
	}
	return e
}

// suspect names what is most likely wrong when a broker refuses credentials.
func (s *SASL) suspect() string {
	switch s.Mechanism {
	case OAuthBearer:
		return "the broker refuses the token"
	case MSKIAM:
		return "the broker refuses the AWS credentials: check the role's policy (kafka-cluster:Connect), the region and this machine's clock"
	default:
		return fmt.Sprintf("wrong user name or password for user %s (kafka.sasl.username, kafka.sasl.password)", s.Username)
	}
}
