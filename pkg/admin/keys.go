package admin

import (
	"context"
	"net/http"
	"time"

	"causeway/pkg/catalog"
)

type createKeyIn struct{ Body KeyInput }

// keys are the operations on API keys. They are the operator's: a tenant that could
// make keys could keep one that outlives what the operator gave it.
func (s *Server) keys() {
	register(s, operation{id: "list-keys", method: http.MethodGet, path: "/keys", summary: "List API keys", needs: []right{mayKeys}, operator: true},
		func(_ context.Context, v *visit, in *listIn) (*listOut[Key], error) {
			return page(s, v, s.o.Catalog.State(), catalog.KindKey, *in, func(*catalog.Entry) bool { return true },
				func(e *catalog.Entry) Key { return s.apiKey(v, e) })
		})
	register(s, operation{id: "create-key", method: http.MethodPost, path: "/keys", summary: "Make an API key, which the answer alone shows", needs: []right{mayKeys}, operator: true, status: http.StatusCreated},
		s.createKey)
	register(s, operation{id: "revoke-key", method: http.MethodDelete, path: "/keys/{id}", summary: "End an API key", needs: []right{mayKeys}, operator: true},
		func(ctx context.Context, v *visit, in *changeIn) (*struct{}, error) {
			return nil, s.remove(ctx, v, catalog.KindKey, *in)
		})
}

func (s *Server) createKey(ctx context.Context, v *visit, in *createKeyIn) (*createdOut[Key], error) {
	if ends := in.Body.Expires; ends != nil && !time.Now().Before(*ends) {
		return nil, invalid([]catalog.Fault{{Path: []string{"body.expires"}, Text: "it is past: give a time to come, or leave it out"}})
	}
	id, key := newKey()
	e := born(catalog.KindKey, v, in.Body.Tenant, id)
	e.UID = id
	spec := catalog.KeySpec{Hash: hashKey(key), Roles: in.Body.Roles, Note: in.Body.Note, Expires: in.Body.Expires}
	if err := e.SetSpec(spec); err != nil {
		return nil, err
	}
	c := &changing{s: s, v: v, place: standing("body"), plan: func(state *catalog.State) (catalog.Changes, error) {
		return catalog.Changes{Put: []*catalog.Entry{e.Copy()}}, state.Fresh(e.Kind, e.UID, catalog.Absent)
	}}
	state, err := c.do(ctx)
	if err != nil {
		return nil, err
	}
	made, err := written(state, e.Kind, e.UID)
	if err != nil {
		return nil, err
	}
	out := &createdOut[Key]{ETag: etag(made.Version), Location: BasePath + at("keys", id), Body: s.apiKey(v, made)}
	out.Body.Key = key
	return out, nil
}

// apiKey is a key without what it is compared with.
func (s *Server) apiKey(v *visit, e *catalog.Entry) Key {
	spec, _ := e.KeySpec() // of a later release: shown without
	return Key{Meta: s.meta(v, e), Roles: spec.Roles, Note: spec.Note, Expires: spec.Expires, LastUsed: spec.LastUsed}
}
