package embedded

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestJanitorTrimsWhatIsOldAndRead(t *testing.T) {
	floor := func(at int64, err error) func(context.Context) (map[string]map[int32]int64, error) {
		return func(context.Context) (map[string]map[int32]int64, error) {
			return map[string]map[int32]int64{"t": {0: at}}, err
		}
	}
	for name, tc := range map[string]struct {
		opts    Options
		commits map[string]int64
		age     time.Duration // of the first 50 of 100 records
		want    int64         // first record left
	}{
		"old and read by the only group":                    {Options{}, map[string]int64{"a": 60}, 25 * time.Hour, 50},
		"not read yet":                                      {Options{}, map[string]int64{"a": 30}, 25 * time.Hour, 30},
		"the slowest group decides":                         {Options{}, map[string]int64{"a": 60, "b": 10, "c": 99}, 25 * time.Hour, 10},
		"no group has read anything":                        {Options{}, nil, 25 * time.Hour, 0},
		"read but young":                                    {Options{}, map[string]int64{"a": 100}, 23 * time.Hour, 0},
		"a floor below the commit":                          {Options{Floors: floor(20, nil)}, map[string]int64{"a": 60}, 25 * time.Hour, 20},
		"a floor above the commit":                          {Options{Floors: floor(80, nil)}, map[string]int64{"a": 30}, 25 * time.Hour, 30},
		"floors that cannot be had":                         {Options{Floors: floor(80, errors.New("not yet"))}, map[string]int64{"a": 60}, 25 * time.Hour, 0},
		"a topic that nobody reads, past its own age":       {Options{Keep: map[string]time.Duration{"t": 7 * 24 * time.Hour}}, nil, 8 * 24 * time.Hour, 50},
		"a topic that nobody reads, before it":              {Options{Keep: map[string]time.Duration{"t": 7 * 24 * time.Hour}}, nil, 25 * time.Hour, 0},
		"without the limit, what nobody has read goes":      {Options{off: without{CommitFloor: true}}, map[string]int64{"a": 10}, 25 * time.Hour, 50},
		"without the limit, also where no group was before": {Options{off: without{CommitFloor: true}}, nil, 25 * time.Hour, 50},
	} {
		t.Run(name, func(t *testing.T) {
			tc.opts.Dir = t.TempDir()
			b := start(t, tc.opts)
			if err := create(t, b.Addr(), "t", nil); err != nil {
				t.Fatal(err)
			}
			produce(t, b.Addr(), "t", 0, 50, aged(tc.age))
			produce(t, b.Addr(), "t", 50, 50)
			for group, at := range tc.commits {
				commit(t, b.Addr(), group, "t", at)
			}
			b.trim(t.Context())
			if first, end := extent(t, b.Addr(), "t"); first != tc.want || end != 100 {
				t.Errorf("left is %d to %d, want %d to 100", first, end, tc.want)
			}
		})
	}
}

// TestOffsetsGoOnAfterEverythingWasTrimmed is about the janitor's last limit:
// a partition without a batch starts again at 0.
func TestOffsetsGoOnAfterEverythingWasTrimmed(t *testing.T) {
	for name, tc := range map[string]struct {
		off  without
		want int64
	}{
		"the last batch stays, and offsets go on": {without{}, 100},
		"without it they start again":             {without{LastBatch: true, Checkpoint: true, Commits: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, Options{Dir: dir, off: tc.off})
			if err := create(t, b.Addr(), "t", nil); err != nil {
				t.Fatal(err)
			}
			produce(t, b.Addr(), "t", 0, 100, aged(25*time.Hour))
			commit(t, b.Addr(), "g", "t", 100)
			b.trim(t.Context())
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			c := startChild(t, childOptions{Dir: dir, Off: tc.off})
			c.kill()
			b = start(t, Options{Dir: dir, off: tc.off})
			if _, end := extent(t, b.Addr(), "t"); end != tc.want {
				t.Errorf("the partition ends at %d, want %d", end, tc.want)
			}
			produce(t, b.Addr(), "t", 1000, 150)
			if got, want := len(read(t, b.Addr(), "g", "t")), 50+int(tc.want); got != want {
				t.Errorf("of 150 new records the group got %d, want %d", got, want)
			}
		})
	}
}

// TestMoreThanADayOfTheBroker runs the whole of it in a bubble: what was read is
// gone after a day.
func TestMoreThanADayOfTheBroker(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		network := new(kfake.VirtualNetwork)
		b, err := Start(t.Context(), Options{Dir: dir, Network: network})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.Dialer(network.DialContext), kgo.DisableClientMetrics(),
			kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Minute), kgo.HeartbeatInterval(90*time.Second), kgo.SessionTimeout(5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.cluster.CreateTopic("t", 1, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute) // between two of the janitor's rounds
		for range 30 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if n := cl.PollFetches(ctx).NumRecords(); n != 1 {
				t.Fatalf("%d records", n)
			}
			if err := cl.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Hour)
		if p := b.cluster.PartitionInfo("t", 0); p.LogStartOffset != 7 || p.HighWatermark != 30 {
			t.Errorf("left is %d to %d, want 7 to 30: a day of it", p.LogStartOffset, p.HighWatermark)
		}
		cl.Close()
		cancel()
		if err := errors.Join(<-done, b.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseWhileRunning(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b, err := Start(t.Context(), Options{Dir: dir, Network: new(kfake.VirtualNetwork)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(90 * time.Minute)
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
