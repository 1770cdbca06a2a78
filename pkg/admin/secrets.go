package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

const (
	plainScheme  = "plain:"
	sealedScheme = "sealed:"
	keptScheme   = "kept#"
	mostSecrets  = 5
)

// handle is what is shown of a secret, the i-th of its entry, and may be sent back to
// keep it: a reference as it is, a sealed secret as sealed:KEY#HASH of its ciphertext. A
// tenant is not shown how the operator's machines name things, nor anything by which a
// guess could be proved: it gets the place alone.
func handle(text string, i int, tenant bool) string {
	parts := strings.SplitN(text, ":", 4)
	switch {
	case len(parts) == 4 && strings.HasPrefix(text, sealedScheme):
		sum := sha256.Sum256([]byte(text))
		return sealedScheme + parts[2] + "#" + hex.EncodeToString(sum[:4])
	case tenant:
		return keptScheme + strconv.Itoa(i+1)
	}
	if _, err := secret.ParseRef(text); err != nil {
		return "[redacted]" // no reference: somebody wrote the secret itself
	}
	return text
}

func handles(texts []string, tenant bool) []string {
	shown := make([]string, len(texts))
	for i, text := range texts {
		shown[i] = handle(text, i, tenant)
	}
	return shown
}

// vault turns secrets as they were sent into those that an entry holds.
type vault struct {
	ring *secret.Keyring
	at   secret.Binding
	old  []string // those that the entry has
	// tenant says that a tenant sent them: it keeps what is there by its handle, and is
	// not told by a reference that is taken what the operator's machines name so.
	tenant bool
	// anew says that old ones must be sent again: they would go to another host now.
	anew bool
	// later takes secrets whose entry has no uid yet, by what stands for them until then;
	// nil: it has.
	later map[string]secret.Secret

	asked  bool // an old one was sent as its handle, and must not be
	faults []catalog.Fault
}

func (s *Server) vault(v *visit, e *catalog.Entry, old []string) *vault {
	return &vault{
		ring: s.o.Keyring, old: old, tenant: v.tenant != "",
		at: secret.Binding{Tenant: e.Tenant, Kind: string(e.Kind), UID: e.UID, Field: "secrets"},
	}
}

// take gives the texts that the entry shall hold. What it says of one that it cannot
// take holds nothing of it.
func (b *vault) take(texts []string, path ...string) []string {
	taken := make([]string, 0, len(texts))
	if len(texts) > mostSecrets {
		b.fault(path, "%d secrets: at most %d", len(texts), mostSecrets)
		return texts[:0]
	}
	for i, text := range texts {
		sealed, err := b.one(text)
		if err != nil {
			b.fault(append(slices.Clone(path), fmt.Sprint(i)), "%v", err)
			continue
		}
		taken = append(taken, sealed)
	}
	return taken
}

func (b *vault) fault(path []string, format string, args ...any) {
	b.faults = append(b.faults, catalog.Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (b *vault) one(text string) (string, error) {
	for i, old := range b.old {
		if !b.means(text, old, i) {
			continue
		}
		if b.anew && (text != old || strings.HasPrefix(old, sealedScheme)) {
			b.asked = true
			return "", fmt.Errorf("the URL leads to another host now: send the secret again, as plain:VALUE or a reference, or leave secrets out to have one made")
		}
		return old, nil
	}
	switch value, plain := strings.CutPrefix(text, plainScheme); {
	case plain:
		return b.seal(secret.New([]byte(value)))
	case strings.HasPrefix(text, sealedScheme) && strings.Contains(text, "#"), strings.HasPrefix(text, keptScheme):
		return "", fmt.Errorf("the entry has no such secret: send what it shows, or the secret itself as plain:VALUE")
	case b.tenant && isReference(text):
		// Here, not by the checks: they let one through that the entry has already.
		return "", errors.New("a reference may not be given here: give the secret itself, as plain:VALUE, which is kept sealed")
	case strings.HasPrefix(text, sealedScheme), isReference(text):
		return text, nil // the checks have the last word
	}
	return "", fmt.Errorf("a secret is sent as plain:VALUE, which is sealed, or as a reference, env:NAME or file:/absolute/path")
}

func isReference(text string) bool {
	return strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:")
}

// kept are texts that keep all that the entry has.
func (b *vault) kept() []string {
	if b.tenant {
		return handles(b.old, true)
	}
	return b.old
}

// means says whether a text that was sent stands for the i-th secret of the entry.
func (b *vault) means(text, old string, i int) bool {
	if text == handle(old, i, b.tenant) {
		return true
	}
	return text == old && (!b.tenant || strings.HasPrefix(old, sealedScheme))
}

// seal seals a secret in its place. One that the entry has already stays as it is, so
// that applying the same file again changes nothing.
func (b *vault) seal(value secret.Secret) (string, error) {
	if value.IsZero() {
		return "", fmt.Errorf("plain: wants the secret after it")
	}
	if b.ring == nil {
		return "", fmt.Errorf("secrets cannot be sealed here: set %s in the environment of every causeway process (`causeway key generate` prints a key), or send a reference", secret.KeysVariable)
	}
	if b.later != nil {
		placeholder := fmt.Sprintf("pending#%d", len(b.later))
		b.later[placeholder] = value
		return placeholder, nil
	}
	for _, old := range b.old {
		if !strings.HasPrefix(old, sealedScheme) {
			continue
		}
		if known, err := b.ring.Open(old, b.at); err == nil && known.Equal(value) {
			return old, nil
		}
	}
	return b.ring.Seal(value, b.at)
}

// problem is what was wrong with the secrets.
func (b *vault) problem() error {
	if len(b.faults) == 0 {
		return nil
	}
	p := invalid(b.faults)
	if b.asked {
		p.Code = "credentials_needed"
	}
	return p
}

// newSigningSecret makes a signing secret of Standard Webhooks.
func newSigningSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// secretsOf are the texts of an entry's secrets.
func secretsOf(e *catalog.Entry) []string {
	var spec struct {
		Secrets []string `json:"secrets"`
	}
	if e == nil || json.Unmarshal(e.Spec, &spec) != nil {
		return nil
	}
	return spec.Secrets
}
