package admin

import (
	"context"
	"net/http"

	"causeway/pkg/catalog"
)

type (
	// sourceSpecIn lets secrets be left out, which keeps them.
	sourceSpecIn struct {
		catalog.SourceSpec
		Secrets []string `json:"secrets,omitempty" doc:"plain:VALUE, a reference, or what the source shows, to keep one. The first one is the newest. Those it has when left out."`
	}
	sourceIn struct {
		Tenant string       `json:"tenant,omitempty" doc:"Tenant that shall own it; the operator when left out. Fixed once it is made."`
		Spec   sourceSpecIn `json:"spec" doc:"The source."`
	}
	createSourceIn struct{ Body sourceIn }
	updateSourceIn struct {
		ID      string `path:"id" maxLength:"300" doc:"Name or uid."`
		IfMatch string `header:"If-Match" doc:"ETag of the version that is meant: 412 when there is a newer one. Any when left out."`
		Body    sourceIn
	}
)

// spec is the spec as it was sent.
func (in sourceIn) spec() catalog.SourceSpec {
	spec := in.Spec.SourceSpec
	spec.Secrets = in.Spec.Secrets
	return spec
}

// sources are the operations on sources. To make, change or remove one is the
// operator's: names and topics are shared by all, and each topic costs Kafka something.
// A tenant sees the sources whose events it may get, and runs those that it owns.
func (s *Server) sources() {
	register(s, operation{id: "list-sources", method: http.MethodGet, path: "/sources", summary: "List sources", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *listIn) (*listOut[Source], error) {
			state := s.o.Catalog.State()
			sight := sightOf(state, v)
			return page(s, v, state, catalog.KindSource, *in, sight.source, func(e *catalog.Entry) Source { return s.source(v, e) })
		})
	register(s, operation{id: "get-source", method: http.MethodGet, path: "/sources/{id}", summary: "Show a source", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *itemIn) (*itemOut[Source], error) {
			state := s.o.Catalog.State()
			e, err := findSource(state, v, in.ID)
			if err != nil {
				return nil, err
			}
			return shown(e, in.IfNoneMatch, s.source(v, e)), nil
		})
	register(s, operation{id: "create-source", method: http.MethodPost, path: "/sources", summary: "Make a source, and its topic if need be", needs: []right{mayWrite}, operator: true, status: http.StatusCreated},
		s.createSource)
	register(s, operation{id: "update-source", method: http.MethodPut, path: "/sources/{id}", summary: "Replace the spec of a source", needs: []right{mayWrite}, operator: true},
		s.updateSource)
	register(s, operation{id: "delete-source", method: http.MethodDelete, path: "/sources/{id}", summary: "Remove a source; its topic stays", needs: []right{mayWrite}, operator: true},
		func(ctx context.Context, v *visit, in *changeIn) (*struct{}, error) {
			return nil, s.remove(ctx, v, catalog.KindSource, *in)
		})
	for _, paused := range []bool{true, false} {
		verb, summary := stateVerb(paused)
		register(s, operation{id: verb + "-source", method: http.MethodPost, path: "/sources/{id}/" + verb, summary: summary + " a source", needs: []right{mayState}},
			func(ctx context.Context, v *visit, in *stateIn) (*itemOut[Source], error) {
				e, err := s.pause(ctx, v, catalog.KindSource, in.ID, paused)
				if err != nil {
					return nil, err
				}
				return shown(e, "", s.source(v, e)), nil
			})
	}
	register(s, operation{id: "rotate-source-secret", method: http.MethodPost, path: "/sources/{id}/rotate-secret", summary: "Put a new secret before those of a source", needs: []right{mayRotate}},
		func(ctx context.Context, v *visit, in *rotateIn) (*rotatedOut, error) {
			return s.rotate(ctx, v, catalog.KindSource, in)
		})
	register(s, operation{id: "test-source", method: http.MethodPost, path: "/sources/{id}/test", summary: "Try whether webhooks of a source can be verified and stored", needs: []right{mayState}},
		s.testSource)
}

