package provider

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// Provider is a preset put together with a source's settings. It is safe for
// concurrent use.
type Provider struct {
	name         string
	schemes      []scheme // more than one: the request says which
	headers      []string
	authHeaders  []string
	bearerBody   bool
	replyTimeout time.Duration
	reply        *Reply
	handshakes   []handshake
	methods      []string
	secretPrefix string
	samples      []sample
	isGeneric    bool
}

// scheme is a schemeDefinition compiled with the settings.
type scheme struct {
	verifiedBy string
	auth       *signature.Compiled
	detect     string // canonical
	event      rules
}

// Reply is an answer that a provider wants to see.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// Name gives the preset's name, such as gitlab.
func (p *Provider) Name() string { return p.name }

// VerifiedBy says how requests are verified, such as stripe or gitlab/token.
func (p *Provider) VerifiedBy() string { return p.schemes[0].verifiedBy }

// Key decodes a secret as this provider means it. Errors name no part of it.
func (p *Provider) Key(s secret.Secret, allowWeak bool) (signature.Key, error) {
	return p.schemes[0].auth.Key(s, allowWeak)
}

// Verify reports whether the request is from whoever has one of the keys, and
// recent, where the provider signs the time.
func (p *Provider) Verify(m *signature.Message, keys []signature.Key, now time.Time) error {
	return p.scheme(m).auth.Verify(m, keys, now)
}

// Sign makes of m what the provider would send.
func (p *Provider) Sign(m *signature.Message, keys []signature.Key, now time.Time) error {
	return p.schemes[0].auth.Sign(m, keys, now)
}

// Generate makes a random secret in the form that this provider's have.
func (p *Provider) Generate() string { return p.secretPrefix + p.schemes[0].auth.NewSecret() }

// Reply gives the answer to an accepted event, if the provider needs a certain one.
func (p *Provider) Reply() (Reply, bool) {
	if p.reply == nil {
		return Reply{}, false
	}
	return *p.reply, true
}

// Headers lists the request headers worth keeping with the event, in lower case.
func (p *Provider) Headers() []string { return slices.Clone(p.headers) }

// AuthHeaders lists the headers that may hold a credential, of every scheme the
// provider has, in lower case. They are never stored, whatever a user lists.
func (p *Provider) AuthHeaders() []string { return slices.Clone(p.authHeaders) }

// ReplyTimeout says how long an answer may take, a little less than the
// provider waits; 0 when it has no opinion.
func (p *Provider) ReplyTimeout() time.Duration { return p.replyTimeout }

// Methods lists the HTTP methods the provider uses, POST first.
func (p *Provider) Methods() []string { return slices.Clone(p.methods) }

// BearerBody reports that bodies hold a credential, which whoever may read them
// could use.
func (p *Provider) BearerBody() bool { return p.bearerBody }

// Replay says what keeps an old request from being taken again: timestamp (too
// old is refused), window (it is found in the deduplication window), or none
// (nothing is signed).
func (p *Provider) Replay() string {
	switch auth := p.schemes[0].auth; {
	case auth.SignsTime():
		return "timestamp"
	case auth.SignsBody():
		return "window"
	default:
		return "none"
	}
}

// scheme gives the one that the request is under.
func (p *Provider) scheme(m *signature.Message) *scheme {
	for i := range p.schemes {
		if d := p.schemes[i].detect; d != "" && m.Header[d] != nil {
			return &p.schemes[i]
		}
	}
	return &p.schemes[0]
}

func methods(handshakes []handshake) []string {
	others := map[string]bool{}
	for _, h := range handshakes {
		if h.Method != http.MethodPost {
			others[h.Method] = true
		}
	}
	return append([]string{http.MethodPost}, slices.Sorted(maps.Keys(others))...)
}
