package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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
	brokers []*broker
}

// broker is one member. Its ports stay its own over a restart.
type broker struct {
	id               int
	port, controller int
	dir              string
	process          *process
}

// Start starts a cluster with that many brokers and returns when all of them
// are in it. Close ends it. Tests share one by Real; this is for programs that
// measure.
func Start(ctx context.Context, brokers int) (*Cluster, error) {
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx)
	if err != nil {
		return nil, err
	}
	// A port that was free a moment ago can be taken when the broker wants it:
	// then everything starts anew with others.
	for try := 1; ; try++ {
		c := &Cluster{java: java, lib: lib}
		err := c.start(ctx, brokers)
		if err == nil {
			return c, nil
		}
		err = errors.Join(err, c.Close())
		if try == 3 || !errors.Is(err, errEnded) {
			return nil, err
		}
	}
}

func (c *Cluster) start(ctx context.Context, n int) (err error) {
	if c.dir, err = scratch(); err != nil {
		return err
	}
	ports, err := freePorts(2 * n)
	if err != nil {
		return err
	}
	var voters []string
	for i := range n {
		b := &broker{id: i + 1, port: ports[2*i], controller: ports[2*i+1], dir: filepath.Join(c.dir, strconv.Itoa(i+1))}
		c.brokers = append(c.brokers, b)
		c.Seeds = append(c.Seeds, fmt.Sprintf("127.0.0.1:%d", b.port))
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", b.id, b.controller))
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	cluster := base64.RawURLEncoding.EncodeToString(id)
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i, b := range c.brokers {
		wg.Go(func() { errs[i] = c.launch(ctx, b, cluster, voters) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.await(ctx)
}

// launch writes a broker's files and starts it for the first time.
func (c *Cluster) launch(ctx context.Context, b *broker, cluster string, voters []string) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("make a broker's folder: %w", err)
	}
	for name, text := range map[string]string{
		"server.properties": b.properties(voters),
		"log4j2.properties": log4j,
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a broker's %s: %w", name, err)
		}
	}
	format := exec.CommandContext(ctx, c.java, c.jvm(b, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", filepath.Join(b.dir, "server.properties"))...)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format broker %d's folder: %w: %s", b.id, err, lastLine(out))
	}
	return c.run(b)
}

func (c *Cluster) run(b *broker) (err error) {
	b.process, err = spawn(b.log(), c.java, c.jvm(b, "kafka.Kafka", filepath.Join(b.dir, "server.properties"))...)
	return err
}

func (b *broker) log() string { return filepath.Join(b.dir, "broker.log") }

func (c *Cluster) jvm(b *broker, args ...string) []string {
	flags := []string{"-Xmx512m"}
	if len(c.brokers) > 1 || args[0] != "kafka.Kafka" {
		// Three on two cores, and whatever runs for a second: what starts fast and
		// stays small beats what would be fast after a minute.
		flags = []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	flags = append(flags, "-Dlog4j2.configurationFile="+filepath.Join(b.dir, "log4j2.properties"), "-cp", filepath.Join(c.lib, "*"))
	return append(flags, args...)
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

// members asks one broker how many it knows. It asks each time: kadm would answer
// from what the client learned before the others were there.
func members(ctx context.Context, cl *kgo.Client) (int, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	return len(resp.Brokers), nil
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
func (c *Cluster) Kill(i int) error { return c.brokers[i].process.kill() }

// Restart starts a broker that was killed and returns when all are in the cluster.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	b := c.brokers[i]
	for try := 1; ; try++ {
		if err := c.run(b); err != nil {
			return err
		}
		// Whoever took the port in between gives it back.
		err := c.await(ctx)
		if err == nil || try == 3 || !errors.Is(err, errEnded) {
			return err
		}
	}
}

// Pause freezes a broker: its connections stay open and nothing answers.
func (c *Cluster) Pause(i int) error { return c.brokers[i].process.signal(stopSignal) }

// Resume lets a frozen broker go on.
func (c *Cluster) Resume(i int) error { return c.brokers[i].process.signal(continueSignal) }

// Log is the end of a broker's log, for a failing test's message.
func (c *Cluster) Log(i int) string { return tail(c.brokers[i].log()) }

// Close kills all brokers and removes their data.
func (c *Cluster) Close() error {
	var errs []error
	for _, b := range c.brokers {
		if b.process != nil {
			errs = append(errs, b.process.kill())
		}
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// scratch makes a folder for a cluster, and removes those of test processes
// that were killed before they could.
func scratch() (string, error) {
	const prefix = "causeway-kafka-"
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range old {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && !alive(n) {
			_ = os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-*", prefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make a folder for the cluster: %w", err)
	}
	return dir, nil
}

// freePorts finds ports below those that the system hands out by itself, so
// that no outgoing connection sits on one when a broker comes back to it.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 12000 + mathrand.IntN(18000)
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer ln.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports: found %d", n, len(ports))
}

func tail(path string) string {
	out, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(out[max(0, len(out)-2000):])
}
