package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Policy is an IAM policy for Amazon MSK.
type Policy struct {
	Version   string      `json:"Version"`
	Statement []Statement `json:"Statement"`
}

// Statement is one of its statements.
type Statement struct {
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

// clusterARN is what every ARN of a cluster goes on with, placeholders for all that only
// the cluster's owner knows.
const clusterARN = "arn:aws:kafka:REGION:ACCOUNT:%s/CLUSTER_NAME/CLUSTER_UUID"

// Policies are the rights as IAM policies, one for each verb. What only some clusters
// want in ACLs is in them too: MSK's authorizer asks for it.
func Policies(rights []Right) (map[string]*Policy, error) {
	all := map[string]*Policy{}
	for _, r := range rights {
		p := all[r.Verb]
		if p == nil {
			p = &Policy{Version: "2012-10-17", Statement: []Statement{{
				Effect: "Allow", Action: []string{"kafka-cluster:Connect"}, Resource: []string{fmt.Sprintf(clusterARN, "cluster")},
			}}}
			all[r.Verb] = p
		}
		s := Statement{Effect: "Allow"}
		for _, op := range r.Operations {
			action, ok := iamActions()[iamAction{r.Resource, op}]
			if !ok {
				return nil, fmt.Errorf("%s of a %s, which %s needs, has no action of IAM", op, r.Resource, r.Verb)
			}
			s.Action = append(s.Action, "kafka-cluster:"+action)
		}
		if r.Resource == kmsg.ACLResourceTypeCluster {
			p.Statement[0].Action = append(p.Statement[0].Action, s.Action...)
			continue
		}
		kind := map[kmsg.ACLResourceType]string{
			kmsg.ACLResourceTypeTopic: "topic", kmsg.ACLResourceTypeGroup: "group", kmsg.ACLResourceTypeTransactionalId: "transactional-id",
		}[r.Resource]
		for _, name := range r.Names {
			arn := fmt.Sprintf(clusterARN, kind) + "/" + name.Name
			if name.Prefixed {
				arn += "*"
			}
			s.Resource = append(s.Resource, arn)
		}
		p.Statement = append(p.Statement, s)
	}
	return all, nil
}

type iamAction struct {
	resource  kmsg.ACLResourceType
	operation kmsg.ACLOperation
}

// iamActions are what MSK calls Kafka's operations ("Semantics of IAM authorization
// policy actions and resources" in its developer guide).
func iamActions() map[iamAction]string {
	const topic, group, cluster, transaction = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeCluster, kmsg.ACLResourceTypeTransactionalId
	return map[iamAction]string{
		{topic, kmsg.ACLOperationRead}:              "ReadData",
		{topic, kmsg.ACLOperationWrite}:             "WriteData",
		{topic, kmsg.ACLOperationCreate}:            "CreateTopic",
		{topic, kmsg.ACLOperationDescribe}:          "DescribeTopic",
		{topic, kmsg.ACLOperationDescribeConfigs}:   "DescribeTopicDynamicConfiguration",
		{group, kmsg.ACLOperationRead}:              "AlterGroup",
		{group, kmsg.ACLOperationDescribe}:          "DescribeGroup",
		{transaction, kmsg.ACLOperationWrite}:       "AlterTransactionalId",
		{transaction, kmsg.ACLOperationDescribe}:    "DescribeTransactionalId",
		{cluster, kmsg.ACLOperationDescribe}:        "DescribeCluster",
		{cluster, kmsg.ACLOperationIdempotentWrite}: "WriteDataIdempotently",
	}
}
