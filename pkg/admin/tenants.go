package admin

import (
	"context"
	"net/http"

	"causeway/pkg/catalog"
)

type (
	createTenantIn struct{ Body TenantInput }
	updateTenantIn struct {
		ID      string `path:"id" maxLength:"300" doc:"Name or uid."`
		IfMatch string `header:"If-Match" doc:"ETag of the version that is meant: 412 when there is a newer one. Any when left out."`
		Body    TenantInput
	}
)

// tenants are the operations on tenants; a tenant's key sees its own.
func (s *Server) tenants() {
	register(s, operation{id: "list-tenants", method: http.MethodGet, path: "/tenants", summary: "List tenants", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *listIn) (*listOut[Tenant], error) {
			state := s.o.Catalog.State()
			counts := subscriptionsBy(state)
			own := func(e *catalog.Entry) bool { return v.tenant == "" || e.UID == v.tenant }
			return page(s, v, state, catalog.KindTenant, *in, own, func(e *catalog.Entry) Tenant { return s.tenant(v, e, counts) })
		})
	register(s, operation{id: "get-tenant", method: http.MethodGet, path: "/tenants/{id}", summary: "Show a tenant", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *itemIn) (*itemOut[Tenant], error) {
			state := s.o.Catalog.State()
			e := state.Entry(catalog.KindTenant, in.ID)
			if e == nil || v.tenant != "" && e.UID != v.tenant {
				return nil, notFound(catalog.KindTenant, in.ID)
			}
			return shown(e, in.IfNoneMatch, s.tenant(v, e, subscriptionsBy(state))), nil
		})
	register(s, operation{id: "create-tenant", method: http.MethodPost, path: "/tenants", summary: "Make a tenant", needs: []right{mayTenants}, operator: true, status: http.StatusCreated},
		func(ctx context.Context, v *visit, in *createTenantIn) (*createdOut[Tenant], error) {
			e := born(catalog.KindTenant, v, "", in.Body.Spec.Name)
			e.UID = e.Name
			if err := e.SetSpec(in.Body.Spec); err != nil {
				return nil, err
			}
			made, err := s.create(ctx, v, e)
			if err != nil {
				return nil, err
			}
			return &createdOut[Tenant]{ETag: etag(made.Version), Location: BasePath + at("tenants", made.Name), Body: s.tenant(v, made, nil)}, nil
		})
	register(s, operation{id: "update-tenant", method: http.MethodPut, path: "/tenants/{id}", summary: "Replace the spec of a tenant", needs: []right{mayTenants}, operator: true},
		s.updateTenant)
	register(s, operation{id: "delete-tenant", method: http.MethodDelete, path: "/tenants/{id}", summary: "Remove a tenant that owns nothing any more", needs: []right{mayTenants}, operator: true},
		func(ctx context.Context, v *visit, in *changeIn) (*struct{}, error) {
			return nil, s.remove(ctx, v, catalog.KindTenant, *in)
		})
}

func (s *Server) updateTenant(ctx context.Context, v *visit, in *updateTenantIn) (*itemOut[Tenant], error) {
	want, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	var counts map[string]int
	e, err := s.change(ctx, v, changing{place: standing(inSpec)}, func(state *catalog.State) (*catalog.Entry, error) {
		old, err := findSpec(state, v, catalog.KindTenant, in.ID, want)
		if err != nil {
			return nil, err
		}
		if in.Body.Spec.Name != old.Name {
			return nil, invalid([]catalog.Fault{{Path: []string{inSpec, "name"}, Text: "a tenant's name stays, because events carry it: make another tenant"}})
		}
		counts = subscriptionsBy(state)
		next := touched(old, v)
		return next, next.SetSpec(in.Body.Spec)
	})
	if err != nil {
		return nil, err
	}
	return shown(e, "", s.tenant(v, e, counts)), nil
}

// subscriptionsBy counts the subscriptions of each tenant.
func subscriptionsBy(state *catalog.State) map[string]int {
	counts := map[string]int{}
	for e := range state.All(catalog.KindSubscription) {
		counts[e.Tenant]++
	}
	return counts
}

func (s *Server) tenant(v *visit, e *catalog.Entry, counts map[string]int) Tenant {
	spec, _ := e.TenantSpec() // of a later release: shown without
	return Tenant{Meta: s.meta(v, e), Subscriptions: counts[e.Name], Spec: spec}
}
