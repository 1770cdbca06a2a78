// Package health holds declared conditions behind /readyz, a gauge and the dashboard.
package health

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Condition is one thing that must be so for the process to be well. Conditions are
// declared before they are known to hold, so that a reader sees all there are.
type Condition struct {
	Code      string // stable, snake_case: the gauge's label
	Title     string // what holds when it is met: "Kafka acknowledges"
	Readiness bool   // false: shown, but never takes the process out of service
}

// Failing is a condition that is not met.
type Failing struct {
	Code      string    `json:"code"`
	Title     string    `json:"title"`
	Text      string    `json:"text"`
	Since     time.Time `json:"since"`
	Readiness bool      `json:"readiness"`
}

// Set is all conditions of a process.
type Set struct {
	gauge *prometheus.GaugeVec

	mu      sync.Mutex
	handles []*Handle
}

// NewSet returns an empty set whose gauge, causeway_health, is registered with reg.
// A nil reg leaves it unregistered.
func NewSet(reg prometheus.Registerer) *Set {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "causeway_health",
		Help: "Whether a condition is met: 1 met, 0 not.",
	}, []string{"condition"})
	if reg != nil {
		reg.MustRegister(gauge)
	}
	return &Set{gauge: gauge}
}

// Declare adds a condition and returns the handle by which its owner reports. One that
// counts for readiness fails as "starting" until its owner says otherwise; others are
// met until then. Declaring a code twice is a mistake in the wiring and panics.
func (s *Set) Declare(c Condition) *Handle {
	h := &Handle{condition: c, gauge: s.gauge.WithLabelValues(c.Code)}
	h.OK()
	if c.Readiness {
		h.Fail("starting")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.handles, func(o *Handle) bool { return o.condition.Code == c.Code }) {
		panic(fmt.Sprintf("health: condition %s declared twice", c.Code))
	}
	s.handles = append(s.handles, h)
	return h
}

// Ready reports whether every condition that counts for readiness is met, and returns
// all that are not met, in the order of their declaration.
func (s *Set) Ready() (bool, []Failing) {
	s.mu.Lock()
	handles := slices.Clone(s.handles)
	s.mu.Unlock()
	ready := true
	var failing []Failing
	for _, h := range handles {
		f, fails := h.failing()
		if !fails {
			continue
		}
		failing = append(failing, f)
		ready = ready && !f.Readiness
	}
	return ready, failing
}

// Handle is how the owner of one condition reports on it. Its methods may be called
// from anywhere and often: saying again what was said costs a lock.
type Handle struct {
	condition Condition
	gauge     prometheus.Gauge

	mu    sync.Mutex
	fails bool
	text  string
	since time.Time
}

// OK says that the condition is met.
func (h *Handle) OK() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails, h.text = false, ""
	h.gauge.Set(1)
}

// Fail says that the condition is not met and why, in words for the person who is woken
// by it. A new text keeps the time since when it fails.
func (h *Handle) Fail(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.fails {
		h.fails, h.since = true, time.Now()
		h.gauge.Set(0)
	}
	h.text = text
}

func (h *Handle) failing() (Failing, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.condition
	return Failing{c.Code, c.Title, h.text, h.since, c.Readiness}, h.fails
}
