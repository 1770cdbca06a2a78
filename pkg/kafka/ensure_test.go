package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/pkg/kafka"
)

func fake(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, kafka.Options) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, kafka.Options{Brokers: c.ListenAddrs(), Extra: []kgo.Opt{kgo.DisableClientMetrics()}}
}

func open(t *testing.T, opts []kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestEnsureCreatesWhatIsMissingAndNothingElse(t *testing.T) {
	c, o := fake(t, kfake.SeedTopics(7, "webhooks.b"))
	cl := open(t, o.Base("test"))
	plan := kafka.Plan(kafka.PlanOptions{Brokers: 1, Sources: []kafka.SourceTopic{{Name: "webhooks.a"}, {Name: "webhooks.b"}}})
	created, err := kafka.Ensure(t.Context(), cl, plan)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"webhooks.a", "causeway.catalog", "causeway.dlq", "causeway.attempts", "causeway.audit"}; !slices.Equal(created, want) {
		t.Errorf("created %v, want %v", created, want)
	}
	if got := len(c.PartitionInfos("webhooks.b")); got != 7 {
		t.Errorf("webhooks.b has %d partitions now", got)
	}
	if got := c.TopicInfo("causeway.dlq").Configs["retention.ms"]; got == nil || *got != "2592000000" {
		t.Errorf("the DLQ's retention is %v", got)
	}
	if created, err = kafka.Ensure(t.Context(), cl, plan); err != nil || len(created) != 0 {
		t.Errorf("the second time: created %v, %v", created, err)
	}
}

func TestEnsureByManyAtOnce(t *testing.T) {
	_, o := fake(t)
	plan := kafka.Plan(kafka.PlanOptions{Brokers: 1, Tiers: []string{"1s", "5s"}})
	var (
		mu    sync.Mutex
		total []string
		wg    sync.WaitGroup
	)
	for range 4 {
		cl := open(t, o.Base("test"))
		wg.Go(func() {
			created, err := kafka.Ensure(t.Context(), cl, plan)
			mu.Lock()
			defer mu.Unlock()
			if total = append(total, created...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(total) != len(plan) {
		t.Errorf("created %v, want each topic of the plan once", total)
	}
}

func TestEnsureNamesTheTopicThatCannotBeMade(t *testing.T) {
	_, o := fake(t)
	plan := []kafka.Topic{{Name: "fits", Partitions: 1, Replication: 1}, {Name: "webhooks.a", Partitions: 1, Replication: 3}}
	created, err := kafka.Ensure(t.Context(), open(t, o.Base("test")), plan)
	if !errors.Is(err, kerr.InvalidReplicationFactor) || !strings.Contains(err.Error(), "create topic webhooks.a with 1 partitions and replication factor 3") {
		t.Errorf("Ensure = %v", err)
	}
	if !slices.Equal(created, []string{"fits"}) {
		t.Errorf("created %v", created)
	}
}

func TestEnsureWaitsForLeaders(t *testing.T) {
	c, o := fake(t, kfake.SeedTopics(1, "webhooks.a"))
	cl := open(t, o.Base("test"))
	asked := 0
	c.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		if asked++; len(req.Topics) == 0 || asked > 4 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic, rt.ErrorCode = new("webhooks.a"), kerr.LeaderNotAvailable.Code
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	plan := []kafka.Topic{{Name: "webhooks.a", Partitions: 1, Replication: 1}}
	if created, err := kafka.Ensure(t.Context(), cl, plan); err != nil || len(created) != 0 {
		t.Errorf("created %v, %v", created, err)
	}
	if asked <= 4 {
		t.Errorf("asked %d times", asked)
	}
	asked = -1000
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := kafka.Ensure(ctx, cl, plan); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ensure = %v", err)
	}
}
