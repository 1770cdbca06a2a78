package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Need is what ACLs have to allow on a topic, or on a group.
type Need struct {
	Topic, Group string
	Operation    kmsg.ACLOperation
	Who          string // needs it
}

// String is the need in the words of ACLs.
func (n Need) String() string {
	if n.Group != "" {
		return fmt.Sprintf("%s on group %s (%s)", n.Operation, n.Group, n.Who)
	}
	return fmt.Sprintf("%s on topic %s (%s)", n.Operation, n.Topic, n.Who)
}

// Access asks which of the needs the client's user is denied. Brokers that do not
// tell deny nothing, nor do topics and groups that are not there.
func Access(ctx context.Context, cl *kgo.Client, needs []Need) (denied []Need, err error) {
	topics, err := topicRights(ctx, cl, needs)
	if err != nil {
		return nil, err
	}
	groups := groupRights(ctx, cl, needs)
	for _, n := range needs {
		rights, known := topics[n.Topic]
		if n.Group != "" {
			rights, known = groups[n.Group]
		}
		if known && rights&(1<<n.Operation) == 0 {
			denied = append(denied, n)
		}
	}
	return denied, nil
}

// unknownRights is what brokers say that do not tell.
const unknownRights = -1 << 31

func topicRights(ctx context.Context, cl *kgo.Client, needs []Need) (map[string]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics, req.IncludeTopicAuthorizedOperations = []kmsg.MetadataRequestTopic{}, true
	var asked []string
	for _, n := range needs {
		if n.Topic == "" || slices.Contains(asked, n.Topic) {
			continue
		}
		asked = append(asked, n.Topic)
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(n.Topic)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("ask what ACLs allow on topics: %w", err)
	}
	rights := map[string]int32{}
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case t.Topic == nil:
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			rights[*t.Topic] = 0 // not even DESCRIBE
		case err == nil && t.AuthorizedOperations != unknownRights:
			rights[*t.Topic] = t.AuthorizedOperations
		}
	}
	return rights, nil
}

// groupRights knows of the groups that are denied altogether: what a broker tells of
// the others depends on whether they have ever been used.
func groupRights(ctx context.Context, cl *kgo.Client, needs []Need) map[string]int32 {
	rights := map[string]int32{}
	for _, n := range needs {
		if n.Group == "" {
			continue
		}
		described, err := kadm.NewClient(cl).DescribeGroups(ctx, n.Group)
		if errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(described[n.Group].Err, kerr.GroupAuthorizationFailed) {
			rights[n.Group] = 0
		}
	}
	return rights
}
