package ingress

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zapcore"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/signature"
)

// TestTheTableInTheDocs compares docs/ingress-errors.md with the code, line by line.
func TestTheTableInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/ingress-errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, coded []string
	for _, m := range regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `(\\w+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	for _, r := range refusals() {
		coded = append(coded, strconv.Itoa(r.status)+" "+r.code)
	}
	if got, want := strings.Join(documented, "\n"), strings.Join(coded, "\n"); got != want {
		t.Errorf("docs/ingress-errors.md has\n%s\nthe code has\n%s", got, want)
	}
}

func TestEveryRefusalIsAProblem(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range refusals() {
		var got struct {
			Type, Title, Code, Detail string
			Status                    int
		}
		if err := json.Unmarshal(r.problem(), &got); err != nil {
			t.Errorf("%s: %v", r.code, err)
		}
		if got.Type != "urn:causeway:ingress:"+r.code || got.Title != r.title || got.Code != r.code || got.Detail != r.detail || got.Status != r.status {
			t.Errorf("%s: problem %+v", r.code, got)
		}
		if r.title == "" || r.detail == "" || strings.ContainsFunc(r.title+r.detail, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			t.Errorf("%s: texts must be plain ASCII and say something", r.code)
		}
		if seen[r.code] {
			t.Errorf("%s is there twice", r.code)
		}
		seen[r.code] = true
		if retry := r.status == 429 || r.status == 503; retry != (r.retryAfter > 0) {
			t.Errorf("%s, %d: Retry-After %d", r.code, r.status, r.retryAfter)
		}
	}
}

func TestWhichRefusalAnErrorIs(t *testing.T) {
	table := refusals()
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"the producer's buffer is full":   {fmt.Errorf("%w: produce: %w", errKafka, kgo.ErrMaxBuffered), "buffer_full"},
		"Kafka finds it too large":        {fmt.Errorf("%w: produce: %w", errKafka, fmt.Errorf("%w (n=1)", kerr.MessageTooLarge)), "record_too_large"},
		"any other produce error":         {fmt.Errorf("%w: produce: %w", errKafka, kgo.ErrRecordTimeout), "kafka_unavailable"},
		"a signature error, whatever":     {fmt.Errorf("%w: %w", errSignature, signature.ErrExpired), "invalid_signature"},
		"what nobody thought of":          {errors.New("surprise"), "internal_error"},
		"what could not become a record":  {fmt.Errorf("%w: no ID", errInternal), "internal_error"},
		"the body announced is too large": {fmt.Errorf("%w: 5 bytes", errBodyTooLarge), "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusalOf(table, tc.err).code; got != tc.want {
				t.Errorf("%v is %s, want %s", tc.err, got, tc.want)
			}
		})
	}
}

// TestNothingLeaks sends canaries everywhere and looks for them in answers and logs.
func TestNothingLeaks(t *testing.T) {
	const canary = "CANARY"
	src := newSource(t, "token", "token", provider.Settings{})
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		r := w.post("/webhooks/token?secret="+canary, `{"body":"`+canary+`"}`)
		r.Header.Set("Authorization", "Bearer "+canary)
		r.Header.Set("Cookie", canary)
		got := w.expect(r, 401, "invalid_signature")
		if strings.Contains(got.text, canary) {
			w.t.Errorf("the answer echoes: %s", got.text)
		}
		if strings.Contains(got.text, "missing") || strings.Contains(got.text, "mismatch") {
			w.t.Errorf("the answer says which part was wrong: %s", got.text)
		}
		w.expect(w.signed(src, `{}`, "Content-Encoding", "br"), 415, "unsupported_content_encoding")
		for _, entry := range w.logs.All() {
			line := fmt.Sprint(entry.Message, entry.ContextMap())
			if strings.Contains(line, canary) || strings.Contains(line, testSecret) {
				w.t.Errorf("the log has it: %s", line)
			}
		}
	})
}

func TestALineSaysWhatOneNeeds(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{TrustedProxies: prefixes("192.0.2.1/32")}, []*catalog.Source{src}, func(w *world) {
		defer w.hold()()
		w.expect(w.signed(src, `{"id":"evt_1"}`, "X-Forwarded-For", "203.0.113.5"), 503, "not_acknowledged")
		lines := w.logs.FilterMessage("webhook refused: not_acknowledged").All()
		if len(lines) != 1 {
			w.t.Fatalf("%d lines, want 1", len(lines))
		}
		if lines[0].Level != zapcore.WarnLevel {
			w.t.Errorf("level %v: a 5xx is ours, and worth a warning", lines[0].Level)
		}
		fields := lines[0].ContextMap()
		for name, want := range map[string]any{
			"source": "stripe", "status": int64(503), "code": "not_acknowledged", "client": "203.0.113.5", "peer": "192.0.2.1:1000",
			"method": "POST", "body": int64(14), "event": "evt_1", "took": 5 * time.Second,
		} {
			if fields[name] != want {
				w.t.Errorf("%s = %v, want %v", name, fields[name], want)
			}
		}
	})
}

func TestAFloodIsCountedButNotLogged(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		for range 1000 {
			w.expect(w.post("/webhooks/"+strings.Repeat("x", 500), ""), 404, "unknown_source")
		}
		w.expect(w.post("/webhooks/stripe", "{}"), 401, "invalid_signature")
		if got := w.metric("causeway_ingress_requests_total", "outcome", "unknown_source"); got != 1000 {
			w.t.Errorf("%v counted, want 1000", got)
		}
		lines := w.logs.FilterMessage("webhook refused: unknown_source").All()
		if len(lines) > 120 {
			w.t.Errorf("%d lines for a thousand in no time", len(lines))
		}
		if name := lines[0].ContextMap()["source"].(string); len(name) > 80 {
			w.t.Errorf("a line holds %d bytes of a stranger's path", len(name))
		}
		if got := w.logs.FilterMessage("webhook refused: invalid_signature").Len(); got != 1 {
			w.t.Errorf("another kind of refusal got %d lines, want 1", got)
		}
	})
}

func TestAPanicIsAnAnswer(t *testing.T) {
	src := stripe(t)
	src.Keys = func() ([]signature.Key, error) { panic("boom") }
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.post("/webhooks/stripe", "{}"), http.StatusInternalServerError, "internal_error")
		if got := w.logs.FilterMessage("panic").Len(); got != 1 {
			w.t.Errorf("%d lines with the stack, want 1", got)
		}
		if used := w.server.bodies.used.Load(); used != 0 {
			w.t.Errorf("%d bytes still accounted for", used)
		}
	})
}

func TestMetrics(t *testing.T) {
	src := stripe(t)
	inWorld(t, Options{}, []*catalog.Source{src}, func(w *world) {
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "received")
		w.expect(w.signed(src, `{"id":"evt_1"}`), 200, "already_processed")
		w.expect(w.post("/webhooks/stripe", "{}"), 401, "invalid_signature")
		w.expect(w.post("/webhooks/nobody", "{}"), 404, "unknown_source")
		w.expect(w.post("/", "{}"), 404, "not_found")
		want := `
