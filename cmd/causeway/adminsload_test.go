package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// ending is what the client of a change was told.
type ending string

const (
	acknowledged ending = "acknowledged"
	refused      ending = "refused" // and nothing was changed
	unknown      ending = "unknown"
)

// adminCall is one change that was asked for.
type adminCall struct {
	client       int
	begun, ended time.Time
	what         string // create, change, pause, resume, delete, apply
	uid          string
	token        string // of create, change and apply: the URL ends with it, as no other does
	entries      int    // of apply
	match        int64  // If-Match; 0: none
	outcome      ending
	version      int64 // that the answer named; 0: it names none
	at           int64 // that the topic has for it; 0: it is not there
	text         string
}

func (c adminCall) String() string {
	return fmt.Sprintf("%s of %s%s by client %d (%s, version %d, If-Match %d): %s", c.what, c.uid, c.token, c.client, c.outcome, c.version, c.match, c.text)
}

// adminLoad are clients that change the catalog until they are stopped.
type adminLoad struct {
	f      *fleet
	admins []*fleetMember
	done   chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	calls []adminCall

	last map[string]*catalogLine // what the topic holds in the end, by uid
}

const (
	adminTeam   = "team"   // the set that the clients apply, one over the other
	adminShared = "shared" // the subscriptions that all clients change
	sharedSubs  = 1
)

func (f *fleet) adminLoad(admins []*fleetMember, clients int) *adminLoad {
	l := &adminLoad{f: f, admins: admins, done: make(chan struct{})}
	for i := range clients {
		c := &adminClient{adminLoad: l, id: i, at: i % len(admins)}
		for _, m := range admins {
			c.apis = append(c.apis, m.api())
		}
		l.wg.Go(c.run)
	}
	return l
}

func (l *adminLoad) stop() {
	l.f.t.Helper()
	close(l.done)
	l.wg.Wait()
	for _, o := range []ending{acknowledged, refused, unknown} {
		l.f.t.Logf("%s: %v", o, l.told(o))
	}
}

// told counts the calls that ended so, by what they asked for.
func (l *adminLoad) told(o ending) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := map[string]int{}
	for _, c := range l.calls {
		if c.outcome == o {
			told[c.what]++
		}
	}
	return told
}

// enough says whether each kind of change was acknowledged some times.
func (l *adminLoad) enough() bool {
	told := l.told(acknowledged)
	for _, what := range []string{"create", "change", "pause", "resume", "delete", "apply"} {
		if told[what] < 2 {
			return false
		}
	}
	return true
}

// adminClient is one of the clients. It asks one process for as long as it answers.
type adminClient struct {
	*adminLoad
	id, at int
	apis   []*admin.Client
	n      int
	own    []admin.Subscription // that nobody else touches, in the form that was acknowledged last
}

func (c *adminClient) run() {
	for {
		select {
		case <-c.done:
			return
		default:
		}
		switch dice := rand.IntN(20); {
		// Most clients go for the same entry, through different processes: who works from
		// an older catalog than he writes behind is found out there.
		case c.id < 5 && dice < 15:
			c.changeShared()
		case c.id < 5 && dice < 16:
			c.deleteShared()
		case c.id < 5 && dice < 18:
			c.apply()
		case len(c.own) < 2 || dice < 3:
			c.create()
		case dice < 8:
			c.changeOwn()
		case dice < 10:
			c.pauseOwn()
		case dice < 11:
			c.deleteOwn()
		case dice < 15:
			c.changeShared()
		case dice < 17:
			c.pauseShared()
		case dice < 18:
			c.lookAtSet()
		default:
			c.apply()
		}
	}
}

// call makes one change, and notes what came of it.
func (c *adminClient) call(call adminCall, do func(context.Context, *admin.Client) (version int64, err error)) ending {
	// Longer than a process tries, so that only one that is frozen keeps an answer back.
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	call.client, call.begun = c.id, time.Now()
	version, err := do(ctx, c.apis[c.at])
	call.ended, call.version, call.outcome = time.Now(), version, told(err)
	if err != nil {
		call.text = err.Error()
	}
	c.mu.Lock()
	c.calls = append(c.calls, call)
	c.mu.Unlock()
	if call.outcome != acknowledged {
		if _, answered := errors.AsType[*admin.Problem](err); !answered {
			c.at = (c.at + 1) % len(c.apis)
			pauseLoad(c.done)
		}
	}
	return call.outcome
}

