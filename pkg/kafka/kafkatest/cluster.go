package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/kafka"
)

// Cluster is Apache Kafka, started from its jars: each broker is a process and
// its own controller.
type Cluster struct {
	Seeds []string

	dir     string
	java    string
	lib     string
	jit     []string // of a broker's JVM
	brokers []*broker
	secured *Secured // nil: the brokers let everybody in
}

// broker is one member. Its ports stay its own over a restart.
type broker struct {
	id               int
	port, controller int
	dir              string
	process          *Process
	secured          *Secured
}

// Start starts a cluster with that many brokers and returns when all of them
// are in it. Close ends it. This is for programs that measure, so the brokers
// run as they would in production; tests share a quicker one by Real.
func Start(ctx context.Context, brokers int) (*Cluster, error) {
	return launch(ctx, brokers, []string{"-Xmx512m"}, nil)
}

// errEnded says that a broker gave up, as it does when its port is taken.
var errEnded = errors.New("ended while starting")

// await returns when every broker is in the cluster, or one has ended. It waits
// long: on a busy machine with two cores, three Java processes do too.
func (c *Cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("make a client for the new cluster: %w", err)
	}
	defer cl.Close()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		seen, err := members(try, cl)
		done()
		if err == nil && seen == len(c.brokers) {
			return nil
		}
		for _, b := range c.brokers {
			select {
			case <-b.process.done:
				return fmt.Errorf("broker %d %w: %w\n%s", b.id, errEnded, b.process.err, tail(b.log()))
			default:
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for %d brokers, seen %d: %w\n%s", len(c.brokers), seen, errors.Join(ctx.Err(), err), tail(c.brokers[0].log()))
		}
	}
}

// members asks every broker how many it knows, and gives the least. It asks them
// itself: kadm would answer from what the client learned earlier, and a broker that
// was killed is known to the others until somebody can take it off the list.
func members(ctx context.Context, cl *kgo.Client) (int, error) {
	least := math.MaxInt
	for _, seed := range cl.SeedBrokers() {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
		resp, err := seed.Request(ctx, req)
		if err != nil {
			return 0, err
		}
		least = min(least, len(resp.(*kmsg.MetadataResponse).Brokers))
	}
	return least, nil
}

// Options are client options for this cluster, with group sessions short enough
// for tests that freeze a member.
func (c *Cluster) Options() kafka.Options {
	return kafka.Options{Brokers: c.Seeds, Extra: []kgo.Opt{
		kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(time.Second),
	}}
}

// Size is the number of brokers; they are counted from 0.
func (c *Cluster) Size() int { return len(c.brokers) }

// Kill ends a broker with SIGKILL.
func (c *Cluster) Kill(i int) error { return c.brokers[i].process.Kill() }

// Restart starts brokers that were killed and returns when all are in the cluster.
func (c *Cluster) Restart(ctx context.Context, brokers ...int) error {
	for try := 1; ; try++ {
		for _, i := range brokers {
			if err := c.brokers[i].process.Kill(); err != nil { // what is left of an earlier try
				return err
			}
			if err := c.run(c.brokers[i]); err != nil {
				return err
			}
		}
		// Whoever took the port in between gives it back.
		err := c.await(ctx)
		if err == nil || try == 3 || !errors.Is(err, errEnded) {
			return err
		}
	}
}

// Pause freezes a broker: its connections stay open and nothing answers.
func (c *Cluster) Pause(i int) error { return c.brokers[i].process.Pause() }

// Resume lets a frozen broker go on.
func (c *Cluster) Resume(i int) error { return c.brokers[i].process.Resume() }

// Log is the end of a broker's log, for a failing test's message.
func (c *Cluster) Log(i int) string { return tail(c.brokers[i].log()) }

// Close kills all brokers and removes their data.
func (c *Cluster) Close() error {
	var errs []error
	for _, b := range c.brokers {
		if b.process != nil {
			errs = append(errs, b.process.Kill())
		}
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

func tail(path string) string {
	out, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(out[max(0, len(out)-2000):])
}