# HELP causeway_dedup_window_seconds How far back copies of an event are recognised, by layer.
# TYPE causeway_dedup_window_seconds gauge
causeway_dedup_window_seconds{layer="memory"} 86400
# HELP causeway_ingress_duplicates_total Copies of events that Kafka already had.
# TYPE causeway_ingress_duplicates_total counter
causeway_ingress_duplicates_total 1
# HELP causeway_ingress_requests_total Requests by source and what became of them; source is empty where it is not known.
# TYPE causeway_ingress_requests_total counter
causeway_ingress_requests_total{outcome="already_processed",source="stripe"} 1
causeway_ingress_requests_total{outcome="invalid_signature",source="stripe"} 1
causeway_ingress_requests_total{outcome="not_found",source=""} 1
causeway_ingress_requests_total{outcome="received",source="stripe"} 1
causeway_ingress_requests_total{outcome="unknown_source",source=""} 1
`
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "causeway_dedup_window_seconds",
			"causeway_ingress_duplicates_total", "causeway_ingress_requests_total"); err != nil {
			w.t.Error(err)
		}
		for name, want := range map[string]float64{"causeway_ingress_request_duration_seconds": 4, "causeway_ingress_body_bytes": 3, "causeway_produce_duration_seconds": 1} {
			if got := w.metric(name); got != want {
				w.t.Errorf("%s counted %v, want %v", name, got, want)
			}
		}
	})
}
