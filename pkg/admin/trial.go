package admin

import (
	"context"
	"errors"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/signature"
)

// testSource looks at each thing that has to be right for a webhook of the source to be
// stored, as far as this process can see it.
func (s *Server) testSource(ctx context.Context, v *visit, in *stateIn) (*testOut, error) {
	e, err := findOwn(s.o.Catalog.State(), v, catalog.KindSource, in.ID)
	if err != nil {
		return nil, err
	}
	t := &trial{operator: v.tenant == ""}
	var src *catalog.Source
	if s.o.Live != nil {
		src = s.o.Live().Source(e.Name)
	}
	switch {
	case src == nil || src.Version != e.Version:
		t.check("settings", errors.New("this process has not taken up the source yet: try again"))
		return &testOut{t.result()}, nil
	case !t.check("settings", src.Fault):
		return &testOut{t.result()}, nil
	}
	paused := error(nil)
	if e.Paused {
		paused = errors.New("it is paused: the door answers 503")
	}
	t.check("open", paused)
	keys, err := src.Keys()
	if t.check("secrets", err) {
		t.check("signature", signs(src, keys))
	}
	if s.o.Ends != nil {
		ctx, cancel := context.WithTimeout(ctx, updateTimeout)
		defer cancel()
		ends, err := s.o.Ends(ctx, []string{src.Topic})
		if err == nil && len(ends[src.Topic]) == 0 {
			err = errors.New("the topic is not there")
		}
		t.check("topic", err)
	}
	return &testOut{t.result()}, nil
}

// signs signs a sample as the provider would and verifies it as the door would.
func signs(src *catalog.Source, keys []signature.Key) error {
	sample, err := src.Provider.Sample("", 1)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := src.Provider.Sign(sample, keys[:1], now); err != nil {
		return err
	}
	return src.Provider.Verify(sample, keys, now)
}

// trial gathers checks.
type trial struct {
	operator bool // others are told that, not why
	checks   []TestCheck
}

func (t *trial) check(what string, err error) bool {
	c := TestCheck{What: what, OK: err == nil}
	if err != nil {
		c.Text = "ask the operator"
		if t.operator {
			c.Text = err.Error()
		}
	}
	t.checks = append(t.checks, c)
	return c.OK
}

func (t *trial) result() TestResult {
	r := TestResult{OK: true, Checks: t.checks}
	for _, c := range t.checks {
		r.OK = r.OK && c.OK
	}
	return r
}
