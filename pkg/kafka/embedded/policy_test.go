package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTopicsThatCouldLoseRecordsAreRefused(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	for name, configs := range map[string]map[string]string{
		"compacted":             {"cleanup.policy": "compact"},
		"compacted and deleted": {"cleanup.policy": "compact,delete"},
		"retention by time":     {"retention.ms": "60000"},
		"retention by size":     {"retention.bytes": "1000000"},
	} {
		t.Run(name, func(t *testing.T) {
			err := create(t, b.Addr(), "webhooks.a", configs)
			if !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(err.Error(), "on the embedded broker") {
				t.Errorf("create = %v", err)
			}
		})
	}
	if b.cluster.TopicInfo("webhooks.a") != nil {
		t.Error("the topic is there all the same")
	}
}

func TestEveryTopicHasItsRetentionExplicitly(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	if err := create(t, b.Addr(), "webhooks.a", map[string]string{"segment.bytes": "1000000"}); err != nil {
		t.Fatal(err)
	}
	got := b.cluster.TopicInfo("webhooks.a").Configs
	for name, want := range map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "segment.bytes": "1000000"} {
		if got[name] == nil || *got[name] != want {
			t.Errorf("%s = %v, want %s", name, got[name], want)
		}
	}
}

func TestManyPartitionsAreRefused(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	adm := kadm.NewClient(client(t, b.Addr()))
	if resp, err := adm.CreateTopic(t.Context(), 12, 1, nil, "webhooks.a"); !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(resp.ErrMessage, "12 partitions") {
		t.Errorf("create = %v (%s)", err, resp.ErrMessage)
	}
	if _, err := adm.CreateTopic(t.Context(), maxPartitions, 1, nil, "webhooks.b"); err != nil {
		t.Error(err)
	}
	if resp, err := adm.UpdatePartitions(t.Context(), 12, "webhooks.b"); err != nil || !errors.Is(resp["webhooks.b"].Err, kerr.PolicyViolation) {
		t.Errorf("update = %v, %v", err, resp)
	}
}

func TestSettingsThatCouldLoseRecordsCannotBeMadeLater(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(client(t, b.Addr()))
	for name, tc := range map[string]struct {
		change  kadm.AlterConfig
		refused bool
	}{
		"compaction":            {kadm.AlterConfig{Op: kadm.SetConfig, Name: "cleanup.policy", Value: new("compact")}, true},
		"compaction added":      {kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: new("compact")}, true},
		"a retention":           {kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: new("1")}, true},
		"retention unset":       {kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.bytes"}, true},
		"no retention, again":   {kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: new("-1")}, false},
		"something else, as is": {kadm.AlterConfig{Op: kadm.SetConfig, Name: "max.message.bytes", Value: new("2000000")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{tc.change}, "webhooks.a")
			if err != nil {
				t.Fatal(err)
			}
			if got := resp[0].Err; errors.Is(got, kerr.PolicyViolation) != tc.refused || got != nil && !tc.refused {
				t.Errorf("alter = %v, refused should be %v", got, tc.refused)
			}
		})
	}
	t.Run("the old request, which unsets what it leaves out", func(t *testing.T) {
		resp, err := adm.AlterTopicConfigsState(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: new("1")}}, "webhooks.a")
		if err != nil || !errors.Is(resp[0].Err, kerr.PolicyViolation) {
			t.Errorf("alter = %v, %v", err, resp)
		}
	})
	t.Run("the broker's own retention", func(t *testing.T) {
		resp, err := adm.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.ms", Value: new("1")}})
		if err != nil || !errors.Is(resp[0].Err, kerr.PolicyViolation) {
			t.Errorf("alter = %v, %v", err, resp)
		}
	})
}

func TestTopicsMadeWithoutThePolicyAreMendedAtStart(t *testing.T) {
	dir := t.TempDir()
	b := start(t, Options{Dir: dir, off: without{Policy: true}})
	if err := create(t, b.Addr(), "webhooks.a", map[string]string{"cleanup.policy": "compact", "retention.ms": "1000"}); err != nil {
		t.Fatal(err)
	}
	if err := create(t, b.Addr(), "webhooks.b", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, Options{Dir: dir})
	for _, topic := range []string{"webhooks.a", "webhooks.b"} {
		configs := b.cluster.TopicInfo(topic).Configs
		for name := range fixed() {
			if text := fault(name, configs[name]); text != "" {
				t.Errorf("%s: %s", topic, text)
			}
		}
	}
}

