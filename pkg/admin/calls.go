package admin

import (
	"context"
	"net/http"
)

// Resources are named by their name or their uid. Of two tenants' subscriptions with
// one name only the uid tells which is meant, unless the key belongs to one of them.

// Sources lists sources.
func (c *Client) Sources(ctx context.Context, o ListOptions) (Page[Source], error) {
	return get[Page[Source]](ctx, c, "/sources", o.query())
}

// Source gives one source.
func (c *Client) Source(ctx context.Context, id string) (Source, error) {
	return get[Source](ctx, c, at("sources", id), nil)
}

// CreateSource makes a source, and its topic if need be.
func (c *Client) CreateSource(ctx context.Context, in SourceInput) (Source, error) {
	return send[Source](ctx, c, http.MethodPost, "/sources", AnyVersion, in)
}

// UpdateSource replaces a source's spec.
func (c *Client) UpdateSource(ctx context.Context, id string, version int64, in SourceInput) (Source, error) {
	return send[Source](ctx, c, http.MethodPut, at("sources", id), version, in)
}

// DeleteSource removes a source; its topic stays.
func (c *Client) DeleteSource(ctx context.Context, id string, version int64) error {
	return c.remove(ctx, at("sources", id), version)
}

// PauseSource lets the door answer 503 for a source.
func (c *Client) PauseSource(ctx context.Context, id string) (Source, error) {
	return send[Source](ctx, c, http.MethodPost, at("sources", id, "pause"), AnyVersion, nil)
}

// ResumeSource opens the door again.
func (c *Client) ResumeSource(ctx context.Context, id string) (Source, error) {
	return send[Source](ctx, c, http.MethodPost, at("sources", id, "resume"), AnyVersion, nil)
}

// RotateSourceSecret puts a new secret before those that are there.
func (c *Client) RotateSourceSecret(ctx context.Context, id string, in RotateInput) (Rotated, error) {
	return send[Rotated](ctx, c, http.MethodPost, at("sources", id, "rotate-secret"), AnyVersion, in)
}

// TestSource says whether webhooks of the source could be verified and stored.
func (c *Client) TestSource(ctx context.Context, id string) (TestResult, error) {
	return send[TestResult](ctx, c, http.MethodPost, at("sources", id, "test"), AnyVersion, nil)
}

// Subscriptions lists subscriptions.
func (c *Client) Subscriptions(ctx context.Context, o ListOptions) (Page[Subscription], error) {
	return get[Page[Subscription]](ctx, c, "/subscriptions", o.query())
}

// Subscription gives one subscription.
func (c *Client) Subscription(ctx context.Context, id string) (Subscription, error) {
	return get[Subscription](ctx, c, at("subscriptions", id), nil)
}

// CreateSubscription makes a subscription. It gets what is stored from now on.
func (c *Client) CreateSubscription(ctx context.Context, in SubscriptionInput) (Subscription, error) {
	return send[Subscription](ctx, c, http.MethodPost, "/subscriptions", AnyVersion, in)
}

// UpdateSubscription replaces a subscription's spec.
func (c *Client) UpdateSubscription(ctx context.Context, id string, version int64, in SubscriptionInput) (Subscription, error) {
	return send[Subscription](ctx, c, http.MethodPut, at("subscriptions", id), version, in)
}

// DeleteSubscription removes a subscription. What waits for it is dead-lettered.
func (c *Client) DeleteSubscription(ctx context.Context, id string, version int64) error {
	return c.remove(ctx, at("subscriptions", id), version)
}

// PauseSubscription lets a subscription's deliveries wait.
func (c *Client) PauseSubscription(ctx context.Context, id string) (Subscription, error) {
	return send[Subscription](ctx, c, http.MethodPost, at("subscriptions", id, "pause"), AnyVersion, nil)
}

// ResumeSubscription lets them go on.
func (c *Client) ResumeSubscription(ctx context.Context, id string) (Subscription, error) {
	return send[Subscription](ctx, c, http.MethodPost, at("subscriptions", id, "resume"), AnyVersion, nil)
}

// RotateSubscriptionSecret puts a new signing secret before those that are there.
func (c *Client) RotateSubscriptionSecret(ctx context.Context, id string, in RotateInput) (Rotated, error) {
	return send[Rotated](ctx, c, http.MethodPost, at("subscriptions", id, "rotate-secret"), AnyVersion, in)
}

// TestSubscription sends one signed test event to the subscription's URL.
func (c *Client) TestSubscription(ctx context.Context, id string) (TestResult, error) {
	return send[TestResult](ctx, c, http.MethodPost, at("subscriptions", id, "test"), AnyVersion, nil)
}

// Tenants lists tenants.
func (c *Client) Tenants(ctx context.Context, o ListOptions) (Page[Tenant], error) {
	return get[Page[Tenant]](ctx, c, "/tenants", o.query())
}

// Tenant gives one tenant.
func (c *Client) Tenant(ctx context.Context, name string) (Tenant, error) {
	return get[Tenant](ctx, c, at("tenants", name), nil)
}

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, in TenantInput) (Tenant, error) {
	return send[Tenant](ctx, c, http.MethodPost, "/tenants", AnyVersion, in)
}

// UpdateTenant replaces a tenant's spec.
func (c *Client) UpdateTenant(ctx context.Context, name string, version int64, in TenantInput) (Tenant, error) {
	return send[Tenant](ctx, c, http.MethodPut, at("tenants", name), version, in)
}

// DeleteTenant removes a tenant that owns nothing any more.
func (c *Client) DeleteTenant(ctx context.Context, name string, version int64) error {
	return c.remove(ctx, at("tenants", name), version)
}

// Keys lists API keys.
func (c *Client) Keys(ctx context.Context, o ListOptions) (Page[Key], error) {
	return get[Page[Key]](ctx, c, "/keys", o.query())
}

// CreateKey makes an API key. The answer alone shows it.
func (c *Client) CreateKey(ctx context.Context, in KeyInput) (Key, error) {
	return send[Key](ctx, c, http.MethodPost, "/keys", AnyVersion, in)
}

// RevokeKey ends an API key.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.remove(ctx, at("keys", id), AnyVersion)
}

// Reseal seals every sealed secret under the first key of CAUSEWAY_KEYS.
func (c *Client) Reseal(ctx context.Context) (Resealed, error) {
	return send[Resealed](ctx, c, http.MethodPost, "/reseal", AnyVersion, nil)
}

// Apply makes the entries of a set what the input says, all of them or none.
func (c *Client) Apply(ctx context.Context, in ApplyInput) (Applied, error) {
	return send[Applied](ctx, c, http.MethodPost, "/apply", AnyVersion, in)
}

// Topics lists the topics with what egress has not settled.
func (c *Client) Topics(ctx context.Context, o ListOptions) (Page[Topic], error) {
	return get[Page[Topic]](ctx, c, "/topics", o.query())
}

// Health gives the state of the process that answers.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return get[Health](ctx, c, "/health", nil)
}
