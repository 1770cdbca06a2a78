package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/cursor"
)

// A topic is drained when egress has committed all of it by a catalog that knows what
// there was to deliver; one that is not there is, too.
func TestWhatIsDrained(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "all", "behind", "by-less", "never", "by-another", "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	commits := kadm.Offsets{}
	for topic, commit := range map[string]struct{ offset, version int64 }{
		"all": {3, 10}, "behind": {3, 9}, "by-less": {2, 10}, "never": {-1, 0}, "by-another": {3, -1},
	} {
		for id := range int32(2) {
			for range 3 {
				if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: id, Value: []byte("x")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			offset := kadm.Offset{Topic: topic, Partition: id, At: commit.offset, LeaderEpoch: -1, Metadata: cursor.Metadata{Catalog: commit.version}.String()}
			if commit.version < 0 {
				offset.Metadata = "somebody's"
			}
			if commit.offset >= 0 && (id == 0 || topic != "by-less") {
				commits.Add(offset)
			}
		}
	}
	if err := kadm.NewClient(client).CommitAllOffsets(ctx, "causeway.egress", commits); err != nil {
		t.Fatal(err)
	}
	look := topicLook{newTopics: newTopics{client: client, plan: prepareOptions{config: kafkaConfig{Prefix: "causeway."}}}}
	wanted := map[string]int64{"all": 10, "behind": 10, "by-less": 10, "never": 10, "by-another": 10, "empty": 10, "missing": 10}
	drained, err := look.drained(ctx, wanted)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(drained, func(_ string, is bool) bool { return !is })
	if got := slices.Sorted(maps.Keys(drained)); !slices.Equal(got, []string{"all", "empty", "missing"}) {
		t.Errorf("drained are %q", got)
	}
	committed, err := look.committed(ctx, []string{"all", "never", "by-less"})
	if err != nil || !slices.Equal(committed["all"], []int64{3, 3}) || committed["never"] != nil || !slices.Equal(committed["by-less"], []int64{2}) {
		t.Errorf("committed are %v, %v", committed, err)
	}
}

// A topic is listed once, whatever else it is too.
func TestTopicsAreListedOnce(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "webhooks.gone", "webhooks.both", "webhooks.back"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	snapshot := catalog.NewSnapshot(1, []*catalog.Source{{Name: "back", Topic: "webhooks.back"}}, nil).
		WithForeign([]*catalog.Foreign{{Topic: "orders"}, {Topic: "webhooks.both"}})
	snapshot.Orphans = []catalog.Orphan{{Topic: "webhooks.gone"}, {Topic: "webhooks.both"}, {Topic: "webhooks.back"}}
	current := func() *catalog.Snapshot { return snapshot }
	look := topicLook{newTopics{client: client, plan: prepareOptions{config: kafkaConfig{Prefix: "causeway."}, current: current}}, current}
	list, err := look.list(ctx)
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(t admin.Topic) bool { return strings.HasPrefix(t.Name, "causeway.") })
	var got []string
	for _, topic := range list {
		got = append(got, topic.Name+" "+topic.Kind)
	}
	slices.Sort(got)
	if want := []string{"orders foreign", "webhooks.back events", "webhooks.both foreign", "webhooks.gone orphan"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
