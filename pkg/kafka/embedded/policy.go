package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// maxPartitions is per topic: each partition is a log that is synced by itself,
// one after the other, by the one goroutine that does everything.
const maxPartitions = 3

// fixed are the settings of a topic that may have one value only, and why.
//
// Compaction: kfake deletes the old segments before it writes the new ones, so a
// crash in between loses the partition. Retention: kfake drops whatever lies
// before the newest record that is too old, so one record with an old timestamp
// takes all the younger ones before it along, and a partition that becomes empty
// starts again at offset 0. A topic without settings of its own counts as seven
// days as soon as any other topic has some, so they are set on every one.
func fixed() map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
}

// settings are the broker's own, which topics without explicit ones fall back to.
func (b *Broker) settings() map[string]string {
	if b.opts.off.Policy {
		return nil
	}
	return map[string]string{
		"log.retention.ms":    "-1",
		"log.retention.bytes": "-1",
		"log.segment.bytes":   strconv.Itoa(8 << 20), // what was trimmed is freed by whole segments
		// A commit that expires because dev was not started for a week would let its
		// group begin again.
		"offsets.retention.minutes": strconv.Itoa(1<<31 - 1),
	}
}

// enforce puts the rules before kfake's own handling of requests.
func (b *Broker) enforce() {
	if b.opts.off.Policy {
		return
	}
	b.guard(kmsg.CreateTopics, refuseCreate)
	b.guard(kmsg.CreatePartitions, refusePartitions)
	b.guard(kmsg.AlterConfigs, refuseAlter)
	b.guard(kmsg.IncrementalAlterConfigs, refuseIncremental)
	b.guard(kmsg.DeleteRecords, refuseDelete)
}

// guard lets refuse answer a request, or not (nil) and leave it to kfake.
func (b *Broker) guard(key kmsg.Key, refuse func(kmsg.Request) kmsg.Response) {
	b.cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		resp := refuse(req)
		return resp, nil, resp != nil
	})
}

// fault says what is wrong with a setting, or nothing.
func fault(name string, value *string) string {
	want, ok := fixed()[name]
	if !ok || value != nil && *value == want {
		return ""
	}
	return fmt.Sprintf("on the embedded broker %s is always %s: it can lose records otherwise, and trims old ones by itself", name, want)
}

// refuseCreate also completes what is not refused, so that every topic has its
// settings explicitly.
func refuseCreate(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.CreateTopicsRequest)
	why := make(map[string]string)
	for i := range req.Topics {
		t := &req.Topics[i]
		if n := max(int(t.NumPartitions), len(t.ReplicaAssignment)); n > maxPartitions {
			why[t.Topic] = tooMany(n)
		}
		missing := fixed()
		for _, c := range t.Configs {
			if text := fault(c.Name, c.Value); text != "" {
				why[t.Topic] = text
			}
			delete(missing, c.Name)
		}
		for name, value := range missing {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, new(value)
			t.Configs = append(t.Configs, c)
		}
	}
	if len(why) == 0 {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for _, t := range req.Topics {
		text, ok := why[t.Topic]
		if !ok {
			text = "not created, because another topic of this request was refused"
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, kerr.PolicyViolation.Code, &text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func tooMany(n int) string {
	return fmt.Sprintf("%d partitions: the embedded broker takes up to %d, and is fastest with one", n, maxPartitions)
}

func refusePartitions(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.CreatePartitionsRequest)
	if !slices.ContainsFunc(req.Topics, func(t kmsg.CreatePartitionsRequestTopic) bool { return t.Count > maxPartitions }) {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for _, t := range req.Topics {
		text := tooMany(int(t.Count))
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, kerr.PolicyViolation.Code, &text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// refuseAlter refuses the old request altogether: it puts back to the default
// whatever it does not name.
func refuseAlter(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.AlterConfigsRequest)
	text := "on the embedded broker only incremental changes of settings are taken: this request would unset what it does not name"
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for _, res := range req.Resources {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = res.ResourceType, res.ResourceName, kerr.PolicyViolation.Code, &text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}

func refuseIncremental(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.IncrementalAlterConfigsRequest)
	text := ""
	for _, res := range req.Resources {
		for _, c := range res.Configs {
			value := c.Value
			if c.Op != kmsg.IncrementalAlterConfigOpSet {
				value = nil // unset, or a list that is added to: neither is the fixed value
			}
			if t := fault(strings.TrimPrefix(c.Name, "log."), value); t != "" {
				text = t
			}
		}
	}
	if text == "" {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for _, res := range req.Resources {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName, rr.ErrorCode, rr.ErrorMessage = res.ResourceType, res.ResourceName, kerr.PolicyViolation.Code, &text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}

// refuseDelete leaves trimming to the janitor, which knows what must stay. Its
// own trims do not come as requests.
func refuseDelete(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, kerr.PolicyViolation.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// checkPolicy mends topics that were made without the rules.
func (b *Broker) checkPolicy(ctx context.Context, topics []topic) error {
	if b.opts.off.Policy {
		return nil
	}
	for _, t := range topics {
		var wrong []kadm.AlterConfig
		for name, want := range fixed() {
			if fault(name, t.configs[name]) != "" {
				wrong = append(wrong, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: new(want)})
			}
		}
		if len(wrong) == 0 {
			continue
		}
		b.opts.Logger.Warn("a topic had settings with which the embedded broker can lose records; they are mended", zap.String("topic", t.name))
		resp, err := kadm.NewClient(b.client).AlterTopicConfigs(ctx, wrong, t.name)
		if err == nil {
			_, err = resp.On(t.name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("mend the settings of topic %s: %w", t.name, err)
		}
	}
	return nil
}
