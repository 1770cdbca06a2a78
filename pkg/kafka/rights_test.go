package kafka_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"causeway/egress/delay"
	"causeway/pkg/kafka"
)

func allRights() []kafka.Right {
	return kafka.Rights(kafka.RightsOptions{
		Prefix: "causeway.", Tiers: delay.Names(), Sources: []string{"webhooks.a"}, Allow: []string{"webhooks.*"}, Foreign: []string{"orders"}, Create: true,
	})
}

// may says which verbs may do that with a topic.
func may(op kmsg.ACLOperation, topic string) string {
	var verbs []string
	for _, r := range allRights() {
		named := slices.ContainsFunc(r.Names, func(n kafka.ResourceName) bool {
			return n.Name == topic || n.Prefixed && strings.HasPrefix(topic, n.Name)
		})
		if r.Resource == kmsg.ACLResourceTypeTopic && named && slices.Contains(r.Operations, op) && !slices.Contains(verbs, r.Verb) {
			verbs = append(verbs, r.Verb)
		}
	}
	return strings.Join(verbs, " ")
}

func TestWhoMayDoWhat(t *testing.T) {
	const read, write = kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	for _, tc := range []struct {
		op          kmsg.ACLOperation
		topic, want string
	}{
		{write, "webhooks.a", "ingress"},
		{read, "webhooks.a", "egress tail"},
		{write, "webhooks.of-a-source-to-come", "ingress"},
		{write, "causeway.catalog", "admin"},
		{read, "causeway.catalog", "ingress egress admin"},
		{write, "causeway.audit", "admin"},
		{read, "causeway.audit", ""},
		{write, "causeway.delay.5s", "egress"},
		{read, "causeway.delay.5s", "egress tail"},
		{write, "causeway.dlq", "egress"},
		{read, "causeway.dlq", "tail"},
		{write, "causeway.attempts", "egress"},
		{read, "orders", "egress tail"},
		{write, "orders", ""},
		{kmsg.ACLOperationCreate, "orders", ""},
		{kmsg.ACLOperationCreate, "webhooks.a", "ingress admin"},
		{kmsg.ACLOperationCreate, "causeway.catalog", "ingress egress admin"},
		{read, "somebody-elses", ""},
		{kmsg.ACLOperationDescribe, "somebody-elses", ""},
		{kmsg.ACLOperationAlterConfigs, "webhooks.a", ""},
		{kmsg.ACLOperationDelete, "webhooks.a", ""},
	} {
		if got := may(tc.op, tc.topic); got != tc.want {
			t.Errorf("%s on %s: %q, want %q", tc.op, tc.topic, got, tc.want)
		}
	}
}

func TestNobodyMayMakeTopicsThatCausewayDoesNotMake(t *testing.T) {
	for _, r := range kafka.Rights(kafka.RightsOptions{Prefix: "causeway.", Allow: []string{"webhooks.*"}}) {
		if slices.Contains(r.Operations, kmsg.ACLOperationCreate) {
			t.Errorf("with kafka.topics.create: false %s may make %v", r.Verb, r.Names)
		}
	}
}

func TestSourcesByPatternOrByName(t *testing.T) {
	for name, tc := range map[string]struct {
		allow  []string
		byName string
		want   string
	}{
		"a prefix":                                 {[]string{"webhooks.*"}, "", "[{webhooks. true}]"},
		"a prefix and a name":                      {[]string{"hooks-*", "orders"}, "", "[{hooks- true} {orders false}]"},
		"a star in the middle":                     {[]string{"hooks.*.in"}, "hooks.*.in", "[{a false} {b false}]"},
		"a class":                                  {[]string{"hooks.[ab]*"}, "hooks.[ab]*", "[{a false} {b false}]"},
		"everything, causeway's own topics too":    {[]string{"*"}, "*", "[{a false} {b false}]"},
		"what causeway's own topics begin with":    {[]string{"webhooks.*", "cause*"}, "cause*", "[{a false} {b false}]"},
		"some of causeway's own topics":            {[]string{"causeway.d*"}, "causeway.d*", "[{a false} {b false}]"},
		"what Kafka's own topics begin with":       {[]string{"_*"}, "_*", "[{a false} {b false}]"},
		"a name that only begins like the prefix ": {[]string{"causeway-hooks.*"}, "", "[{causeway-hooks. true}]"},
	} {
		t.Run(name, func(t *testing.T) {
			o := kafka.RightsOptions{Prefix: "causeway.", Sources: []string{"b", "a", "b"}, Allow: tc.allow}
			if got := o.ByName(); got != tc.byName {
				t.Errorf("ByName = %q, want %q", got, tc.byName)
			}
			if got := fmt.Sprint(kafka.Rights(o)[0].Names); got != tc.want {
				t.Errorf("ingress writes %s, want %s", got, tc.want)
			}
		})
	}
}

