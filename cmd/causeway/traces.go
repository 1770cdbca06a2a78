package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"causeway/pkg/health"
)

// maxAttribute bounds a text in a span, in bytes, where OTEL_* say nothing: types and
// IDs of records come from whoever may write them.
const maxAttribute = 512

// traces makes spans and sends them to a collector.
type traces struct {
	made     *sdk.TracerProvider // nil: off
	exporter *exporter
}

type tracesOptions struct {
	settings *traceSettings
	version  string
	health   *health.Set
	log      *zap.Logger
	reg      prometheus.Registerer
}

// newTraces starts what sends spans; it does not wait for the collector.
func newTraces(ctx context.Context, o tracesOptions) (*traces, error) {
	metrics := newTraceMetrics(o.reg)
	s := o.settings
	if s == nil {
		return &traces{}, nil
	}
	collector := &collector{
		headers: s.headers,
		base: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: s.timeout}).DialContext,
			TLSClientConfig: s.tls, TLSHandshakeTimeout: s.timeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
	}
	// What the SDK says by itself goes to standard error, as it is. What it would say
	// of the settings, traces has said already, and without a token in it.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.log.Warn("tracing", zap.Error(err)) }))
	next, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.endpoint), otlptracehttp.WithHTTPClient(&http.Client{
		Transport: collector, Timeout: s.timeout,
		// A redirect would take the headers, and so the token, somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}))
	if err != nil {
		return nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	described, err := describeService(ctx, s.service, o.version)
	if err != nil {
		o.log.Warn("OTEL_RESOURCE_ATTRIBUTES are not read whole", zap.Error(err))
	}
	out := newExporter(next, collector, metrics, o)
	var limit int64
	batches := sdk.NewBatchSpanProcessor(out, func(b *sdk.BatchSpanProcessorOptions) { limit = int64(b.MaxQueueSize) })
	limits := sdk.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxAttribute
	}
	options := []sdk.TracerProviderOption{
		sdk.WithResource(described), sdk.WithRawSpanLimits(limits),
		sdk.WithSpanProcessor(&bounded{SpanProcessor: batches, limit: limit, waiting: &out.waiting, dropped: metrics.dropped.WithLabelValues(droppedFull)}),
	}
	if s.sample != nil {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(*s.sample))))
	}
	o.log.Info("traces are on", zap.String("collector", s.shown))
	return &traces{made: sdk.NewTracerProvider(options...), exporter: out}, nil
}

// describeService says whose spans these are. What OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES say stands above our defaults, what the process file says
// above both.
func describeService(ctx context.Context, name, version string) (*resource.Resource, error) {
	detectors := []resource.Option{
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("causeway"), semconv.ServiceVersion(version)),
		resource.WithFromEnv(),
	}
	if name != "" {
		detectors = append(detectors, resource.WithAttributes(attribute.String(string(semconv.ServiceNameKey), name)))
	}
	return resource.New(ctx, detectors...)
}

// provider is what makes spans; nil when traces are off.
func (t *traces) provider() trace.TracerProvider {
	if t.made == nil {
		return nil // and not an interface that holds one
	}
	return t.made
}

// tracesFlush is how long a stop waits for the collector, once everything else has
// stopped.
const tracesFlush = 2 * time.Second

// stop sends what waits, for as long as it may take; what is left then is dropped.
func (t *traces) stop(ctx context.Context) {
	if t.made == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tracesFlush)
	defer cancel()
	defer t.exporter.cut()
	late := context.AfterFunc(ctx, t.exporter.cut)
	defer late()
	_ = t.made.Shutdown(ctx) // what the collector does not take is counted and said
	<-t.exporter.gone
}
