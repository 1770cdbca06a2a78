package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"causeway/pkg/health"
	"causeway/pkg/secret"
	"causeway/pkg/tracing"
)

// otlp is a collector.
type otlp struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request) // instead of keeping the spans

	mu      sync.Mutex
	bytes   bytes.Buffer // of all bodies, as sent
	spans   []*tracepb.Span
	service string
	headers http.Header // of the latest request
}

func newOTLP(t *testing.T, start func(http.Handler) *httptest.Server) *otlp {
	t.Helper()
	o := &otlp{}
	o.Server = start(http.HandlerFunc(o.take))
	t.Cleanup(o.Close)
	return o
}

func (o *otlp) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collectorpb.ExportTraceServiceRequest
	plain := body
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			plain, err = io.ReadAll(z)
		}
	}
	if err == nil {
		err = proto.Unmarshal(plain, &request)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes.Write(plain)
	o.headers = r.Header.Clone()
	switch {
	case o.answer != nil:
		o.answer(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		for _, resource := range request.ResourceSpans {
			for _, a := range resource.Resource.Attributes {
				if a.Key == "service.name" {
					o.service = a.Value.GetStringValue()
				}
			}
			for _, scope := range resource.ScopeSpans {
				o.spans = append(o.spans, scope.Spans...)
			}
		}
	}
}

func (o *otlp) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for _, s := range o.spans {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

// made starts what the settings say, with a log and metrics to look at.
func made(t *testing.T, s *traceSettings) (*traces, *observer.ObservedLogs, *prometheus.Registry, *health.Set) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	reg := prometheus.NewRegistry()
	set := health.NewSet(nil)
	if s != nil && s.timeout == 0 {
		s.timeout = 10 * time.Second
	}
	out, err := newTraces(t.Context(), tracesOptions{settings: s, version: "test", health: set, log: zap.New(core), reg: reg})
	if err != nil {
		t.Fatal(err)
	}
	return out, logs, reg, set
}

func (t *traces) span(name string) {
	_, s := t.provider().Tracer("test").Start(context.Background(), name)
	s.End()
}

func count(t *testing.T, reg *prometheus.Registry, name, reason string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (reason == "" || m.GetLabel()[0].GetValue() == reason) {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestTracesOff has no provider, and so none in an interface either.
func TestTracesOff(t *testing.T) {
	off, _, reg, set := made(t, nil)
	if off.provider() != nil {
		t.Error("there is a provider without a collector")
	}
	off.stop(t.Context())
	if _, failing := set.Ready(); len(failing) > 0 {
		t.Errorf("failing: %v", failing)
	}
	if n, _ := testutil.GatherAndCount(reg); n != 3 {
		t.Errorf("%d series, want the three that stay 0", n)
	}
}

// TestTracesStop sends what waits at the end.
func TestTracesStop(t *testing.T) {
	o := newOTLP(t, httptest.NewServer)
	on, logs, reg, _ := made(t, &traceSettings{endpoint: o.URL + "/v1/traces", service: "bridge"})
	for range 3 {
		on.span("one")
	}
	on.stop(t.Context())
	if got := o.names(); len(got) != 3 || o.service != "bridge" {
		t.Errorf("the collector has %v of %q", got, o.service)
	}
	if n := count(t, reg, "causeway_trace_spans_exported_total", ""); n != 3 {
		t.Errorf("exported %v, want 3", n)
	}
	if logs.FilterLevelExact(zapcore.WarnLevel).Len() > 0 {
		t.Errorf("it says %v", logs.All())
	}
}

// TestCollectorDown says so once, counts what it drops, keeps no more than its bound,
// and goes on when the collector is back. Neither token nor answer is repeated.
func TestCollectorDown(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	const token = "canary-token-0123456789"
	o := newOTLP(t, httptest.NewServer)
	down := true
	o.answer = func(w http.ResponseWriter, r *http.Request) {
		if down {
			http.Error(w, "no such token: "+r.Header.Get("Authorization"), http.StatusForbidden)
		}
	}
	header := traceHeaderSecret{"Authorization", func() (secret.Secret, error) { return secret.New([]byte(token)), nil }}
	on, logs, reg, set := made(t, &traceSettings{endpoint: o.URL + "/v1/traces", headers: []traceHeaderSecret{header}})
	awaitCount := func(name, reason string, want float64) {
		t.Helper()
		if err := until(patience, func() error {
			if n := count(t, reg, name, reason); n < want {
				return fmt.Errorf("%s is %v, want %v", name, n, want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	const dropped, exported = "causeway_trace_spans_dropped_total", "causeway_trace_spans_exported_total"
	for i := range 5 {
		on.span("lost")
		awaitCount(dropped, droppedFailed, float64(i+1))
	}
	_, failing := set.Ready()
	if len(failing) != 1 || failing[0].Code != "traces" || failing[0].Readiness || failing[0].Text != "it answers 403" {
		t.Errorf("conditions: %+v", failing)
	}
	o.mu.Lock()
	if got := o.headers.Get("Authorization"); got != token {
		t.Errorf("the collector was shown %q", got)
	}
	down = false
	o.mu.Unlock()
	on.span("found")
	awaitCount(exported, "", 1)
	if ok, failing := set.Ready(); !ok || len(failing) > 0 {
		t.Errorf("conditions: %+v", failing)
	}

	// One batch hangs at the collector; behind it there is room for seven.
	hold := make(chan struct{})
	o.mu.Lock()
	o.answer = func(http.ResponseWriter, *http.Request) { <-hold }
	o.mu.Unlock()
	for range 20 {
		on.span("many")
	}
	if n := count(t, reg, dropped, droppedFull); n != 12 {
		t.Errorf("%v of 20 did not fit, want 12", n)
	}
	close(hold)
	on.stop(t.Context())
	if n := count(t, reg, exported, ""); n != 9 {
		t.Errorf("exported %v, want 9", n)
	}
	var said []string
	for _, line := range logs.All() {
		said = append(said, line.Message)
		if text := fmt.Sprint(line.ContextMap()); strings.Contains(text, "canary") || strings.Contains(text, "no such token") {
			t.Errorf("it says %s", text)
		}
	}
	if want := []string{"traces are on", "traces do not reach their collector; spans are dropped until they do", "traces reach their collector again"}; !slices.Equal(said, want) {
		t.Errorf("it says %q, want %q", said, want)
	}
}

// TestCollectorHangs ends in time, whatever the collector does, and leaves nothing behind.
func TestCollectorHangs(t *testing.T) {
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000") // nothing else may end it
	hold := make(chan struct{})
	o := newOTLP(t, httptest.NewServer)
	o.answer = func(http.ResponseWriter, *http.Request) { <-hold }
	defer close(hold)
	on, _, reg, _ := made(t, &traceSettings{endpoint: o.URL + "/v1/traces", timeout: time.Hour})
	for range 1000 {
		on.span("lost")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	on.stop(ctx)
	if n := count(t, reg, "causeway_trace_spans_dropped_total", droppedFailed); n != 1000 {
		t.Errorf("%v dropped, want all 1000", n)
	}
}

// TestCollectorRedirects does not take the token anywhere else.
func TestCollectorRedirects(t *testing.T) {
	other := newOTLP(t, httptest.NewServer)
	o := newOTLP(t, httptest.NewServer)
	o.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}
	on, _, _, set := made(t, &traceSettings{endpoint: o.URL + "/v1/traces"})
	on.span("lost")
	on.stop(t.Context())
	if other.headers != nil {
		t.Error("it followed a redirect")
	}
	if _, failing := set.Ready(); len(failing) != 1 || failing[0].Text != "it answers 307" {
		t.Errorf("conditions: %+v", failing)
	}
}

// TestTracesOfRecordsFromAnywhere exports spans with texts that are not UTF-8 or very long.
func TestTracesOfRecordsFromAnywhere(t *testing.T) {
	o := newOTLP(t, httptest.NewServer)
	on, _, _, set := made(t, &traceSettings{endpoint: o.URL + "/v1/traces"})
	_, span := tracing.Tracer(on.provider()).Start(t.Context(), "process",
		tracing.Of("a\xffb", strings.Repeat("x", 1<<20)), tracing.Process("t", "g", "id\xc3"))
	span.End()
	on.stop(t.Context())
	if got := o.names(); len(got) != 1 {
		_, failing := set.Ready()
		t.Fatalf("the collector has %v: %+v", got, failing)
	}
	if n := o.bytes.Len(); n > 2000 {
		t.Errorf("one span of %d bytes", n)
	}
}

// TestTraceSettings says what wins, and every fault.
func TestTraceSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		env  map[string]string
		want string // the URL, or the faults
	}{
		"nothing":               {},
		"a base":                {yaml: "{endpoint: http://c:4318}", want: "http://c:4318/v1/traces"},
		"a whole URL":           {yaml: "{endpoint: https://c/otlp/traces}", want: "https://c/otlp/traces"},
		"OTEL's base":           {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, want: "http://c:4318/v1/traces"},
		"OTEL's for traces":     {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"}, want: "http://d/x"},
		"the file above OTEL":   {yaml: "{endpoint: http://c}", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: "http://c/v1/traces"},
		"disabled":              {yaml: "{endpoint: http://c}", env: map[string]string{"OTEL_SDK_DISABLED": "true"}},
		"no exporter":           {yaml: "{endpoint: http://c}", env: map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		"gRPC":                  {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not spoken here: use http/protobuf, and the collector's port for it, mostly 4318`},
		"a password in the URL": {yaml: "{endpoint: 'http://u:canary@c'}", want: "causeway.yaml:1:10: traces.endpoint: a collector's URL has no user, query or fragment: what proves who you are belongs in traces.headers"},
		"no URL":                {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "canary:4318"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT: this is not a collector's URL: write it like http://127.0.0.1:4318"},
		"a token instead of a reference": {
			yaml: "{endpoint: http://c, headers: [{name: Host, value: canary}]}",
			want: "causeway.yaml:1:41: traces.headers[0].name: \"Host\" is not a header that can be set here\n" +
				"causeway.yaml:1:53: traces.headers[0].value: a secret is given by reference, env:NAME or file:/absolute/path; its value does not belong here",
		},
		"a token that is not there": {
			yaml: "{endpoint: http://c, headers: [{name: X, value: env:NOT_SET_ANYWHERE}]}",
			want: "causeway.yaml:1:50: traces.headers[0].value: secret env:NOT_SET_ANYWHERE: is not set in the environment",
		},
		"variables": {
			yaml: "{endpoint: http://c}",
			env: map[string]string{
				"OTEL_EXPORTER_OTLP_HEADERS": "Authorization: canary", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/not/there.pem",
				"OTEL_EXPORTER_OTLP_CLIENT_KEY": "/some.key", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2",
			},
			want: "OTEL_EXPORTER_OTLP_CERTIFICATE: open /not/there.pem: no such file or directory\n" +
				"OTEL_EXPORTER_OTLP_CLIENT_KEY: a client's certificate and its key are set together, as OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY\n" +
				"OTEL_EXPORTER_OTLP_HEADERS: cannot be read: write it like Authorization=Bearer%20TOKEN,X-Other=value, with %2C for a comma in a value\n" +
				"OTEL_EXPORTER_OTLP_TIMEOUT: \"10s\" is not a number of milliseconds from 1 to 600000\n" +
				"OTEL_TRACES_SAMPLER_ARG: \"2\" is not a number from 0 to 1",
		},
		"out of range": {yaml: "{endpoint: http://c, sample: 1.5}", want: "causeway.yaml:1:30: traces.sample: 1.5 is above 1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "causeway.yaml")
			text := ""
			if tc.yaml != "" {
				text = "traces: " + tc.yaml
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := readConfig(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if s := p.traces(func(name string) string { return tc.env[name] }, secret.NewResolver()); s != nil {
				got = s.endpoint
			}
			if err := p.err(); err != nil {
				got = strings.ReplaceAll(err.Error(), path, "causeway.yaml")
			}
			if got != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
			if strings.Contains(got, "canary") {
				t.Error("it repeats what may be a secret")
			}
		})
	}
}

// TestDevTraces runs the whole of causeway dev with a collector behind TLS whose
// certificate authority only OTEL_EXPORTER_OTLP_CERTIFICATE knows.
func TestDevTraces(t *testing.T) {
	o := newOTLP(t, httptest.NewTLSServer)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ops, door, data := freeAddress(t), freeAddress(t), t.TempDir()
	t.Setenv("CAUSEWAY_OPS_LISTEN", ops)
	t.Setenv("CAUSEWAY_INGRESS_LISTEN", door)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", o.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20token")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("CAUSEWAY_TRACES_SAMPLE", "1.0")
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"dev", "--data", data, "--broker-listen", freeAddress(t)}, io.Discard, &stderr)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("causeway dev ended with %d\n%s", code, stderr.String())
		}
	})
	defer stop()
	awaitText(t, "http://"+ops+"/readyz", "")
	if code := run(t.Context(), []string{"send", "stripe", "--data", data, "--url", "http://" + door + "/webhooks/stripe"}, io.Discard, os.Stderr); code != 0 {
		t.Fatalf("causeway send ended with %d", code)
	}
	awaitText(t, "http://"+ops+"/metrics", `causeway_egress_attempts_total{outcome="done"`)
	stop() // and so flush
	if got, want := o.names(), []string{"POST", "POST /webhooks/{source}", "process webhooks.stripe", "send webhooks.stripe"}; !slices.Equal(got, want) {
		t.Errorf("the collector has %q, want %q\n%s", got, want, stderr.String())
	}
	if got := o.headers.Get("Authorization"); got != "Bearer token" {
		t.Errorf("the collector was shown %q", got)
	}
	if strings.Contains(stderr.String(), "Bearer") {
		t.Error("the token is in the log")
	}
}

// BenchmarkSpan is what an ended span costs while nobody takes any.
func BenchmarkSpan(b *testing.B) {
	out, err := newTraces(b.Context(), tracesOptions{
		settings: &traceSettings{endpoint: "http://127.0.0.1:1/v1/traces", timeout: time.Second, tls: &tls.Config{MinVersion: tls.VersionTLS12}},
		health:   health.NewSet(nil), log: zap.NewNop(), reg: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	tracer := tracing.Tracer(out.provider())
	b.ReportAllocs()
	for b.Loop() {
		_, span := tracer.Start(context.Background(), "process", trace.WithSpanKind(trace.SpanKindConsumer), tracing.Of("stripe", "invoice.paid"))
		span.End()
	}
	out.stop(context.Background())
}