// What check asks about is what the printed ACLs allow.
func TestNeedsComeFromTheTable(t *testing.T) {
	var got []string
	for _, n := range kafka.Needs(allRights()) {
		if !strings.HasPrefix(n.Topic, "causeway.delay.") || strings.HasSuffix(n.Topic, ".5s") {
			got = append(got, n.String())
		}
	}
	want := []string{
		"WRITE on topic webhooks.a (ingress)", "READ on topic causeway.catalog (ingress)",
		"READ on topic webhooks.a (egress)", "READ on topic orders (egress)", "READ on topic causeway.catalog (egress)",
		"READ on topic causeway.delay.5s (egress)", "WRITE on topic causeway.delay.5s (egress)",
		"WRITE on topic causeway.dlq (egress)", "WRITE on topic causeway.attempts (egress)",
		"READ on group causeway.egress (egress)", "READ on group causeway.delay (egress)",
		"READ on topic causeway.catalog (admin)", "WRITE on topic causeway.catalog (admin)", "WRITE on topic causeway.audit (admin)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("needs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPolicies(t *testing.T) {
	all, err := kafka.Policies(allRights())
	if err != nil {
		t.Fatal(err)
	}
	for verb, want := range map[string]string{
		"ingress": `kafka-cluster:Connect kafka-cluster:WriteDataIdempotently arn:aws:kafka:REGION:ACCOUNT:cluster/CLUSTER_NAME/CLUSTER_UUID
kafka-cluster:WriteData kafka-cluster:DescribeTopic kafka-cluster:DescribeTopicDynamicConfiguration kafka-cluster:CreateTopic arn:aws:kafka:REGION:ACCOUNT:topic/CLUSTER_NAME/CLUSTER_UUID/webhooks.*
kafka-cluster:ReadData kafka-cluster:DescribeTopic kafka-cluster:DescribeTopicDynamicConfiguration kafka-cluster:CreateTopic arn:aws:kafka:REGION:ACCOUNT:topic/CLUSTER_NAME/CLUSTER_UUID/causeway.catalog
`,
		"check": `kafka-cluster:Connect arn:aws:kafka:REGION:ACCOUNT:cluster/CLUSTER_NAME/CLUSTER_UUID
kafka-cluster:DescribeTopic kafka-cluster:DescribeTopicDynamicConfiguration arn:aws:kafka:REGION:ACCOUNT:topic/CLUSTER_NAME/CLUSTER_UUID/webhooks.*
kafka-cluster:DescribeTopic kafka-cluster:DescribeTopicDynamicConfiguration arn:aws:kafka:REGION:ACCOUNT:topic/CLUSTER_NAME/CLUSTER_UUID/causeway.*
`,
	} {
		var got strings.Builder
		for _, s := range all[verb].Statement {
			fmt.Fprintln(&got, strings.Join(slices.Concat(s.Action, s.Resource), " "))
		}
		if got.String() != want {
			t.Errorf("%s may\n%s\nwant\n%s", verb, &got, want)
		}
	}
	if len(all) != 6 {
		t.Errorf("%d policies, want one for each of six verbs", len(all))
	}
}
