package main

import (
	"context"
	"errors"
	"testing"
)

// A part that fails ends the process and is its error, and so is one that fails while the
// process stops already: nobody has to guess that something was left undone.
func TestAPartThatFails(t *testing.T) {
	late := errors.New("commits are still under way")
	for name, tc := range map[string]struct {
		asked bool
		err   error
	}{
		"by itself":            {false, late},
		"in the stop":          {true, late},
		"not, and is asked to": {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, fail := context.WithCancelCause(t.Context())
			parts := &crew{fail: fail}
			parts.run(ctx, "egress", func(ctx context.Context) error {
				if tc.asked {
					<-ctx.Done()
				}
				return tc.err
			})
			if tc.asked {
				fail(nil)
			}
			if err := parts.end(); !errors.Is(err, tc.err) {
				t.Errorf("the process ends with %v, want %v", err, tc.err)
			}
			if ctx.Err() == nil {
				t.Error("the process goes on")
			}
		})
	}
}

// What ended a process is said once, and what its parts failed with beside it as well.
func TestWhatAProcessEndsWith(t *testing.T) {
	why, late := &partError{"kafka", errors.New("refused")}, errors.New("commits are still under way")
	for name, tc := range map[string]struct {
		why, failed error
		want        string
	}{
		"asked":                       {nil, nil, ""},
		"asked, but not in order":     {nil, late, "commits are still under way"},
		"a part, and others by it":    {why, errors.Join(why, late), "kafka: refused"},
		"before the parts, and those": {why, late, "kafka: refused\ncommits are still under way"},
	} {
		got := ""
		if err := stopError(tc.why, tc.failed); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
