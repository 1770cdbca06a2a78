package main

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A part that fails ends the process and is its error. One that fails while the process
// stops already is not, and still nobody has to guess that something was left undone.
func TestAPartThatFails(t *testing.T) {
	for name, asked := range map[string]bool{"by itself": false, "in the stop": true} {
		t.Run(name, func(t *testing.T) {
			core, logged := observer.New(zap.ErrorLevel)
			ctx, fail := context.WithCancelCause(t.Context())
			parts := &crew{whole: ctx, fail: fail, log: zap.New(core)}
			late := errors.New("commits are still under way")
			parts.run(ctx, "egress", func(ctx context.Context) error {
				if asked {
					<-ctx.Done()
				}
				return late
			})
			if asked {
				fail(nil)
			}
			parts.wg.Wait()
			if err := whyStopped(ctx, nil); asked != (err == nil) || !asked && !errors.Is(err, late) {
				t.Errorf("the process ends with %v", err)
			}
			if asked != (logged.FilterField(zap.String("part", "egress")).Len() == 1) {
				t.Errorf("logged %v", logged.All())
			}
		})
	}
}
