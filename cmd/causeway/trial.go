package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	outcome "causeway/egress/target"
	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/outbound"
	"causeway/pkg/signature"
)

// trial sends one test event to a subscription: through the same way out, signed by
// the same keys, but past the queues, and without being tried again.
type trial struct {
	client  *outbound.Client
	version string
}

// trialBody is what a test event says. It has the form of no provider's.
const trialBody = `{"type":"causeway.test","text":"A test of this subscription: nothing happened, and nothing has to be done."}`

func (t *trial) subscription(ctx context.Context, sub *catalog.Subscription) admin.TestResult {
	result := admin.TestResult{}
	check := func(what string, err error) bool {
		c := admin.TestCheck{What: what, OK: err == nil}
		if err != nil {
			c.Text = err.Error()
		}
		result.Checks = append(result.Checks, c)
		return err == nil
	}
	if !check("its settings can be used", sub.Fault) {
		return result
	}
	keys, err := sub.Keys()
	if !check("its signing secret is known to this process", err) {
		return result
	}
	id := "test_" + uuid.NewString()
	m := &signature.Message{Method: http.MethodPost, URL: sub.URL, Header: http.Header{}, Body: []byte(trialBody)}
	for name, value := range map[string]string{
		"User-Agent": "causeway/" + t.version, "Webhook-Id": id, "Causeway-Type": "causeway.test", "Causeway-Attempt": "1", "Content-Type": "application/json",
	} {
		m.Header.Set(name, value)
	}
	if !check("the test event is signed", sub.Scheme.Sign(m, keys, time.Now())) {
		return result
	}
	res := outcome.NewHTTP(t.client).Send(ctx, outcome.Request{URL: sub.Endpoint, Header: m.Header, Body: m.Body, Timeout: sub.Timeout})
	result.Status, result.Took, result.Response = res.Status, res.Took.Round(time.Millisecond).String(), string(res.Response)
	err = res.Err
	if err == nil && res.Class != outcome.OK {
		err = fmt.Errorf("it answered %d: want 2xx", res.Status)
	}
	result.OK = check("the endpoint takes it", err)
	return result
}
