package catalog_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

// With this in its environment the test's own binary is a writer: it counts in one
// entry until it is killed, and says each number that was acknowledged.
const writerVariable = "CATALOG_TEST_WRITER"

func TestMain(m *testing.M) {
	if text := os.Getenv(writerVariable); text != "" {
		write(strings.Split(text, " "))
		return
	}
	kafkatest.Main(m)
}

func topicOf(options kafka.Options) *catalog.Topic {
	return catalog.NewTopic(catalog.TopicOptions{
		Topic: options.Prefix + "catalog", Transaction: options.Prefix + "catalog", Audit: options.Prefix + "audit", Client: options.Base,
	})
}

func write(args []string) {
	options := kafka.Options{Brokers: strings.Split(args[0], ","), Prefix: args[1]}
	uid := args[2]
	topic := topicOf(options)
	go func() {
		if err := topic.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		var wrote int
		state, err := topic.Update(ctx, func(now *catalog.State) (catalog.Changes, error) {
			// Two entries in one change: they must never differ.
			var puts []*catalog.Entry
			for _, half := range []string{uid, uid + "-twin"} {
				e := now.Entry(catalog.KindSource, half).Copy()
				n, err := strconv.Atoi(string(e.Spec))
				if err != nil {
					return catalog.Changes{}, err
				}
				wrote = n + 1
				e.Spec = []byte(strconv.Itoa(wrote))
				puts = append(puts, e)
			}
			return catalog.Changes{
				Put:   puts,
				Audit: []catalog.AuditRecord{{At: time.Now(), Who: args[3], Action: "source.update", Name: strconv.Itoa(wrote)}},
			}, nil
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		fmt.Println(wrote, state.Version)
	}
}

// Three processes write at once, are killed and frozen at random: no acknowledged
// change is lost, none is made twice, none is half applied, versions rise, and each has
// its one record in the audit topic.
func TestWritersThatDieOnRealKafka(t *testing.T) {
	cluster := kafkatest.Real(t, 1)
	options := cluster.Options()
	options.Prefix = kafkatest.Prefix(t)
	admin, err := kgo.NewClient(options.Base("admin")...)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := kadm.NewClient(admin).CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": new("compact")}, options.Prefix+"catalog"); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(admin).CreateTopic(t.Context(), 3, 1, nil, options.Prefix+"audit"); err != nil {
		t.Fatal(err)
	}
	reader := topicOf(options)
	run(t, reader)
	a, b := entry(catalog.KindSource, "", "counter"), entry(catalog.KindSource, "", "twin")
	b.UID = a.UID + "-twin"
	a.Spec, b.Spec = []byte("0"), []byte("0")
	put(t, reader, a, b)

	var mu sync.Mutex
	acknowledged := map[int]int{} // how often each number was
	highest := 0
	ledger := func(line string) {
		var n int
		var version int64
		if _, err := fmt.Sscan(line, &n, &version); err != nil {
			return // cut off by the kill
		}
		mu.Lock()
		defer mu.Unlock()
		acknowledged[n]++
		highest = max(highest, n)
	}
	started := 0
	writer := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run", "^$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s k%d", writerVariable, strings.Join(options.Brokers, ","), options.Prefix, a.UID, started))
		started++
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				ledger(lines.Text())
			}
		}()
		return cmd
	}
	writers := []*exec.Cmd{writer(), writer(), writer()}
	stop := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		for _, cmd := range writers {
			stop(cmd)
		}
	})

	// The reader looks at every state that there is.
	watching, unwatch := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		last := int64(-1)
		for {
			state, moved := reader.Next()
			one, two := string(state.Entry(a.Kind, a.UID).Spec), string(state.Entry(b.Kind, b.UID).Spec)
			if one != two {
				t.Errorf("version %d is half of a change: %s and %s", state.Version, one, two)
			}
			if state.Version < last {
				t.Errorf("version %d after %d", state.Version, last)
			}
			last = state.Version
			select {
			case <-moved:
			case <-watching.Done():
				return
			}
		}
	})
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		time.Sleep(time.Duration(300+rand.IntN(900)) * time.Millisecond)
		i := rand.IntN(len(writers))
		if rand.IntN(2) == 0 {
			stop(writers[i])
			writers[i] = writer()
			continue
		}
		// Frozen in the middle of whatever it does, while others write on.
		if err := writers[i].Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(500+rand.IntN(1500)) * time.Millisecond)
		if err := writers[i].Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second)
	for _, cmd := range writers {
		stop(cmd)
	}
	writers = nil
	last := now(t, reader)
	unwatch()
	watch.Wait()
	mu.Lock()
	defer mu.Unlock()
	total := counted(t, last, a.UID)
	if total < highest {
		t.Errorf("%d was acknowledged and the counter stands at %d", highest, total)
	}
	for n, times := range acknowledged {
		if times > 1 {
			t.Errorf("%d was acknowledged %d times: two changes were made of the same state", n, times)
		}
	}
	// Those that are not in the ledger were written by somebody who died before saying so.
	if unsaid := total - len(acknowledged); unsaid < 0 || unsaid > rounds+3 {
		t.Errorf("%d changes, %d acknowledged, %d kills at most", total, len(acknowledged), rounds+3)
	}
	audited := committed(t, options, options.Prefix+"audit")
	for n := 1; n <= total; n++ {
		if audited[strconv.Itoa(n)] != 1 {
			t.Errorf("change %d has %d records in the audit topic", n, audited[strconv.Itoa(n)])
		}
	}
	if len(audited) != total {
		t.Errorf("%d changes are in the audit topic, and %d were made", len(audited), total)
	}
	t.Logf("%d changes, %d acknowledged", total, len(acknowledged))
	if len(acknowledged) < 10 {
		t.Errorf("only %d changes: the test shows little", len(acknowledged))
	}
}

// committed counts the audit records of a topic by the names in them.
func committed(t *testing.T, options kafka.Options, topic string) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(append(options.Base("auditor"),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())...) // an end that is a marker is seen to be reached
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	open := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := map[string]int{}
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("not read to the ends: %v", open)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
			if r.Attrs.IsControl() {
				return
			}
			var a catalog.AuditRecord
			if err := json.Unmarshal(r.Value, &a); err != nil {
				t.Error(err)
			}
			found[a.Name]++
		})
	}
	return found
}
