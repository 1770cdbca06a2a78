package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"causeway/pkg/catalog"
)

type (
	// subscriptionSpecIn lets secrets be left out.
	subscriptionSpecIn struct {
		catalog.SubscriptionSpec
		Secrets []string `json:"secrets,omitempty" doc:"plain:VALUE, a reference, or what the subscription shows, to keep one. The first one is the newest. Left out: one is made for a new subscription, and when the URL leads to another host; else those that it has stay."`
	}
	subscriptionIn struct {
		Tenant string             `json:"tenant,omitempty" doc:"Tenant that shall own it; that of the key when left out. Fixed once it is made."`
		Spec   subscriptionSpecIn `json:"spec" doc:"The subscription."`
	}
	createSubscriptionIn struct{ Body subscriptionIn }
	updateSubscriptionIn struct {
		ID      string `path:"id" maxLength:"300" doc:"Name or uid."`
		IfMatch string `header:"If-Match" doc:"ETag of the version that is meant: 412 when there is a newer one. Any when left out."`
		Body    subscriptionIn
	}
)

func (in subscriptionIn) spec() catalog.SubscriptionSpec {
	spec := in.Spec.SubscriptionSpec
	spec.Secrets = in.Spec.Secrets
	return spec
}

func (s *Server) subscriptions() {
	register(s, operation{id: "list-subscriptions", method: http.MethodGet, path: "/subscriptions", summary: "List subscriptions", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *listIn) (*listOut[Subscription], error) {
			own := func(e *catalog.Entry) bool { return v.tenant == "" || e.Tenant == v.tenant }
			return page(s, v, s.o.Catalog.State(), catalog.KindSubscription, *in, own, func(e *catalog.Entry) Subscription { return s.subscription(v, e) })
		})
	register(s, operation{id: "get-subscription", method: http.MethodGet, path: "/subscriptions/{id}", summary: "Show a subscription", needs: []right{mayRead}},
		func(_ context.Context, v *visit, in *itemIn) (*itemOut[Subscription], error) {
			e, err := find(s.o.Catalog.State(), v, catalog.KindSubscription, in.ID)
			if err != nil {
				return nil, err
			}
			return shown(e, in.IfNoneMatch, s.subscription(v, e)), nil
		})
	register(s, operation{id: "create-subscription", method: http.MethodPost, path: "/subscriptions", summary: "Make a subscription, which gets what is stored from now on", needs: []right{mayWrite, mayURL}, status: http.StatusCreated},
		s.createSubscription)
	register(s, operation{id: "update-subscription", method: http.MethodPut, path: "/subscriptions/{id}", summary: "Replace the spec of a subscription", needs: []right{mayWrite}},
		s.updateSubscription)
	register(s, operation{id: "delete-subscription", method: http.MethodDelete, path: "/subscriptions/{id}", summary: "Remove a subscription; what waits for it is dead-lettered", needs: []right{mayWrite}},
		func(ctx context.Context, v *visit, in *changeIn) (*struct{}, error) {
			return nil, s.remove(ctx, v, catalog.KindSubscription, *in)
		})
	for _, paused := range []bool{true, false} {
		verb, summary := stateVerb(paused)
		register(s, operation{id: verb + "-subscription", method: http.MethodPost, path: "/subscriptions/{id}/" + verb, summary: summary + " a subscription", needs: []right{mayState}},
			func(ctx context.Context, v *visit, in *stateIn) (*itemOut[Subscription], error) {
				e, err := s.pause(ctx, v, catalog.KindSubscription, in.ID, paused)
				if err != nil {
					return nil, err
				}
				return shown(e, "", s.subscription(v, e)), nil
			})
	}
	register(s, operation{id: "rotate-subscription-secret", method: http.MethodPost, path: "/subscriptions/{id}/rotate-secret", summary: "Put a new signing secret before those of a subscription", needs: []right{mayRotate}},
		func(ctx context.Context, v *visit, in *rotateIn) (*rotatedOut, error) {
			return s.rotate(ctx, v, catalog.KindSubscription, in)
		})
	register(s, operation{id: "test-subscription", method: http.MethodPost, path: "/subscriptions/{id}/test", summary: "Send a signed test event to a subscription", needs: []right{mayState}},
		s.testSubscription)
}

// subscription is a subscription as the visitor may see it.
func (s *Server) subscription(v *visit, e *catalog.Entry) Subscription {
	spec, err := e.Subscription()
	out := Subscription{Meta: s.meta(v, e), Paused: e.Paused, Starts: e.Starts, Spec: spec, Retiring: retiring(e, v.tenant != "")}
	out.Spec.Secrets = handles(spec.Secrets, v.tenant != "")
	if v.tenant != "" {
		out.Starts = nil // they tell how much others get
	}
	if err != nil {
		out.Fault = err.Error()
	}
	if live := s.live(e); live != nil && live.Fault != nil {
		out.Fault = live.Fault.Error()
		if v.tenant != "" {
			out.Fault = "it cannot be used now: ask the operator"
		}
	}
	return out
}

