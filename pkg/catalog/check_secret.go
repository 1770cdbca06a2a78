package catalog

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// secretCheck decides whether a secret may be written into an entry.
type secretCheck struct {
	o   CheckOptions
	by  Author
	had map[string]bool // texts that stand in the entry already
	e   *Entry
}

var (
	errReference    = errors.New("a reference may not be given here: give the secret itself, which is kept sealed")
	errReferenceFor = errors.New("this reference may not be given here: secrets.allow in the admin's process file has no pattern for it or for where it leads, or it is a variable or file of causeway's own, which are never given away")
)

// secret refuses what the author may not refer to, before anything is looked up: a
// refusal must not tell whether a variable or a file is there. Then it refuses what
// cannot be opened in its place, and what is known not to do as a key. A reference
// that does not resolve here may do so where it is used.
func (c *secretCheck) secret(text string, ref secret.Ref, place secret.Binding, used bool, decode func(secret.Secret) (signature.Key, error)) error {
	sealed := strings.HasPrefix(text, "sealed:")
	if !sealed {
		if err := c.refers(text, ref); err != nil {
			return err
		}
	}
	if until, retires := c.e.Retire[text]; retires && !time.Now().Before(until) {
		return nil // not in use any more
	}
	var s secret.Secret
	var err error
	if ring := c.o.Resolver.Keyring(); sealed && ring != nil {
		// Not by the resolver: it keeps what it opened, and this may not be written.
		if s, err = ring.Open(text, place); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
	} else if s, err = c.o.Resolver.Resolve(ref); err != nil {
		if used {
			return err
		}
		return nil
	}
	if _, err := decode(s); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	return nil
}

// refers says why the author may not refer to a variable or a file.
func (c *secretCheck) refers(text string, ref secret.Ref) error {
	switch {
	case c.by.AllReferences, c.had[text]:
		return nil
	case !c.by.References || c.by.Tenant != "":
		return errReference
	case !secret.AllowRef(c.o.SecretsAllow, c.o.SecretsOwn, ref):
		return errReferenceFor
	}
	return nil
}
