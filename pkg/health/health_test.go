package health

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func kafka() Condition {
	return Condition{Code: "kafka_acknowledges", Title: "Kafka acknowledges", Readiness: true}
}

func replicas() Condition { return Condition{Code: "replicas", Title: "Topics have three replicas"} }

func TestReady(t *testing.T) {
	for name, tc := range map[string]struct {
		report  func(kafka, replicas *Handle)
		ready   bool
		failing []string // code and text
	}{
		"not before its owner says so":                 {func(_, _ *Handle) {}, false, []string{"kafka_acknowledges: starting"}},
		"all met":                                      {func(k, _ *Handle) { k.OK() }, true, nil},
		"one that counts fails":                        {func(k, _ *Handle) { k.OK(); k.Fail("no broker answers") }, false, []string{"kafka_acknowledges: no broker answers"}},
		"one that does not count is shown":             {func(k, r *Handle) { k.OK(); r.Fail("one") }, true, []string{"replicas: one"}},
		"both, in the order of declaration":            {func(_, r *Handle) { r.Fail("one") }, false, []string{"kafka_acknowledges: starting", "replicas: one"}},
		"met again":                                    {func(k, r *Handle) { k.Fail("x"); r.Fail("y"); k.OK(); r.OK() }, true, nil},
		"the latest text counts":                       {func(k, _ *Handle) { k.Fail("x"); k.Fail("y") }, false, []string{"kafka_acknowledges: y"}},
		"a text from before does not come back":        {func(k, r *Handle) { k.OK(); r.Fail("x"); r.OK(); r.Fail("") }, true, []string{"replicas: "}},
		"saying twice that it is met changes nothing":  {func(k, _ *Handle) { k.OK(); k.OK() }, true, nil},
		"failing twice needs to be mended only once":   {func(k, _ *Handle) { k.Fail("x"); k.Fail("x"); k.OK() }, true, nil},
		"one without readiness never takes it away":    {func(k, r *Handle) { r.Fail("x"); k.OK() }, true, []string{"replicas: x"}},
		"one with readiness is not hidden by the rest": {func(_, r *Handle) { r.OK() }, false, []string{"kafka_acknowledges: starting"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSet(nil)
			k, r := s.Declare(kafka()), s.Declare(replicas())
			tc.report(k, r)
			ready, failing := s.Ready()
			var got []string
			for _, f := range failing {
				got = append(got, f.Code+": "+f.Text)
			}
			if ready != tc.ready || strings.Join(got, "|") != strings.Join(tc.failing, "|") {
				t.Errorf("Ready() = %v, %q, want %v, %q", ready, got, tc.ready, tc.failing)
			}
		})
	}
}

func TestSinceIsWhenItBeganToFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSet(nil)
		h := s.Declare(kafka())
		h.OK()
		time.Sleep(time.Minute)
		began := time.Now()
		h.Fail("timeout")
		time.Sleep(time.Minute)
		h.Fail("refused")
		if _, failing := s.Ready(); !failing[0].Since.Equal(began) {
			t.Errorf("since %v, want %v", failing[0].Since, began)
		}
		h.OK()
		h.Fail("again")
		if _, failing := s.Ready(); !failing[0].Since.Equal(time.Now()) {
			t.Errorf("since %v, want %v: it was met in between", failing[0].Since, time.Now())
		}
	})
}

func TestHandler(t *testing.T) {
	s := NewSet(nil)
	k, r := s.Declare(kafka()), s.Declare(replicas())
	get := func(method, path string) (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		return w.Code, w.Body.String()
	}
	check := func(path string, wantStatus int, wantCodes ...string) {
		t.Helper()
		status, body := get(http.MethodGet, path)
		var got report
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("GET %s: %q: %v", path, body, err)
		}
		var codes []string
		for _, f := range got.Failing {
			codes = append(codes, f.Code)
		}
		if status != wantStatus || strings.Join(codes, " ") != strings.Join(wantCodes, " ") {
			t.Errorf("GET %s = %d, failing %q; want %d, %q", path, status, codes, wantStatus, wantCodes)
		}
	}
	check("/readyz", http.StatusServiceUnavailable, "kafka_acknowledges")
	check("/healthz", http.StatusOK)
	k.OK()
	check("/readyz", http.StatusOK)
	if _, body := get(http.MethodGet, "/readyz"); body != `{"ready":true,"failing":[]}`+"\n" {
		t.Errorf("ready is %q", body)
	}
	r.Fail("one broker")
	check("/readyz", http.StatusOK, "replicas")
	if status, _ := get(http.MethodPost, "/readyz"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST /readyz = %d, want 405", status)
	}
}

func TestGauge(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := NewSet(reg)
	k, r := s.Declare(kafka()), s.Declare(replicas())
	want := func(kafka, replicas string) {
		t.Helper()
		text := `# HELP causeway_health Whether a condition is met: 1 met, 0 not.
# TYPE causeway_health gauge
causeway_health{condition="kafka_acknowledges"} ` + kafka + `
causeway_health{condition="replicas"} ` + replicas + "\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
	want("0", "1")
	k.OK()
	r.Fail("one")
	want("1", "0")
}

func TestDeclaringTwicePanics(t *testing.T) {
	s := NewSet(nil)
	s.Declare(kafka())
	defer func() {
		if got := recover(); got != "health: condition kafka_acknowledges declared twice" {
			t.Errorf("recovered %v", got)
		}
	}()
	s.Declare(kafka())
}

// Under -race: owners report, probes read, and the gauge agrees with what was said last.
func TestReportsFromEverywhere(t *testing.T) {
	s := NewSet(nil)
	h := s.Declare(kafka())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				h.Fail("x")
				s.Ready()
				h.OK()
			}
		})
	}
	wg.Wait()
	if ready, _ := s.Ready(); !ready || testutil.ToFloat64(h.gauge) != 1 {
		t.Errorf("ready %v, gauge %v after all said OK", ready, testutil.ToFloat64(h.gauge))
	}
}
