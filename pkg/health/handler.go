package health

import (
	"encoding/json"
	"net/http"
)

// report is the body of /readyz. It is the same whether ready or not, so that a
// condition without readiness is seen too.
type report struct {
	Ready   bool      `json:"ready"`
	Failing []Failing `json:"failing"`
}

// Handler serves /healthz, which says only that the process answers, and /readyz, which
// is 503 while a condition that counts for readiness is not met and names each that
// isn't. An orchestrator that restarts on /readyz would turn one slow Kafka into a
// restart of everything; that is why there are two.
func (s *Set) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, failing := s.Ready()
		status := http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		if failing == nil {
			failing = []Failing{} // a list in the JSON, never null
		}
		answer(w, status, report{ready, failing})
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The status is out and the body is a plain struct: what can fail here is the
	// caller's connection, and then nobody is left to be told.
	_ = json.NewEncoder(w).Encode(body)
}