// pauseLoad keeps clients whose process is gone from asking all the time.
func pauseLoad(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(50 * time.Millisecond):
	}
}

// told is what an answer says about the change. One that says that nothing was changed
// is taken at its word.
func told(err error) ending {
	if err == nil {
		return acknowledged
	}
	if p, ok := errors.AsType[*admin.Problem](err); ok {
		if p.Status < 500 || p.Code == "catalog_unavailable" || p.Code == "kafka_unavailable" || p.Code == "busy" {
			return refused
		}
		return unknown
	}
	if lost, ok := errors.AsType[*unansweredError](err); ok && !lost.sent {
		return refused // nobody was asked
	}
	return unknown
}

// token is a text that no other change has.
func (c *adminClient) token() string {
	c.n++
	return fmt.Sprintf("c%d-%d", c.id, c.n)
}

func (c *adminClient) spec(name, token string) catalog.SubscriptionSpec {
	return catalog.SubscriptionSpec{
		Name: name, Topics: []string{"webhooks." + c.f.source}, URL: adminURL(token), Secrets: []string{"env:FLEET_SECRET"},
	}
}

func adminURL(token string) string { return "http://127.0.0.1:9/" + token }

func (c *adminClient) create() {
	token := c.token()
	var made admin.Subscription
	if c.call(adminCall{what: "create", token: token}, func(ctx context.Context, api *admin.Client) (int64, error) {
		var err error
		made, err = api.CreateSubscription(ctx, admin.SubscriptionInput{Spec: c.spec(token, token)})
		return made.Version, err
	}) == acknowledged {
		c.own = append(c.own, made)
		c.look(made)
	}
}

// pick takes one of the client's own out of the list. It comes back with keep, if the
// client still knows how it stands.
func (c *adminClient) pick() admin.Subscription {
	i := rand.IntN(len(c.own))
	sub := c.own[i]
	c.own = append(c.own[:i], c.own[i+1:]...)
	return sub
}

func (c *adminClient) keep(before, after admin.Subscription, o ending) {
	switch o {
	case acknowledged:
		c.own = append(c.own, after)
		c.look(after)
	case refused:
		c.own = append(c.own, before)
	case unknown: // a process may still write it: whatever came next would be judged wrongly
	}
}

func (c *adminClient) changeOwn() {
	sub, token := c.pick(), c.token()
	var after admin.Subscription
	o := c.call(adminCall{what: "change", uid: sub.UID, token: token, match: sub.Version}, func(ctx context.Context, api *admin.Client) (int64, error) {
		var err error
		after, err = api.UpdateSubscription(ctx, sub.UID, sub.Version, admin.SubscriptionInput{Spec: c.spec(sub.Spec.Name, token)})
		return after.Version, err
	})
	c.keep(sub, after, o)
}

func (c *adminClient) pauseOwn() {
	sub := c.pick()
	after, o := c.pauseOrResume(sub)
	c.keep(sub, after, o)
}

// pauseOrResume makes it the other way round.
func (c *adminClient) pauseOrResume(sub admin.Subscription) (after admin.Subscription, o ending) {
	what, do := "pause", (*admin.Client).PauseSubscription
	if sub.Paused {
		what, do = "resume", (*admin.Client).ResumeSubscription
	}
	o = c.call(adminCall{what: what, uid: sub.UID}, func(ctx context.Context, api *admin.Client) (int64, error) {
		var err error
		after, err = do(api, ctx, sub.UID)
		return after.Version, err
	})
	return after, o
}

func (c *adminClient) deleteOwn() {
	sub := c.pick()
	if c.call(adminCall{what: "delete", uid: sub.UID, match: sub.Version}, func(ctx context.Context, api *admin.Client) (int64, error) {
		return 0, api.DeleteSubscription(ctx, sub.UID, sub.Version)
	}) == refused {
		c.own = append(c.own, sub)
	}
}

