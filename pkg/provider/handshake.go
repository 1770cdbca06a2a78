package provider

import (
	"net/http"

	"causeway/pkg/signature"
)

// maxChallenge bounds what is sent back to whoever asks, in bytes.
const maxChallenge = 1024

// handshake is a request by which a provider asks whether the address is ours,
// and which is no event. It is looked at after Verify.
type handshake struct {
	Method string `json:"method"`
	When   string `json:"when"` // a rule ...
	Is     string `json:"is"`   // ... and the value that makes it a handshake
	Echo   string `json:"echo"` // a rule: what to send back, as text

	when, echo rule
}

func (h *handshake) compile(at string, f *faults) {
	var err error
	if h.when, err = parseRule(h.When); err != nil || h.when == nil || h.Is == "" {
		f.add(at+".when", "wants a rule, and is a value")
	}
	if h.echo, err = parseRule(h.Echo); err != nil || h.echo == nil {
		f.add(at+".echo", "wants a rule")
	}
	if h.Method != http.MethodPost {
		f.add(at+".method", "%q: only POST can be verified first", h.Method)
	}
}

// Handshake gives the answer when m is not an event but asks whether somebody
// is here. m must have passed Verify. The body of the answer comes from the
// request: send it with X-Content-Type-Options: nosniff.
func (p *Provider) Handshake(m *signature.Message) (Reply, bool) {
	for i := range p.handshakes {
		h := &p.handshakes[i]
		if m.Method != h.Method || h.when.find(m) != h.Is {
			continue
		}
		challenge := h.echo.find(m)
		if challenge == "" || len(challenge) > maxChallenge {
			continue
		}
		return Reply{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(challenge)}, true
	}
	return Reply{}, false
}
