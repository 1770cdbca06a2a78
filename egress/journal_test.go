package egress

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// stuck is a log that takes nothing before it is let go.
type stuck struct {
	zapcore.Core
	let chan struct{}
}

func (s stuck) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, s)
}

func (s stuck) Write(e zapcore.Entry, fields []zapcore.Field) error {
	<-s.let
	return s.Core.Write(e, fields)
}

// TestAStuckLogHoldsUpNoAttempt leaves more notes than there is room for: none of them
// waits, and each ends as a line or is counted as dropped.
func TestAStuckLogHoldsUpNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := kgo.NewClient() // nobody answers: records wait in it
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		core, lines := observer.New(zap.DebugLevel)
		let := make(chan struct{})
		dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"})
		j := newJournal(zap.New(stuck{core, let}), client, "attempts", dropped)
		go j.run()

		const attempts = 3 * maxNotes
		for range attempts {
			j.note(&note{})
		}
		synctest.Wait()
		if n := testutil.ToFloat64(dropped); n != attempts-maxNotes {
			t.Errorf("%v of %d attempts were dropped, want those beyond %d", n, attempts, maxNotes)
		}
		close(let)
		close(j.end)
		<-j.ended
		if n := lines.Len(); n != maxNotes {
			t.Errorf("%d lines, want one for each of the %d notes that were kept", n, maxNotes)
		}
	})
}
