package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
)

const (
	defaultOverlap = 24 * time.Hour
	longestOverlap = 90 * 24 * time.Hour
)

type (
	rotateIn struct {
		ID   string `path:"id" maxLength:"300" doc:"Name or uid."`
		Body RotateInput
	}
	rotatedOut struct {
		ETag string `header:"ETag"`
		Body Rotated
	}
)

// rotate puts a new secret before the others, which go on counting for a while. It is a
// change of the spec: for an entry of a set, the file says which secrets there are, and
// would put them back.
func (s *Server) rotate(ctx context.Context, v *visit, kind catalog.Kind, in *rotateIn) (*rotatedOut, error) {
	overlap := defaultOverlap
	if in.Body.Overlap != nil {
		overlap = time.Duration(*in.Body.Overlap)
	}
	if overlap < 0 || overlap > longestOverlap {
		return nil, invalid([]catalog.Fault{{Path: []string{"body.overlap"}, Text: fmt.Sprintf("%s is out of range: 0s to %s", overlap, longestOverlap)}})
	}
	text, made := in.Body.Secret, ""
	until := time.Now().UTC().Add(overlap)
	left := 0 // old secrets that count on
	e, err := s.change(ctx, v, changing{place: standing(inSecret), action: "rotate", minds: newSecret}, func(state *catalog.State) (*catalog.Entry, error) {
		if _, err := findOwn(state, v, kind, in.ID); err != nil {
			return nil, err
		}
		old, err := findSpec(state, v, kind, in.ID, condition{any: true})
		if err != nil {
			return nil, err
		}
		if text == "" {
			if made, err = newSecretFor(old); err != nil {
				return nil, err
			}
			text = plainScheme + made // the same one if this has to be done again
		}
		live := livingSecrets(old)
		vault := s.vault(v, old, live)
		fresh := vault.take([]string{text}, "body", "secret")
		if err := vault.problem(); err != nil {
			return nil, plainly(err)
		}
		if slices.Contains(live, fresh[0]) {
			return nil, invalid([]catalog.Fault{{Path: []string{"body.secret"}, Text: "the entry has this secret already: send another one, or leave it out to have one made"}})
		}
		if overlap == 0 {
			live = nil
		}
		if left = len(live); left >= mostSecrets {
			return nil, refuse(http.StatusConflict, "too_many_secrets", "it has %d secrets that still count, and may have %d: wait until one ends, or rotate with an overlap of 0s", left, mostSecrets)
		}
		next := touched(old, v)
		next.Retire = maps.Clone(old.Retire)
		if next.Retire == nil {
			next.Retire = map[string]time.Time{}
		}
		maps.DeleteFunc(next.Retire, func(text string, _ time.Time) bool { return !slices.Contains(live, text) })
		for _, text := range live {
			if ends, ok := next.Retire[text]; !ok || until.Before(ends) {
				next.Retire[text] = until
			}
		}
		return next, setSecrets(next, append(fresh, live...))
	})
	if err != nil {
		return nil, err
	}
	out := &rotatedOut{ETag: etag(e.Version), Body: Rotated{Version: e.Version, Secret: made}}
	if left > 0 {
		out.Body.Retires = &until
	}
	return out, nil
}

// plainly takes the number out of the place of a single secret.
func plainly(err error) error {
	if p, ok := err.(*Problem); ok { //nolint:errorlint // made a line ago
		for i := range p.Errors {
			p.Errors[i].Location = "body.secret"
		}
	}
	return err
}

// livingSecrets are the secrets of an entry that count.
func livingSecrets(e *catalog.Entry) []string {
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(secretsOf(e)), func(text string) bool {
		until, ends := e.Retire[text]
		return ends && !now.Before(until)
	})
}

func setSecrets(e *catalog.Entry, secrets []string) error {
	if e.Kind == catalog.KindSource {
		spec, err := e.Source()
		spec.Secrets = secrets
		if err != nil {
			return err
		}
		return e.SetSpec(spec)
	}
	spec, err := e.Subscription()
	spec.Secrets = secrets
	if err != nil {
		return err
	}
	return e.SetSpec(spec)
}

// newSecretFor makes a secret, where it is the receiver's to choose one.
func newSecretFor(e *catalog.Entry) (string, error) {
	if e.Kind == catalog.KindSubscription {
		return newSigningSecret(), nil
	}
	spec, err := e.Source()
	if err != nil {
		return "", err
	}
	if !slices.Contains(choosing(), spec.Provider) {
		return "", invalid([]catalog.Fault{{Path: []string{"body.secret"}, Text: fmt.Sprintf("%s makes its secrets itself: make one there and send it as plain:VALUE (--secret-stdin of the verb), or as a reference", spec.Provider)}})
	}
	p, err := provider.New(spec.Provider, spec.Settings)
	if err != nil {
		return "", err
	}
	return p.Generate(), nil
}

// choosing are the providers that let the receiver choose the secret.
func choosing() []string { return []string{"github", "gitlab", "hmac", "token", "basic"} }