// live is what this process has compiled of a subscription; nil if it has not come to
// this form of it.
func (s *Server) live(e *catalog.Entry) *catalog.Subscription {
	uid, err := uuid.Parse(e.UID)
	if err != nil || s.o.Live == nil {
		return nil
	}
	if live := s.o.Live().Subscription(uid); live != nil && live.Version == e.Version {
		return live
	}
	return nil
}

func (s *Server) createSubscription(ctx context.Context, v *visit, in *createSubscriptionIn) (*createdOut[Subscription], error) {
	spec, made := in.Body.spec(), ""
	tenant, err := owner(v, in.Body.Tenant, spec.Owner)
	if err != nil {
		return nil, err
	}
	if len(spec.Secrets) == 0 {
		made = newSigningSecret()
		spec.Secrets = []string{plainScheme + made}
	}
	e := born(catalog.KindSubscription, v, tenant, spec.Name)
	vault := s.vault(v, e, nil)
	spec.Owner, spec.Secrets = "", vault.take(spec.Secrets, inSpec, "secrets")
	if err := vault.problem(); err != nil {
		return nil, err
	}
	if err := e.SetSpec(spec); err != nil {
		return nil, err
	}
	written, err := s.create(ctx, v, e)
	if err != nil {
		return nil, err
	}
	out := &createdOut[Subscription]{ETag: etag(written.Version), Location: BasePath + at("subscriptions", written.UID), Body: s.subscription(v, written)}
	out.Body.Secret = made
	return out, nil
}

func (s *Server) updateSubscription(ctx context.Context, v *visit, in *updateSubscriptionIn) (*itemOut[Subscription], error) {
	want, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	fresh, made := newSigningSecret(), ""
	e, err := s.change(ctx, v, changing{place: standing(inSpec)}, func(state *catalog.State) (*catalog.Entry, error) {
		made = ""
		old, err := findSpec(state, v, catalog.KindSubscription, in.ID, want)
		if err != nil {
			return nil, err
		}
		before, unread := old.Subscription() // one that cannot be read is mended here
		spec := in.Body.spec()
		if err := stays(old, in.Body.Tenant, spec.Owner); err != nil {
			return nil, err
		}
		if err := unused(state, old.Kind, old.Tenant, spec.Name, old.UID); err != nil {
			return nil, err
		}
		if before.URL != spec.URL && !v.rights[mayURL] {
			return nil, refuse(http.StatusForbidden, "forbidden", "another URL needs the right %s, which the key does not have", mayURL)
		}
		vault := s.vault(v, old, secretsOf(old))
		vault.anew = unread != nil || elsewhere(before.URL, spec.URL)
		texts := spec.Secrets
		switch {
		case len(texts) == 0 && vault.anew:
			made = fresh
			texts = []string{plainScheme + made}
		case len(texts) == 0:
			texts = vault.kept()
		}
		spec.Owner, spec.Secrets = "", vault.take(texts, inSpec, "secrets")
		if err := vault.problem(); err != nil {
			return nil, err
		}
		if vault.anew && !v.author().References {
			// A reference that stands here already would be let through by the checks.
			if err := noReferences(spec.Secrets); err != nil {
				return nil, err
			}
		}
		if err := mayChangeSecrets(v, old, spec.Secrets); err != nil {
			return nil, err
		}
		return respecified(v, old, spec.Name, spec.Secrets, spec)
	})
	if err != nil {
		return nil, err
	}
	out := shown(e, "", s.subscription(v, e))
	out.Body.Secret = made
	return out, nil
}

func noReferences(texts []string) error {
	for _, text := range texts {
		if strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") {
			p := invalid([]catalog.Fault{{Path: []string{inSpec, "secrets"}, Text: "the URL leads to another host now, and only an administrator may name a variable or a file for it: send plain:VALUE, or leave secrets out to have one made"}})
			p.Code = "credentials_needed"
			return p
		}
	}
	return nil
}

// elsewhere says whether two URLs lead to different places: another scheme, host or
// port. What proves who sends must not go where it never was meant to.
func elsewhere(before, after string) bool {
	was, err := url.Parse(before)
	if err != nil {
		return true
	}
	is, err := url.Parse(after)
	if err != nil {
		return true
	}
	return was.Scheme != is.Scheme || !strings.EqualFold(was.Hostname(), is.Hostname()) || port(was) != port(is)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
