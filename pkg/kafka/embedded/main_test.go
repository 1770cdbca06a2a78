package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"
)

// childEnv makes this test binary a broker, so that it can be killed.
const childEnv = "CAUSEWAY_EMBEDDED_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := beBroker(text); err != nil {
			fmt.Println("refused", strconv.Quote(err.Error()))
			os.Exit(1)
		}
		os.Exit(0)
	}
	m.Run()
}

// childOptions is what a child is told. Its input is its leash: it ends with it.
type childOptions struct {
	Dir string
	Off without
}

func beBroker(text string) error {
	var o childOptions
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	b, err := Start(context.Background(), Options{Dir: o.Dir, Listen: "127.0.0.1:0", off: o.Off})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	fmt.Println("ready", b.Addr())
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		if s.Text() == "compact" {
			b.cluster.Compact()
		}
		// limit N: no file may grow beyond N bytes, as if the disk were full.
		if n, ok := strings.CutPrefix(s.Text(), "limit "); ok {
			bytes, err := strconv.ParseUint(n, 10, 64)
			if err == nil {
				err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY})
			}
			fmt.Println("limited", err)
		}
	}
	cancel()
	return errors.Join(<-done, b.Close())
}

// child is a broker in a process of its own.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	addr string
}

func startChild(t *testing.T, o childOptions) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	c.out = bufio.NewScanner(out)
	c.addr = c.answer("ready ")
	return c
}

// answer reads the child's next line.
func (c *child) answer(prefix string) string {
	c.t.Helper()
	c.out.Scan()
	rest, ok := strings.CutPrefix(c.out.Text(), prefix)
	if !ok {
		c.t.Fatalf("the broker says %q", c.out.Text())
	}
	return rest
}

// kill is kill -9.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// compact lets the child compact what may be compacted, and does not wait.
func (c *child) compact() {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, "compact"); err != nil {
		c.t.Fatal(err)
	}
}

// fill lets no file of the child grow beyond so many bytes.
func (c *child) fill(bytes int64) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.in, "limit %d\n", bytes); err != nil {
		c.t.Fatal(err)
	}
	if got := c.answer("limited "); got != "<nil>" {
		c.t.Fatal(got)
	}
}

// start starts a broker in this process, on a free port.
func start(t *testing.T, o Options) *Broker {
	t.Helper()
	b, err := tryStart(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tryStart(t *testing.T, o Options) (*Broker, error) {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	if o.space == nil {
		// The machine's own disk is not what is tested here.
		o.space = func(string) (space, error) { return space{free: 50 << 30, size: 100 << 30}, nil }
	}
	b, err := Start(t.Context(), o)
	if b != nil {
		t.Cleanup(func() { _ = b.Close() })
	}
	return b, err
}

// client is an outsider's client.
func client(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryTimeout(10 * time.Second),
		kgo.DisableClientMetrics(), kgo.ProducerLinger(0),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func create(t *testing.T, addr, topic string, configs map[string]string) error {
	t.Helper()
	values := make(map[string]*string)
	for k, v := range configs {
		values[k] = &v
	}
	resp, err := kadm.NewClient(client(t, addr)).CreateTopic(t.Context(), 1, 1, values, topic)
	if resp.ErrMessage != "" {
		err = fmt.Errorf("%w: %s", err, resp.ErrMessage)
	}
	return err
}

// produce writes n records, each a batch of its own, numbered from from.
func produce(t *testing.T, addr, topic string, from, n int, change ...func(*kgo.Record)) {
	t.Helper()
	cl := client(t, addr)
	for i := range n {
		r := &kgo.Record{Topic: topic, Value: strconv.AppendInt(nil, int64(from+i), 10)}
		for _, f := range change {
			f(r)
		}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatalf("produce record %d: %v", from+i, err)
		}
	}
}

func aged(d time.Duration) func(*kgo.Record) {
	return func(r *kgo.Record) { r.Timestamp = time.Now().Add(-d) }
}

func commit(t *testing.T, addr, group, topic string, offset int64) {
	t.Helper()
	o := make(kadm.Offsets)
	o.AddOffset(topic, 0, offset, -1)
	resp, err := kadm.NewClient(client(t, addr)).CommitOffsets(t.Context(), group, o)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatalf("commit %d: %v", offset, err)
	}
}

// committed is -1 without a commit.
func committed(t *testing.T, addr, group, topic string) int64 {
	t.Helper()
	resp, err := kadm.NewClient(client(t, addr)).FetchOffsets(t.Context(), group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatal(err)
	}
	if o, ok := resp.Lookup(topic, 0); ok {
		return o.At
	}
	return -1
}

// extent is the first offset of partition 0, and the one after the last.
func extent(t *testing.T, addr, topic string) (first, end int64) {
	t.Helper()
	adm := kadm.NewClient(client(t, addr))
	firsts, err := adm.ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := firsts.Lookup(topic, 0)
	e, _ := ends.Lookup(topic, 0)
	return f.Offset, e.Offset
}

// read is what a group gets that consumes the topic to its end.
func read(t *testing.T, addr, group, topic string) (values []int) {
	t.Helper()
	_, end := extent(t, addr, topic)
	cl := client(t, addr, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for at := committed(t, addr, group, topic); at < end; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("read %s as %s at %d of %d: %v", topic, group, at, end, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			n, err := strconv.Atoi(string(r.Value))
			if err != nil {
				t.Fatal(err)
			}
			values, at = append(values, n), r.Offset+1
		})
	}
	return values
}
