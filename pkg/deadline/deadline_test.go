package deadline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errOver = errors.New("over")

func TestNoWaitIsLongerOrMuchShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Shared
		distinct := map[context.Context]bool{}
		for i := range 3000 {
			wait := time.Duration(1+i%3) * 5 * time.Second
			began := time.Now()
			ctx := s.Context(t.Context(), wait, errOver, began)
			distinct[ctx] = true
			go func() {
				<-ctx.Done()
				if took := time.Since(began); took > wait || took < wait*99/100 || !errors.Is(context.Cause(ctx), errOver) {
					t.Errorf("a wait of %s took %s: %v", wait, took, context.Cause(ctx))
				}
			}()
			time.Sleep(7 * time.Millisecond)
		}
		if len(distinct) > 3000/2 {
			t.Errorf("%d contexts for 3000 waits", len(distinct))
		}
		time.Sleep(time.Minute)
		if s.Context(t.Context(), time.Second, errOver, time.Now()); len(s.now) != 1 {
			t.Errorf("%d are kept, of which one is of use", len(s.now))
		}
	})
}

func TestAParentEndsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Shared
		ended, end := context.WithCancel(t.Context())
		other := s.Context(t.Context(), time.Second, errOver, time.Now())
		mine := s.Context(ended, time.Second, errOver, time.Now())
		end()
		if mine.Err() == nil || other.Err() != nil {
			t.Errorf("after the end of one parent: %v, and the other's %v", mine.Err(), other.Err())
		}
		if again := s.Context(t.Context(), time.Second, errOver, time.Now()); again.Err() != nil {
			t.Errorf("a new wait has already ended: %v", again.Err())
		}
		time.Sleep(2 * time.Second)
	})
}
