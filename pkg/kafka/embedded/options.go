package embedded

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// DefaultListen is where causeway dev's broker listens.
const DefaultListen = "127.0.0.1:8703"

// Options says where the broker lives and how much it may hold.
type Options struct {
	Dir      string // made if need be, for its owner only; one process at a time
	Listen   string // loopback only; default DefaultListen, port 0 takes a free one
	MaxBytes int64  // default 1 GiB; beyond it Writable refuses. A restart's memory is about the data's size
	// Keep names the topics that no group reads, and for how long their records
	// are kept (kafka.Unread). All others are kept for a day, and for as long as
	// some group has not committed them; without any commit, for ever.
	Keep map[string]time.Duration
	// Floors gives offsets below which nothing may be trimmed, by topic and
	// partition, whatever was committed: where ranges start that somebody still
	// has to read. While it fails nothing is trimmed at all. May be nil.
	Floors func(context.Context) (map[string]map[int32]int64, error)

	Logger     *zap.Logger
	Registerer prometheus.Registerer
	Network    *kfake.VirtualNetwork // a test bubble's, in place of sockets

	off   without
	space func(dir string) (space, error) // the file system's, for tests
}

// without switches guards off, one by one, in the tests that show what each of
// them is there for. Nothing else can.
type without struct {
	Lock, Repair, Checkpoint, Commits, Policy, Watchdog bool
	CommitFloor, LastBatch                              bool // the janitor's two limits
}

func (o Options) withDefaults() Options {
	o.Listen = cmp.Or(o.Listen, DefaultListen)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	if o.space == nil {
		o.space = statfs
	}
	return o
}