// look asks the process that has acknowledged a change for it.
func (c *adminClient) look(want admin.Subscription) {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	got, err := c.apis[c.at].Subscription(ctx, want.UID)
	if p, ok := errors.AsType[*admin.Problem](err); err != nil && (!ok || p.Status >= 500 || p.Status == 429) {
		return // the process is gone
	}
	if err != nil || got.Version != want.Version || got.Spec.URL != want.Spec.URL || got.Paused != want.Paused {
		c.f.t.Errorf("client %d was told that %s has version %d (%s, paused %t), and then by the same process: version %d (%s, paused %t), %v",
			c.id, want.UID, want.Version, want.Spec.URL, want.Paused, got.Version, got.Spec.URL, got.Paused, err)
	}
}

// shared finds one of those that all clients change, or makes it.
func (c *adminClient) shared() (admin.Subscription, bool) {
	name := fmt.Sprintf("%s-%d", adminShared, rand.IntN(sharedSubs))
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	sub, err := c.apis[c.at].Subscription(ctx, name)
	if err == nil {
		return sub, true
	}
	p, answered := errors.AsType[*admin.Problem](err)
	if !answered {
		c.at = (c.at + 1) % len(c.apis)
		pauseLoad(c.done)
	}
	if answered && p.Status == 404 {
		token := c.token()
		c.call(adminCall{what: "create", token: token}, func(ctx context.Context, api *admin.Client) (int64, error) {
			made, err := api.CreateSubscription(ctx, admin.SubscriptionInput{Spec: c.spec(name, token)})
			return made.Version, err
		})
	}
	return sub, false
}

func (c *adminClient) changeShared() {
	sub, ok := c.shared()
	if !ok {
		return
	}
	token := c.token()
	c.call(adminCall{what: "change", uid: sub.UID, token: token, match: sub.Version}, func(ctx context.Context, api *admin.Client) (int64, error) {
		after, err := api.UpdateSubscription(ctx, sub.UID, sub.Version, admin.SubscriptionInput{Spec: c.spec(sub.Spec.Name, token)})
		if err == nil && after.Spec.URL != adminURL(token) {
			c.f.t.Errorf("the answer to %s shows %s", token, after.Spec.URL)
		}
		return after.Version, err
	})
}

func (c *adminClient) pauseShared() {
	if sub, ok := c.shared(); ok {
		c.pauseOrResume(sub)
	}
}

// deleteShared makes room for another one of the same name.
func (c *adminClient) deleteShared() {
	sub, ok := c.shared()
	if !ok {
		return
	}
	c.call(adminCall{what: "delete", uid: sub.UID, match: sub.Version}, func(ctx context.Context, api *admin.Client) (int64, error) {
		return 0, api.DeleteSubscription(ctx, sub.UID, sub.Version)
	})
}

// apply makes the set anew: every entry of it changes, and how many there are.
func (c *adminClient) apply() {
	token := c.token()
	in := admin.ApplyInput{Set: adminTeam, Prune: true}
	for i := range 24 + rand.IntN(12) {
		in.Subscriptions = append(in.Subscriptions, c.spec(fmt.Sprintf("%s-%d", adminTeam, i), token))
	}
	c.call(adminCall{what: "apply", token: token, entries: len(in.Subscriptions)}, func(ctx context.Context, api *admin.Client) (int64, error) {
		applied, err := api.Apply(ctx, in)
		return applied.Version, err
	})
}

// lookAtSet reads the set as one page, which is one state.
func (c *adminClient) lookAtSet() {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	page, err := c.apis[c.at].Subscriptions(ctx, admin.ListOptions{Limit: 500, Set: adminTeam})
	if err != nil {
		return
	}
	for _, sub := range page.Items {
		if sub.Spec.URL != page.Items[0].Spec.URL {
			c.f.t.Errorf("half of a set is shown: %s and %s", sub.Spec.URL, page.Items[0].Spec.URL)
			return
		}
	}
}
