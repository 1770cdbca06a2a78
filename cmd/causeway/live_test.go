package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/health"
)

// look is what a store and a process say of the catalog when somebody looks.
type look struct {
	read, end, works int64
	lost, hangs      error
	want             string // in the condition's text; "": it is met
}

// lookedAt is a store that says something else each time that its end is asked for.
type lookedAt struct {
	store
	look
	next func()
}

func (s *lookedAt) State() *catalog.State { return &catalog.State{Version: s.read} }
func (s *lookedAt) WentBack() error       { return s.lost }
func (s *lookedAt) Hanging() error        { return s.hangs }

func (s *lookedAt) End(context.Context) (int64, error) {
	s.next()
	return s.end, nil
}

// Whether changes reach this process, by what was read, what there is, and what the
// process works from, look after look.
func TestHowTheCatalogIsFollowed(t *testing.T) {
	lost := fmt.Errorf("%w: it ends at 3, and 5 of it was read", catalog.ErrWentBack)
	hangs := fmt.Errorf("%w: abort it with --start-offset 5", catalog.ErrHanging)
	for name, looks := range map[string][]look{
		"all of it":                    {{5, 5, 5, nil, nil, ""}, {7, 7, 7, nil, nil, ""}},
		"it does not come":             {{5, 5, 5, nil, nil, ""}, {5, 7, 5, nil, nil, "has read version 5"}, {7, 7, 7, nil, nil, ""}},
		"what comes is not taken up":   {{5, 5, 5, nil, nil, ""}, {7, 7, 5, nil, nil, ""}, {9, 9, 5, nil, nil, "works from version 5"}, {9, 9, 9, nil, nil, ""}},
		"it is taken up a look later":  {{5, 5, 5, nil, nil, ""}, {7, 7, 5, nil, nil, ""}, {9, 9, 7, nil, nil, ""}, {9, 9, 9, nil, nil, ""}},
		"it ends before":               {{5, 5, 5, nil, nil, ""}, {5, 3, 5, nil, nil, "restart this process"}, {5, 5, 5, nil, nil, ""}},
		"it went back":                 {{5, 5, 5, nil, nil, ""}, {5, 3, 5, lost, nil, "restart this process"}, {5, 7, 5, lost, nil, "restart this process"}},
		"it went back, and is as long": {{5, 5, 5, lost, nil, "restart this process"}},
		"a transaction hangs":          {{5, 5, 5, nil, nil, ""}, {5, 5, 5, nil, hangs, "--start-offset 5"}, {7, 7, 7, nil, nil, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conditions := health.NewSet(nil)
				s := &lookedAt{}
				l := newLive(s, roles{}, catalog.Options{}, conditions, prometheus.NewRegistry(), zap.NewNop())
				ctx, stop := context.WithCancel(t.Context())
				var told []string
				s.next = func() {
					if len(told) > 0 {
						told[len(told)-1] = failingText(conditions, "catalog_followed")
					}
					if len(told) == len(looks) {
						stop()
						return
					}
					s.look = looks[len(told)]
					l.now.Store(catalog.NewSnapshot(s.works, nil, nil))
					told = append(told, "")
				}
				if err := l.follow(ctx); err != nil {
					t.Fatal(err)
				}
				for i, got := range told {
					if want := looks[i].want; (got == "") != (want == "") || !strings.Contains(got, want) {
						t.Errorf("look %d: %q, want %q", i+1, got, want)
					}
				}
			})
		})
	}
}

// failingText is why a condition is not met; "": it is.
func failingText(conditions *health.Set, code string) string {
	_, failing := conditions.Ready()
	for _, f := range failing {
		if f.Code == code {
			return f.Text
		}
	}
	return ""
}

// losing is a store that can lose what was read of it.
type losing struct {
	store
	mu    sync.Mutex
	moved chan struct{}
	lost  error
}

func (s *losing) Next() (*catalog.State, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &catalog.State{Version: 5}, s.moved
}

func (s *losing) WentBack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func (s *losing) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = catalog.ErrWentBack
	close(s.moved)
	s.moved = make(chan struct{})
}

// Others know entries by now that a process whose catalog went back never will: its egress
// is told to hold, once.
func TestACatalogThatWentBackIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &losing{moved: make(chan struct{})}
		l := newLive(s, roles{}, catalog.Options{}, health.NewSet(nil), prometheus.NewRegistry(), zap.NewNop())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.run(ctx) }()
		time.Sleep(time.Second)
		snapshot, changed := l.changed()
		if snapshot.Version != 5 || snapshot.Newer != nil {
			t.Fatalf("version %d, held: %v", snapshot.Version, snapshot.Newer)
		}
		s.lose()
		time.Sleep(time.Second)
		select {
		case <-changed:
		default:
			t.Error("nobody is told")
		}
		held, again := l.changed()
		if held.Version != 5 || !errors.Is(held.Newer, catalog.ErrWentBack) {
			t.Errorf("version %d, held: %v", held.Version, held.Newer)
		}
		time.Sleep(time.Minute)
		select {
		case <-again:
			t.Error("it is told over and over")
		default:
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
