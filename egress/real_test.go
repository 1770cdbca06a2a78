package egress

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
	"causeway/pkg/outbound"
	"causeway/schemas"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// await waits until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// What a bubble cannot prove: generations, commits by topic id with metadata, and
// offsets of windows on a real Kafka, while members come and go and a broker dies.
func TestMembersComeAndGoAndABrokerDiesOnRealKafka(t *testing.T) {
	cluster := kafkatest.Real(t, 3)
	ko := cluster.Options()
	ko.Prefix = kafkatest.Prefix(t)
	topic := ko.Prefix + "webhooks.load"
	client, err := kgo.NewClient(ko.SettleProducer()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	plan := kafka.Plan(kafka.PlanOptions{Prefix: ko.Prefix, Brokers: 3, Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: topic, Partitions: 6}}})
	if _, err := kafka.Ensure(t.Context(), client, plan); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(client)

	var mu sync.Mutex
	good, bad := map[string]int{}, map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Webhook-Id")
		if last := id[len(id)-1]; last == '5' && bad[id] == 0 {
			bad[id]++
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		good[id]++
	}))
	defer srv.Close()
	arrived := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(good)
	}
	copies := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, times := range good {
			n += times - 1
		}
		return n
	}
	sub := subscription(t, "a")
	sub.Topics = []string{topic}
	redirect(t, sub, srv.URL)
	snapshot := catalog.NewSnapshot(0, []*catalog.Source{{Name: "shop", Topic: topic}}, []*catalog.Subscription{sub})
	start := func() (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		o := Options{Kafka: ko, Catalog: func() *catalog.Snapshot { return snapshot }, Client: outbound.New(outbound.Options{AllowLoopback: true, AllowHTTP: true})}
		done := make(chan error, 1)
		go func() { done <- New(o).Run(ctx) }()
		return sync.OnceValue(func() error {
			cancel()
			err := <-done
			o.Client.CloseIdle()
			return err
		})
	}
	members := func(n int) func() bool {
		return func() bool {
			groups, err := admin.DescribeGroups(t.Context(), ko.Prefix+"egress", ko.Prefix+"delay")
			if err != nil {
				return false
			}
			for _, g := range groups {
				if g.State != "Stable" || len(g.Members) != n {
					return false
				}
			}
			return true
		}
	}
	progress := func(n int) func() bool {
		from := arrived()
		return func() bool { return arrived() >= from+n }
	}

	loading, stopLoad := context.WithCancel(t.Context())
	var acked []string
	var load, produced sync.WaitGroup
	load.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; loading.Err() == nil; i++ {
			e := schemas.Event{ID: fmt.Sprintf("evt-%d", i), Source: "shop", Received: time.Now(), Body: []byte("x")}
			r, err := e.Record(topic, schemas.Raw)
			if err != nil {
				t.Error(err)
				return
			}
			produced.Add(1)
			client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
				defer produced.Done()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				acked = append(acked, e.ID)
			})
			<-tick.C
		}
	})
	watching, stopWatch := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { watchReal(watching, t, admin, ko.Prefix+"egress", ko.Prefix+"delay") })

	var stops []func() error
	for n := range 3 {
		stops = append(stops, start())
		defer func() { _ = stops[n]() }()
		await(t, fmt.Sprintf("%d members", n+1), members(n+1))
		await(t, "deliveries", progress(100))
	}
	for n, stop := range stops[:2] {
		if err := stop(); err != nil {
			t.Error(err)
		}
		await(t, fmt.Sprintf("%d members", 2-n), members(2-n))
		await(t, "deliveries", progress(100))
	}
	if n := copies(); n > 0 {
		t.Errorf("%d copies came without any fault", n)
	}

	if err := cluster.Kill(2); err != nil {
		t.Fatal(err)
	}
	await(t, "deliveries without a broker", progress(500))
	if err := cluster.Restart(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	stopLoad()
	load.Wait()
	produced.Wait()
	await(t, "everything that was acknowledged", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range acked {
			if good[id] == 0 {
				return false
			}
		}
		return true
	})
	if err := stops[2](); err != nil {
		t.Error(err)
	}
	stopWatch()
	watch.Wait()
	t.Logf("%d events, %d copies after a broker died", len(acked), copies())
	lags, err := admin.Lag(t.Context(), ko.Prefix+"egress", ko.Prefix+"delay")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lags.Sorted() {
		if left := l.Lag.Total(); left != 0 {
			t.Errorf("group %s has not committed %d records", l.Group, left)
		}
	}
}

// watchReal looks at the commits until ctx ends; none may go back.
func watchReal(ctx context.Context, t *testing.T, admin *kadm.Client, groups ...string) {
	t.Helper()
	highest := map[string]int64{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, group := range groups {
			offsets, err := admin.FetchOffsets(ctx, group)
			if err != nil {
				continue
			}
			offsets.Each(func(o kadm.OffsetResponse) {
				key := fmt.Sprintf("%s %s/%d", group, o.Topic, o.Partition)
				if o.At < highest[key] {
					t.Errorf("the commit of %s went back from %d to %d", key, highest[key], o.At)
				}
				highest[key] = o.At
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
