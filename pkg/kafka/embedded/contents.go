package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is a topic as the broker holds it now.
type topic struct {
	name       string
	id         uuid.UUID
	configs    map[string]*string
	partitions []*kfake.PartitionInfo
}

// topics asks for everything there is, by name.
func (b *Broker) topics(ctx context.Context) ([]topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return nil, fmt.Errorf("list the embedded broker's topics: %w", err)
	}
	var topics []topic
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		// Deleted in between: then there is nothing to look after.
		if info := b.cluster.TopicInfo(*t.Topic); info != nil {
			topics = append(topics, topic{
				name:       info.Topic,
				id:         info.TopicID,
				configs:    info.Configs,
				partitions: b.cluster.PartitionInfos(info.Topic),
			})
		}
	}
	slices.SortFunc(topics, func(a, b topic) int { return strings.Compare(a.name, b.name) })
	return topics, nil
}

// groups asks for all groups with what they have committed.
func (b *Broker) groups(ctx context.Context) ([]*kfake.GroupInfo, error) {
	resp, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, b.client)
	if err != nil {
		return nil, fmt.Errorf("list the embedded broker's groups: %w", err)
	}
	var groups []*kfake.GroupInfo
	for _, g := range resp.Groups {
		if info := b.cluster.GroupInfo(g.Group); info != nil {
			groups = append(groups, info)
		}
	}
	slices.SortFunc(groups, func(a, b *kfake.GroupInfo) int { return strings.Compare(a.Group, b.Group) })
	return groups, nil
}