// TestCompactionLosesThePartitionInACrash is why no topic may be compacted: it
// kills the broker between the removal of the old segments and the new ones.
func TestCompactionLosesThePartitionInACrash(t *testing.T) {
	const records = 20_000
	o := childOptions{Off: without{Policy: true, Checkpoint: true}}
	for range 10 {
		o.Dir = t.TempDir()
		c := startChild(t, o)
		if err := create(t, c.addr, "state", map[string]string{"cleanup.policy": "compact"}); err != nil {
			t.Fatal(err)
		}
		cl := client(t, c.addr, kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
		value := make([]byte, 1024)
		for i := range records {
			cl.Produce(t.Context(), &kgo.Record{Topic: "state", Key: strconv.AppendInt(nil, int64(i), 10), Value: value}, nil)
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		whole := func() bool {
			info, err := os.Stat(filepath.Join(o.Dir, "partitions", "state-0", "0.dat"))
			return err == nil && info.Size() > records*1024
		}
		c.compact()
		for deadline := time.After(10 * time.Second); whole(); {
			select {
			case <-time.After(100 * time.Microsecond):
				continue
			case <-deadline:
				t.Fatal("nothing was compacted")
			}
		}
		c.kill()
		c = startChild(t, o)
		_, end := extent(t, c.addr, "state")
		c.kill()
		if end < records {
			t.Logf("of %d acknowledged records %d are left", records, end)
			return
		}
	}
	t.Error("nothing was lost in ten crashes: the policy guards against nothing")
}

func TestRetentionTakesYoungRecordsAlongWithAnOldOne(t *testing.T) {
	for name, tc := range map[string]struct {
		off     without
		configs map[string]string
		want    int64 // first record left
	}{
		"without the policy it does":                        {without{Policy: true}, map[string]string{"retention.ms": "60000"}, 21},
		"and a topic without settings counts as seven days": {without{Policy: true}, nil, 21},
		"with it nothing goes":                              {without{}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, Options{Dir: t.TempDir(), off: tc.off})
			if err := create(t, b.Addr(), "webhooks.a", tc.configs); err != nil {
				t.Fatal(err)
			}
			produce(t, b.Addr(), "webhooks.a", 0, 20)
			produce(t, b.Addr(), "webhooks.a", 20, 1, aged(8*24*time.Hour))
			produce(t, b.Addr(), "webhooks.a", 21, 1)
			b.cluster.ApplyRetention()
			if first, _ := extent(t, b.Addr(), "webhooks.a"); first != tc.want {
				t.Errorf("the first record left is %d, want %d", first, tc.want)
			}
		})
	}
}

func TestOnlyTheJanitorTrims(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	if err := create(t, b.Addr(), "webhooks.a", nil); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), "webhooks.a", 0, 10)
	to := make(kadm.Offsets)
	to.AddOffset("webhooks.a", 0, 10, -1)
	resp, err := kadm.NewClient(client(t, b.Addr())).DeleteRecords(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := resp.Lookup("webhooks.a", 0); !errors.Is(r.Err, kerr.PolicyViolation) {
		t.Errorf("delete = %v, want a policy violation", r.Err)
	}
	if first, _ := extent(t, b.Addr(), "webhooks.a"); first != 0 {
		t.Errorf("the first record left is %d", first)
	}
}

// TestMixedRequestIsAnsweredForEachTopic sends one good and one bad topic.
func TestMixedRequestIsAnsweredForEachTopic(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	req := kmsg.NewPtrCreateTopicsRequest()
	for name, policy := range map[string]string{"good": "delete", "bad": "compact"} {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 1, 1
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "cleanup.policy", new(policy)
		rt.Configs = append(rt.Configs, c)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(t.Context(), client(t, b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Topics) != 2 {
		t.Errorf("%d answers for 2 topics", len(resp.Topics))
	}
	for _, rt := range resp.Topics {
		if rt.ErrorCode != kerr.PolicyViolation.Code || rt.ErrorMessage == nil {
			t.Errorf("%s: code %d", rt.Topic, rt.ErrorCode)
		}
	}
}