func stateVerb(paused bool) (verb, summary string) {
	if paused {
		return "pause", "Pause"
	}
	return "resume", "Resume"
}

// shown is an entry as it is answered.
func shown[T any](e *catalog.Entry, ifNoneMatch string, body T) *itemOut[T] {
	if unchanged(ifNoneMatch, e.Version) {
		return &itemOut[T]{Status: http.StatusNotModified, ETag: etag(e.Version)}
	}
	return &itemOut[T]{Status: http.StatusOK, ETag: etag(e.Version), Body: body}
}

// source is a source as the visitor may see it.
func (s *Server) source(v *visit, e *catalog.Entry) Source {
	spec, err := e.Source()
	out := Source{Meta: s.meta(v, e), Paused: e.Paused, Topic: topicOf(spec)}
	if s.o.PublicURL != "" {
		out.URL = s.o.PublicURL + "/webhooks/" + e.Name
	}
	if v.tenant != "" && e.Tenant != v.tenant {
		out.Meta = Meta{UID: e.UID, Version: e.Version}
		out.Spec = catalog.SourceSpec{Name: spec.Name, Provider: spec.Provider, Topic: out.Topic, Secrets: []string{}}
		return out
	}
	out.Spec, out.Retiring = spec, retiring(e, v.tenant != "")
	out.Spec.Secrets = handles(spec.Secrets, v.tenant != "")
	if err != nil {
		out.Fault = err.Error()
	}
	if s.o.Live != nil && v.tenant == "" {
		if live := s.o.Live().Source(e.Name); live != nil && live.Version == e.Version && live.Fault != nil {
			out.Fault = live.Fault.Error()
		}
	}
	return out
}

func (s *Server) createSource(ctx context.Context, v *visit, in *createSourceIn) (*createdOut[Source], error) {
	spec := in.Body.spec()
	tenant, err := owner(v, in.Body.Tenant, spec.Owner)
	if err != nil {
		return nil, err
	}
	e := born(catalog.KindSource, v, tenant, spec.Name)
	vault := s.vault(v, e, nil)
	spec.Owner, spec.Secrets = "", vault.take(spec.Secrets, inSpec, "secrets")
	if err := vault.problem(); err != nil {
		return nil, err
	}
	if err := e.SetSpec(spec); err != nil {
		return nil, err
	}
	made, err := s.create(ctx, v, e)
	if err != nil {
		return nil, err
	}
	return &createdOut[Source]{ETag: etag(made.Version), Location: BasePath + at("sources", made.Name), Body: s.source(v, made)}, nil
}

func (s *Server) updateSource(ctx context.Context, v *visit, in *updateSourceIn) (*itemOut[Source], error) {
	want, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	e, err := s.change(ctx, v, changing{place: standing(inSpec)}, func(state *catalog.State) (*catalog.Entry, error) {
		old, err := findSpec(state, v, catalog.KindSource, in.ID, want)
		if err != nil {
			return nil, err
		}
		spec := in.Body.spec()
		if err := stays(old, in.Body.Tenant, spec.Owner); err != nil {
			return nil, err
		}
		if err := unused(state, old.Kind, old.Tenant, spec.Name, old.UID); err != nil {
			return nil, err
		}
		vault, texts := s.vault(v, old, secretsOf(old)), spec.Secrets
		if texts == nil {
			texts = vault.kept()
		}
		spec.Owner, spec.Secrets = "", vault.take(texts, inSpec, "secrets")
		if err := vault.problem(); err != nil {
			return nil, err
		}
		if err := mayChangeSecrets(v, old, spec.Secrets); err != nil {
			return nil, err
		}
		return respecified(v, old, spec.Name, spec.Secrets, spec)
	})
	if err != nil {
		return nil, err
	}
	return shown(e, "", s.source(v, e)), nil
}
