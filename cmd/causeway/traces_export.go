package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/pkg/secret"
)

// Why spans are dropped.
const (
	droppedFull   = "queue_full"   // the collector takes them more slowly than they come
	droppedFailed = "not_exported" // the collector did not take them
)

type traceMetrics struct {
	exported prometheus.Counter
	dropped  *prometheus.CounterVec // by reason
}

func newTraceMetrics(reg prometheus.Registerer) *traceMetrics {
	m := &traceMetrics{
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_trace_spans_exported_total", Help: "Spans that the collector took.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_trace_spans_dropped_total", Help: "Spans that did not get to the collector, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{droppedFull, droppedFailed} {
		m.dropped.WithLabelValues(reason)
	}
	reg.MustRegister(m.exported, m.dropped)
	return m
}

// bounded lets only so many ended spans be in memory, from their end until the exporter
// is done with them. It counts what it drops, which the SDK's own queue does not tell,
// and with this in front never has to.
type bounded struct {
	sdk.SpanProcessor
	limit   int64
	waiting *atomic.Int64
	dropped prometheus.Counter
}

func (b *bounded) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if b.waiting.Add(1) > b.limit {
		b.waiting.Add(-1)
		b.dropped.Inc()
		return
	}
	b.SpanProcessor.OnEnd(s)
}

// exporter counts what becomes of batches, and says once when that changes.
type exporter struct {
	next      sdk.SpanExporter
	collector *collector
	metrics   *traceMetrics
	health    *health.Handle
	log       *zap.Logger
	waiting   atomic.Int64 // spans that are not exported yet

	ended context.Context // a batch under way ends with it
	cut   context.CancelFunc
	gone  chan struct{} // closed when there will be no more batches

	failing bool // the latest batch was not taken
	closing sync.Once
}

func newExporter(next sdk.SpanExporter, c *collector, m *traceMetrics, o tracesOptions) *exporter {
	x := &exporter{
		next: next, collector: c, metrics: m, log: o.log, gone: make(chan struct{}),
		health: o.health.Declare(health.Condition{Code: "traces", Title: "the collector takes traces"}),
	}
	x.ended, x.cut = context.WithCancel(context.Background())
	return x
}

// ExportSpans sends a batch. Its error stays here: the SDK would write it to standard
// error, each time.
func (x *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(x.ended, cancel)()
	err := x.next.ExportSpans(ctx, spans)
	x.waiting.Add(-int64(len(spans)))
	if err != nil {
		x.metrics.dropped.WithLabelValues(droppedFailed).Add(float64(len(spans)))
		why := x.collector.why(err)
		x.health.Fail(why)
		if !x.failing {
			x.failing = true
			x.log.Warn("traces do not reach their collector; spans are dropped until they do", zap.String("why", why))
		}
		return nil
	}
	x.metrics.exported.Add(float64(len(spans)))
	x.health.OK()
	if x.failing {
		x.failing = false
		x.log.Info("traces reach their collector again")
	}
	return nil
}

// Shutdown is called when the last batch is done.
func (x *exporter) Shutdown(ctx context.Context) error {
	defer x.closing.Do(func() { close(x.gone) })
	return x.next.Shutdown(ctx)
}

// collector is the way to the collector. It is the operator's own address, so it has a
// plain client, proxies from the environment included.
type collector struct {
	headers []traceHeaderSecret
	base    http.RoundTripper
	last    atomic.Pointer[string] // what was wrong with the latest exchange; nil: nothing
}

// traceHeaderSecret is a header whose value may change while the process runs.
type traceHeaderSecret struct {
	name  string
	value func() (secret.Secret, error)
}

// RoundTrip adds the headers. What goes wrong is kept in words of our own, because an
// answer's body may repeat the token that it refuses.
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, h := range c.headers {
		value, err := h.value()
		if err != nil {
			c.note(err.Error())
			return nil, err
		}
		r.Header.Set(h.name, string(value.Reveal()))
	}
	resp, err := c.base.RoundTrip(r)
	switch {
	case err != nil:
		c.note(bareError(err).Error())
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		c.last.Store(nil)
	default:
		c.note(fmt.Sprintf("it answers %d", resp.StatusCode))
	}
	return resp, err
}

func (c *collector) note(why string) { c.last.Store(&why) }

// why says what is wrong, from the latest exchange.
func (c *collector) why(err error) string {
	switch last := c.last.Load(); {
	case last != nil:
		return *last
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "it does not answer in time"
	default:
		return "it refused some spans of a batch"
	}
}

// bareError takes the URL out of an error.
func bareError(err error) error {
	if withURL, ok := errors.AsType[*url.Error](err); ok {
		return withURL.Err
	}
	return err
}
