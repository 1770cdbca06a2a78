package catalog

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// keyCache keeps the decoded keys while the secrets behind them are the same,
// so that signing a delivery does not decode anything.
type keyCache struct{ last atomic.Pointer[keySet] }

type keySet struct {
	secrets []secret.Secret
	keys    []signature.Key
}

// liveRef is a reference and when it ends; never, when that is zero.
type liveRef struct {
	secret.Ref
	until time.Time
}

func (r liveRef) past(now time.Time) bool { return !r.until.IsZero() && !now.Before(r.until) }

// keys resolves the references that count now. One that cannot be resolved is passed over as
// long as another can: a secret that is being rotated away must not close the door.
func (c *keyCache) keys(r *secret.Resolver, refs []liveRef, decode func(secret.Secret) (signature.Key, error)) ([]signature.Key, error) {
	secrets := make([]secret.Secret, 0, len(refs))
	var errs []error
	now := time.Now()
	for _, ref := range refs {
		if ref.past(now) {
			continue
		}
		s, err := r.Resolve(ref.Ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		secrets = append(secrets, s)
	}
	if last := c.last.Load(); last != nil && same(last.secrets, secrets) {
		return last.keys, nil
	}
	set := &keySet{secrets: secrets}
	for _, s := range secrets {
		k, err := decode(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("no usable secret: %w", errors.Join(errs...))
	}
	c.last.Store(set)
	return set.keys, nil
}

// same says whether nothing was resolved anew: the resolver gives the same Secret
// as long as its content is the same.
func same(a, b []secret.Secret) bool { return len(a) > 0 && slices.Equal(a, b) }

// key resolves and decodes one reference.
func key(r *secret.Resolver, ref secret.Ref, decode func(secret.Secret) (signature.Key, error)) (signature.Key, error) {
	s, err := r.Resolve(ref)
	if err != nil {
		return signature.Key{}, err
	}
	k, err := decode(s)
	if err != nil {
		return signature.Key{}, fmt.Errorf("%s: %w", ref, err)
	}
	return k, nil
}
