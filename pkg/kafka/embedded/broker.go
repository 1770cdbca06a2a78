// Package embedded is the in-process Kafka of causeway dev and of tests: kfake
// with a data directory, and a guard in front of every way in which kfake is
// known to lose what it has acknowledged.
//
// It is one machine and one copy. Records and commits survive kill -9; they do
// not survive the disk. docs/embedded.md says what it is for.
//
// Each guard has a file of its own and a test that takes the guard away and
// shows the loss.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// Options says where the broker lives and how much it may hold.
type Options struct {
	Dir      string // made 0700; one process at a time
	Listen   string // loopback only; default 127.0.0.1:8703, port 0 takes a free one
	MaxBytes int64  // default 1 GiB; more is refused at the door, see Writable
	// Floors gives, by topic and partition, offsets that the janitor must not
	// trim, beside the groups' commits: the starts of ranges that somebody still
	// has to read. May be nil. While it fails, nothing is trimmed.
	Floors func(context.Context) (map[string]map[int32]int64, error)
	// Keep names topics that no group reads, and for how long their records are
	// kept: kafka.Unread.
	Keep       map[string]time.Duration
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	Network    *kfake.VirtualNetwork // in a test's bubble, instead of sockets

	off    guards
	statfs func(dir string) (disk, error)
	kfake  map[string]string // broker settings of a test
}

// guards are switched off by tests that show what each of them is there for.
type guards struct {
	lock, torn, checkpoint, commits, policy, floor, last, disk bool
}

// DefaultListen is the embedded broker's address.
const DefaultListen = "127.0.0.1:8703"

func (o Options) withDefaults() Options {
	o.Listen = cmp.Or(o.Listen, DefaultListen)
	o.MaxBytes = cmp.Or(o.MaxBytes, 1<<30)
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	if o.statfs == nil {
		o.statfs = statfs
	}
	return o
}

// Broker is a running embedded broker.
type Broker struct {
	opts    Options
	cluster *kfake.Cluster
	client  *kgo.Client // over the gate's own connections, for the guards
	gate    *gate
	release func() error
	disk    *watchdog

	closing sync.Once
	closed  error
}

// Start takes the directory, mends what a crash left torn, loads it, checks
// that everything once acknowledged is there, and only then lets clients in.
func Start(ctx context.Context, o Options) (_ *Broker, err error) {
	o = o.withDefaults()
	if err := prepare(o.Dir); err != nil {
		return nil, err
	}
	b := &Broker{opts: o, release: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if !o.off.lock {
		if b.release, err = lock(o.Dir); err != nil {
			return nil, err
		}
	}
	if b.gate, err = listen(o.Listen, o.Network); err != nil {
		return nil, err
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	b.gate.open()
	return b, nil
}

// load starts kfake on the directory.
func (b *Broker) load() (err error) {
	o := b.opts
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.gate, nil }),
		kfake.ClusterID(uuid.NewString()), // of a new directory; an old one keeps its own
		kfake.DefaultNumPartitions(1),
		kfake.DataDir(o.Dir),
		kfake.SyncWrites(),
	)
	if err != nil {
		return fmt.Errorf("load the embedded broker's data in %s: %w", o.Dir, err)
	}
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.gate.Addr().String()), kgo.Dialer(b.gate.dial), kgo.ClientID("causeway-embedded"), kgo.DisableClientMetrics())
	return err
}

// Addr is the address that clients connect to.
func (b *Broker) Addr() string { return b.gate.Addr().String() }

// Run keeps the guards that work while the broker does; it blocks until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Writable is nil while there is room, or says why the door must refuse.
func (b *Broker) Writable() error { return nil }

// Close saves what only a clean stop can save and lets the directory go.
func (b *Broker) Close() error {
	b.closing.Do(func() {
		if b.client != nil {
			b.client.Close()
		}
		if b.cluster != nil {
			b.cluster.Close()
		}
		if b.gate != nil {
			_ = b.gate.Close()
		}
		b.closed = b.release()
	})
	return b.closed
}

// prepare makes the directory, for its owner only.
func prepare(dir string) error {
	if dir == "" {
		return errors.New("the embedded broker needs a data directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory %s: %w", dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("keep the data directory %s to its owner: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be written to: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
