package egress

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/egress/retry"
	"causeway/egress/target"
	"causeway/pkg/signature"
	"causeway/schemas"
)

// noSubscription stands in dead letters of records that nobody could read.
var noSubscription uuid.UUID

// attempt makes one attempt of a delivery, if one may be made, and settles what comes
// of it. It says whether one was made.
func (e *Egress) attempt(t *task) bool {
	p := t.partition
	if !p.begin(t.entry.Offset()) {
		return false
	}
	if !e.renew(t) {
		e.dispatch.leave(t.subscription.UID)
		e.settle.bury(t, schemas.ReasonSubscriptionDeleted)
		return false
	}
	if why := e.rests(t.subscription); why != "" {
		e.settle.parkBegun(t, why)
		return false
	}
	keys, err := t.subscription.Keys()
	if err != nil {
		// This process lacks the secret, and another one or its next start may have it:
		// the delivery is not to blame. The condition of the catalog's entries says why.
		e.settle.parkBegun(t, parkedSecret)
		return false
	}
	started := time.Now()
	if d := &t.delivery; d.Hop > 0 && d.Waits == 0 {
		e.met.lateness.Observe(started.Sub(d.Due).Seconds())
	}
	e.traceAttempt(t)
	res := e.post(t, keys, started)
	if errors.Is(context.Cause(e.sending), errStopping) && res.Class != target.OK {
		t.interrupted()
		p.end() // cut off by our own stop: it never happened, and comes again
		return true
	}
	out := e.decide(t, started, res)
	e.report(t, started, res, out)
	if !p.owned() {
		p.end() // the next owner makes the delivery again: what this one wrote would be a second chain
		return true
	}
	switch out.Verdict {
	case retry.Done:
		e.settled(t)
		p.end()
	case retry.Delay:
		plan := delay.Plan(out.Wait)
		e.settle.carryOn(t, plan[0], time.Now().Add(plan[0].Wait), plan[1:], parkedRetry)
	case retry.Dead:
		if out.Reason == schemas.ReasonGone {
			e.disable(t)
		}
		e.settle.bury(t, out.Reason)
	}
	return true
}

// decide notes the attempt in the delivery's state and asks the policy.
func (e *Egress) decide(t *task, started time.Time, res target.Result) retry.Outcome {
	d, sub := &t.delivery, t.subscription
	d.Attempt++
	d.Waits = 0
	if d.First.IsZero() {
		d.First = started
	}
	d.Last, d.Status, d.Error = started, res.Status, ""
	if res.Err != nil {
		d.Error = res.Err.Error()
	}
	policy := retry.Policy{Schedule: sub.Schedule, MaxAge: sub.MaxAge, NeverOn: sub.NeverOn}
	return policy.Decide(d.Attempt, started.Add(res.Took).Sub(d.First), res)
}

// post signs and sends.
func (e *Egress) post(t *task, keys []signature.Key, now time.Time) target.Result {
	m := &signature.Message{Method: http.MethodPost, URL: t.subscription.URL, Header: e.header(t), Body: t.event.Body}
	if err := t.subscription.Scheme.Sign(m, keys, now); err != nil {
		return target.Result{Class: target.Refused, Err: fmt.Errorf("sign: %w", err)}
	}
	return e.send.Send(e.sending, target.Request{URL: t.subscription.Endpoint, Header: m.Header, Body: m.Body, Timeout: t.subscription.Timeout})
}

// header is everything that is sent beside the signature.
func (e *Egress) header(t *task) http.Header {
	ev := t.event
	h := make(http.Header, 12)
	values := make([]string, 0, 9) // one allocation for all of them
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set("User-Agent", e.userAgent)
	set("Webhook-Id", webhookID(ev.ID))
	set("Causeway-Source", ev.Source)
	set("Causeway-Type", ev.Type)
	set("Causeway-Topic", t.delivery.Origin.Topic)
	set("Causeway-Attempt", strconv.Itoa(t.delivery.Attempt+1))
	set("Content-Type", cmp.Or(ev.ContentType, "application/octet-stream"))
	set("Content-Encoding", ev.Encoding)
	set("Traceparent", t.traceparent())
	return h
}

// webhookID is the event ID where it may stand in a signed message, else a hash
// of it: a dot would be taken for the end of the ID. It is the same on each attempt.
func webhookID(id string) string {
	plain := len(id) >= 1 && len(id) <= 64
	for i := 0; i < len(id) && plain; i++ {
		c := id[i]
		plain = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'
	}
	if plain {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "evt_" + hex.EncodeToString(sum[:16])
}

// disable stops attempts for a subscription that answered 410, in the form that it has
// now. Its deliveries wait in delay topics.
func (e *Egress) disable(t *task) {
	sub := t.subscription
	if known, already := e.disabled.Swap(sub.UID, sub.Version); already && known.(int64) >= sub.Version {
		e.disabled.Store(sub.UID, known)
		return
	}
	e.countSubscriptions()
	e.log.Warn("subscription disabled: its endpoint answered 410 Gone; deliveries wait until the subscription is changed or this process starts again",
		zap.String(keySubscription, sub.Name))
}

// Field keys of the attempt line.
const (
	keySubscription = "subscription"
	keyEvent        = "event"
)

// report makes an attempt visible: in metrics, its span, and the journal.
func (e *Egress) report(t *task, started time.Time, res target.Result, out retry.Outcome) {
	d, ev := &t.delivery, t.event
	e.met.attempted(d.Origin.Topic, res, out)
	ended := started.Add(res.Took)
	if out.Verdict == retry.Done {
		e.met.endToEnd.Observe(ended.Sub(ev.Received).Seconds())
	}
	n := note{
		Attempt: schemas.Attempt{
			EventID: ev.ID, Source: ev.Source, Type: ev.Type, Tenant: ev.Tenant,
			Subscription: d.Subscription, SubscriptionName: t.subscription.Name,
			Cluster: d.Cluster, Origin: d.Origin, Run: d.Run, Attempt: d.Attempt, Hop: d.Hop,
			Started: started, Took: res.Took, Class: res.Class.String(), Status: res.Status, Error: d.Error,
			Verdict: out.Verdict.String(), Reason: out.Reason,
		},
		out: out, err: res.Err,
	}
	if out.Verdict == retry.Delay {
		n.NextDue = ended.Add(out.Wait)
	}
	if t.subscription.CaptureResponse {
		n.Response, n.ResponseContentType = res.Response, res.ContentType
	}
	if t.span != nil {
		n.trace = t.span.SpanContext().TraceID().String()
		t.traced(res, out)
	}
	e.journal.note(&n)
}
