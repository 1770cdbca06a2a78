// Package embedded is the in-process Kafka of causeway dev and of tests: kfake
// with a data directory, and a guard before every way in which kfake is known
// to lose what it has acknowledged.
//
// It is one machine and one copy: records and commits survive kill -9, not the
// disk. docs/embedded.md says what it is for and what it is not.
//
// A guard is a file, with a test that takes the guard away and shows the loss:
// lock.go (two processes on one directory), repair.go (torn logs), checkpoint.go
// and commits.go (offsets that start over), policy.go (compaction, retention and
// trims by others), janitor.go (trimming that keeps the end), watchdog.go (a full
// disk), gate.go (nobody reads before all of that is checked).
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is a running embedded broker.
type Broker struct {
	opts    Options
	met     *metrics
	unlock  func() error
	gate    *gate
	cluster *kfake.Cluster
	client  *kgo.Client // the guards' own, through the gate's side door
	room    room

	closing sync.Once
	closed  error
	// A question to kfake that arrives after its end is never answered: so rounds
	// hold this for reading, and the end waits for them.
	mu   sync.RWMutex
	gone bool
}

// Start takes the directory, mends what a crash tore, loads it, checks that all
// that was once acknowledged is there, and only then lets clients in. Run must
// be running for as long as the broker is in use.
func Start(ctx context.Context, o Options) (_ *Broker, err error) {
	o = o.withDefaults()
	b := &Broker{opts: o, met: newMetrics(o.Registerer)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.release())
		}
	}()
	if err := prepare(o.Dir); err != nil {
		return nil, err
	}
	if !o.off.Lock {
		if b.unlock, err = lock(o.Dir); err != nil {
			return nil, err
		}
	}
	if b.gate, err = listen(ctx, o.Listen, o.Network); err != nil {
		return nil, err
	}
	if err := b.checkWhole(); err != nil {
		return nil, err
	}
	if err := b.mend(); err != nil {
		return nil, err
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	if err := b.verify(ctx); err != nil {
		return nil, err
	}
	b.watch()
	b.gate.open()
	return b, nil
}

// prepare makes the directory and tries whether it can be written to.
func prepare(dir string) error {
	if dir == "" {
		return errors.New("the embedded broker needs a data directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	// One that was made by hand may be open to others: events and commits are not.
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
		return fmt.Errorf("keep the data directory to its owner: %w", err)
	}
	f, err := os.CreateTemp(dir, "writable-*.tmp")
	if err != nil {
		return fmt.Errorf("the data directory %s cannot be written to: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// load starts kfake on the directory. Each batch is synced to disk before it is
// acknowledged.
func (b *Broker) load() (err error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.gate, nil }),
		kfake.ClusterID(uuid.NewString()), // a new directory's; an old one keeps its own
		kfake.DefaultNumPartitions(1),
		kfake.DataDir(b.opts.Dir),
		kfake.SyncWrites(),
		kfake.WithLogger(brokerLog{b.opts.Logger}),
		kfake.BrokerConfigs(b.settings()),
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return fmt.Errorf("load the embedded broker's data from %s: %w", b.opts.Dir, err)
	}
	b.enforce()
	b.client, err = kgo.NewClient(
		kgo.SeedBrokers(b.Addr()),
		kgo.Dialer(b.gate.dial),
		kgo.ClientID("causeway-embedded"),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(250*time.Millisecond),
	)
	if err != nil {
		return fmt.Errorf("make the embedded broker's own client: %w", err)
	}
	return nil
}

// verify compares what was loaded with what must be there.
func (b *Broker) verify(ctx context.Context) error {
	topics, err := b.topics(ctx)
	if err != nil {
		return err
	}
	if err := b.checkCheckpoint(topics); err != nil {
		return err
	}
	if err := b.checkCommits(ctx, topics); err != nil {
		return err
	}
	return b.checkPolicy(ctx, topics)
}

// Addr is the address that clients connect to.
func (b *Broker) Addr() string { return b.gate.Addr().String() }

// Run does what must be done while the broker is in use: it writes checkpoints,
// trims old records and watches the disk. It blocks until ctx ends; then Close.
func (b *Broker) Run(ctx context.Context) error {
	second := time.Second
	if b.opts.Network != nil {
		second = time.Minute // a bubble's days cost as much wall time as there are rounds in them
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.every(ctx, second, b.watch) })
	wg.Go(func() { b.every(ctx, 3*second, func() { b.keepCheckpoint(ctx) }) })
	wg.Go(func() { b.every(ctx, 60*second, func() { b.trim(ctx) }) })
	wg.Wait()
	return nil
}

// every does its round once in a while, until ctx ends or the broker does.
func (b *Broker) every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.mu.RLock()
			if !b.gone {
				do()
			}
			b.mu.RUnlock()
		case <-ctx.Done():
			return
		}
	}
}

// Close writes a last checkpoint, saves what only a clean stop can save and
// lets the directory go. Clients are to be closed before.
func (b *Broker) Close() error {
	b.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := b.writeCheckpoint(ctx)
		b.mu.Lock()
		b.gone = true
		b.mu.Unlock()
		b.closed = errors.Join(err, b.release())
	})
	return b.closed
}

// release ends whatever was started, the lock last.
func (b *Broker) release() error {
	if b.client != nil {
		b.client.Close()
	}
	if b.cluster != nil {
		b.cluster.Close()
	}
	var errs []error
	if b.gate != nil {
		errs = append(errs, b.gate.Close())
	}
	if b.unlock != nil {
		errs = append(errs, b.unlock())
	}
	return errors.Join(errs...)
}
