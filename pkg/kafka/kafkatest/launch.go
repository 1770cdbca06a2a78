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
	"slices"
	"strconv"
	"strings"
)

// quick is for JVMs that live for minutes on two cores: what starts fast and
// stays small beats what would be fast later.
func quick() []string {
	return []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
}

func launch(ctx context.Context, brokers int, jit []string, secured *Secured) (*Cluster, error) {
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
		c := &Cluster{java: java, lib: lib, jit: jit, secured: secured}
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
	more := 0
	if c.secured != nil {
		more = 5
	}
	ports, err := freePorts(2*n + more)
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
	for _, b := range c.brokers {
		if err := os.MkdirAll(b.dir, 0o755); err != nil {
			return fmt.Errorf("make a broker's folder: %w", err)
		}
		if c.secured != nil {
			if err := c.secured.listen(b, ports[2*n:]); err != nil {
				return err
			}
		}
		if err := b.configure(voters); err != nil {
			return err
		}
	}
	if err := c.format(ctx); err != nil {
		return err
	}
	for _, b := range c.brokers {
		if err := c.run(b); err != nil {
			return err
		}
	}
	return c.await(ctx)
}

// configure writes a broker's files.
func (b *broker) configure(voters []string) error {
	for path, text := range map[string]string{b.settings(): b.properties(voters), b.logging(): log4j} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a broker's settings: %w", err)
		}
	}
	return nil
}

// format prepares the data folders. Kafka's tool does the first; the others are
// copies under ids of their own, since it takes seconds each time.
func (c *Cluster) format(ctx context.Context) error {
	first, cluster := c.brokers[0], newID()
	args := []string{"kafka.tools.StorageTool", "format", "-t", cluster, "-c", first.settings()}
	if c.secured != nil {
		args = append(args, c.secured.users()...)
	}
	tool := exec.CommandContext(ctx, c.java, c.jvm(first, quick(), args...)...)
	if out, err := tool.CombinedOutput(); err != nil {
		return fmt.Errorf("format a broker's folder: %w: %s", err, lastLine(out))
	}
	for _, b := range c.brokers[1:] {
		if err := os.CopyFS(b.data(), os.DirFS(first.data())); err != nil {
			return fmt.Errorf("copy a broker's folder: %w", err)
		}
		meta := fmt.Sprintf("version=1\nnode.id=%d\ndirectory.id=%s\ncluster.id=%s\n", b.id, newID(), cluster)
		if err := os.WriteFile(filepath.Join(b.data(), "meta.properties"), []byte(meta), 0o644); err != nil {
			return fmt.Errorf("write a broker's identity: %w", err)
		}
	}
	return nil
}

// newID is a random id as Kafka writes them: never with a dash in front, which its
// tools take for an option.
func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f // so that it begins with a letter from A to f
	return base64.RawURLEncoding.EncodeToString(id)
}

func (c *Cluster) run(b *broker) (err error) {
	b.process, err = Spawn(b.log(), nil, c.java, c.jvm(b, c.jit, "kafka.Kafka", b.settings())...)
	return err
}

func (b *broker) settings() string { return filepath.Join(b.dir, "server.properties") }
func (b *broker) logging() string  { return filepath.Join(b.dir, "log4j2.properties") }
func (b *broker) log() string      { return filepath.Join(b.dir, "broker.log") }
func (b *broker) data() string     { return filepath.Join(b.dir, "data") }

// jvm is how a class of Kafka's is run for a broker.
func (c *Cluster) jvm(b *broker, jit []string, class ...string) []string {
	return slices.Concat(jit, []string{"-Dlog4j2.configurationFile=" + b.logging(), "-cp", filepath.Join(c.lib, "*")}, class)
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

// FreePort is a port that nobody listens on, for a process that is to come back to it.
func FreePort() (int, error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
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
