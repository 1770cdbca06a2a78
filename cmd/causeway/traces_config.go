package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"causeway/pkg/secret"
)

// traceSettings is how spans leave the process.
type traceSettings struct {
	endpoint string // the whole URL
	shown    string // its host: a path may hold a token
	headers  []traceHeaderSecret
	tls      *tls.Config
	timeout  time.Duration
	service  string   // empty: as OTEL_* say
	sample   *float64 // nil: as OTEL_* say
}

// traces reads the settings, and notes their faults; nil: traces are off. What the
// process file says stands above OTEL_*, but for the two that switch all off.
func (p *processFile) traces(getenv func(string) string, resolver *secret.Resolver) *traceSettings {
	env := otelEnv{p, getenv}
	c := p.config.Traces
	if env.off() {
		return nil
	}
	s := &traceSettings{service: c.ServiceName, sample: c.Sample}
	s.endpoint = tracesURL(c.Endpoint)
	if s.endpoint == "" {
		s.endpoint = env.endpoint()
	}
	if s.endpoint == "" {
		return nil
	}
	if u, err := url.Parse(s.endpoint); err == nil {
		s.shown = u.Host
	}
	for i, h := range c.Headers {
		ref, err := secret.ParseRef(h.Value)
		if err != nil {
			continue // check has said so
		}
		if _, err := resolver.Resolve(ref); err != nil {
			p.fault(keys{"traces", "headers", strconv.Itoa(i), "value"}, "%v", err)
		}
		s.headers = append(s.headers, traceHeaderSecret{h.Name, func() (secret.Secret, error) { return resolver.Resolve(ref) }})
	}
	env.checkHeaders()
	env.checkSampler()
	s.tls = env.tls()
	s.timeout = env.timeout()
	return s
}

// checkTraces notes what is wrong with the section itself.
func (p *processFile) checkTraces() {
	c := p.config.Traces
	if err := checkCollector(c.Endpoint); err != nil {
		p.fault(keys{"traces", "endpoint"}, "%v", err)
	}
	own := []string{"Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection"}
	for i, h := range c.Headers {
		at := keys{"traces", "headers", strconv.Itoa(i)}
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		if !httpguts.ValidHeaderFieldName(h.Name) || slices.Contains(own, name) {
			p.fault(at.and("name"), "%q is not a header that can be set here", h.Name)
		}
		if _, err := secret.ParseRef(h.Value); err != nil {
			p.fault(at.and("value"), "%v", err)
		}
	}
}

// checkCollector checks a collector's URL. It is not quoted: it may hold a password.
func checkCollector(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("this is not a collector's URL: write it like http://127.0.0.1:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("a collector's URL has no user, query or fragment: what proves who you are belongs in traces.headers")
	default:
		return nil
	}
}

// tracesURL adds OTLP's path to a URL that has none.
func tracesURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return ""
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	return u.String()
}

// otelEnv is the variables that OpenTelemetry gives a meaning of its own. The SDK reads
// them by itself, and passes over what it does not understand: here that is a fault.
type otelEnv struct {
	p   *processFile
	get func(string) string
}

// exporting gives a variable of the exporter: the one for traces, or for all signals.
func (e otelEnv) exporting(setting string) (name, value string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + setting, "OTEL_EXPORTER_OTLP_" + setting} {
		if value := strings.TrimSpace(e.get(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

func (e otelEnv) fault(variable, format string, args ...any) {
	e.p.document.fault(nil, position{variable: variable}, format, args...)
}

// off says whether OTEL_* switch traces off, whatever else is set.
func (e otelEnv) off() bool {
	switch exporter := strings.TrimSpace(e.get("OTEL_TRACES_EXPORTER")); exporter {
	case "", "otlp":
	case "none":
		return true
	default:
		e.fault("OTEL_TRACES_EXPORTER", "%q is not known here: use otlp or none", exporter)
	}
	return strings.EqualFold(strings.TrimSpace(e.get("OTEL_SDK_DISABLED")), "true")
}

// endpoint is the collector that OTEL_* name.
func (e otelEnv) endpoint() string {
	name, value := e.exporting("ENDPOINT")
	if value == "" {
		return ""
	}
	if protocol, said := e.exporting("PROTOCOL"); said != "" && said != "http/protobuf" && said != "http/json" {
		e.fault(protocol, "%q is not spoken here: use http/protobuf, and the collector's port for it, mostly 4318", said)
	}
	if err := checkCollector(value); err != nil {
		e.fault(name, "%v", err)
		return ""
	}
	if strings.Contains(name, "_TRACES_") {
		return value // as it is
	}
	return strings.TrimSuffix(value, "/") + "/v1/traces"
}

func (e otelEnv) checkHeaders() {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		text := strings.TrimSpace(e.get(name))
		if text == "" {
			continue
		}
		for pair := range strings.SplitSeq(text, ",") {
			key, value, ok := strings.Cut(pair, "=")
			plain, err := url.PathUnescape(value)
			if !ok || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(key)) || !httpguts.ValidHeaderFieldValue(plain) {
				e.fault(name, "cannot be read: write it like Authorization=Bearer%%20TOKEN,X-Other=value, with %%2C for a comma in a value")
				break
			}
		}
	}
}

func (e otelEnv) checkSampler() {
	const sampler, arg = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	known := []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}
	said := strings.ToLower(strings.TrimSpace(e.get(sampler)))
	if e.p.config.Traces.Sample != nil || said == "" {
		return
	}
	if !slices.Contains(known, said) {
		e.fault(sampler, "%q is not one of %s", said, strings.Join(known, ", "))
	}
	if text := strings.TrimSpace(e.get(arg)); text != "" && strings.HasSuffix(said, "ratio") {
		if ratio, err := strconv.ParseFloat(text, 64); err != nil || ratio < 0 || ratio > 1 {
			e.fault(arg, "%q is not a number from 0 to 1", text)
		}
	}
}

// timeout is how long one batch may take.
func (e otelEnv) timeout() time.Duration {
	name, text := e.exporting("TIMEOUT")
	if text == "" {
		return 10 * time.Second
	}
	ms, err := strconv.Atoi(text)
	if err != nil || ms <= 0 || ms > 600_000 {
		e.fault(name, "%q is not a number of milliseconds from 1 to 600000", text)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// tls is how the collector proves who it is, and this process to it; nil: as the system
// has it.
func (e otelEnv) tls() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if name, path := e.exporting("CERTIFICATE"); path != "" {
		text, err := os.ReadFile(path)
		c.RootCAs = x509.NewCertPool()
		if err != nil {
			e.fault(name, "%v", err)
		} else if !c.RootCAs.AppendCertsFromPEM(text) {
			e.fault(name, "%s holds no certificate in PEM form", path)
		}
	}
	nameCert, cert := e.exporting("CLIENT_CERTIFICATE")
	nameKey, key := e.exporting("CLIENT_KEY")
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		e.fault(nameCert+nameKey, "a client's certificate and its key are set together, as OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY")
	default:
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			e.fault(nameCert, "%v", fmt.Errorf("load it with the key of %s: %w", nameKey, err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}
