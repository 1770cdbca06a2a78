package egress

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/retry"
	"causeway/egress/target"
	"causeway/schemas"
)

// attemptLog writes a record of each attempt, off the hot path: when Kafka does
// not keep up, records are dropped and counted rather than waited for.
type attemptLog struct {
	client  *kgo.Client
	topic   string
	dropped prometheus.Counter
}

func (l *attemptLog) record(t *task, started time.Time, res target.Result, out retry.Outcome) {
	d, ev := &t.delivery, t.event
	a := schemas.Attempt{
		EventID: ev.ID, Source: ev.Source, Type: ev.Type, Tenant: ev.Tenant,
		Subscription: d.Subscription, SubscriptionName: t.subscription.Name,
		Cluster: d.Cluster, Origin: d.Origin, Run: d.Run, Attempt: d.Attempt, Hop: d.Hop,
		Started: started, Took: res.Took, Class: res.Class.String(), Status: res.Status, Error: d.Error,
		Verdict: out.Verdict.String(), Reason: out.Reason,
	}
	if out.Verdict == retry.Delay {
		a.NextDue = started.Add(res.Took).Add(out.Wait)
	}
	if t.subscription.CaptureResponse {
		a.Response, a.ResponseContentType = res.Response, res.ContentType
	}
	l.client.TryProduce(context.Background(), a.Record(l.topic), func(_ *kgo.Record, err error) {
		if err != nil {
			l.dropped.Inc()
		}
	})
}
