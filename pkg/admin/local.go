package admin

import (
	"context"
	"errors"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// What a process does that the API is a part of, without a request: causeway dev puts
// its file into the catalog, and makes a key for whoever has its data directory.

// insider is the process itself, which may refer to any secret: its file is the
// operator's own.
func insider(who string) *visit {
	v := &visit{caller: keyless(), request: who, operation: "none", insider: true}
	v.who = who
	return v
}

// Apply makes the entries of a set what the input says, in the name of a part of this
// process. Its errors are Problems where the input is at fault.
func (s *Server) Apply(ctx context.Context, who string, in ApplyInput) (Applied, error) {
	out, err := s.apply(ctx, insider(who), &applyIn{in})
	if err != nil {
		return Applied{}, err
	}
	return out.Body, nil
}

// GenerateKey makes an API key that no catalog knows yet.
func GenerateKey() secret.Secret {
	_, key := newKey()
	return secret.New([]byte(key))
}

// Adopt lets a key of GenerateKey in as an administrator's, unless the catalog has it
// already.
func (s *Server) Adopt(ctx context.Context, who string, key secret.Secret, note string) error {
	text := string(key.Reveal())
	id, ok := parseKey(text)
	if !ok {
		return errors.New("this is no API key")
	}
	v := insider(who)
	c := &changing{s: s, v: v, place: standing("key"), plan: func(state *catalog.State) (catalog.Changes, error) {
		if state.Entry(catalog.KindKey, id) != nil {
			return catalog.Changes{}, nil
		}
		e := born(catalog.KindKey, v, "", id)
		e.UID = id
		err := e.SetSpec(catalog.KeySpec{Hash: hashKey(text), Roles: []string{"admin"}, Note: note})
		return catalog.Changes{Put: []*catalog.Entry{e}}, err
	}}
	_, err := c.do(ctx)
	return err
}
