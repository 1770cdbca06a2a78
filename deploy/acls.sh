#!/bin/sh -e
# Written by `causeway check --acls` (go test ./cmd/causeway -run TestACLsInDeploy -update), for
# a process file with default settings: BROKERS=kafka-1:9092 sh acls.sh
#
# The smallest ACLs of each verb, for a user of its own; --principal VERB=TYPE:NAME names it.
# Run this as somebody who may alter the ACLs of the cluster, with --command-config where the
# brokers ask who that is. It allows and denies nothing: what nobody allows is denied, unless
# the brokers have allow.everyone.if.no.acl.found=true.

# causeway ingress
# stores events
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-ingress --operation Write --operation Describe --operation DescribeConfigs --operation Create --topic webhooks. --resource-pattern-type prefixed
# what people want
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-ingress --operation Read --operation Describe --operation DescribeConfigs --operation Create --topic causeway.catalog
# its producers are idempotent; needed only for brokers before 3.0
# kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-ingress --operation IdempotentWrite --cluster

# causeway egress
# delivers events
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Read --operation Describe --operation DescribeConfigs --topic webhooks. --resource-pattern-type prefixed
# what people want
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Read --operation Describe --operation DescribeConfigs --operation Create --topic causeway.catalog
# deliveries that wait
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Read --operation Write --operation Describe --operation DescribeConfigs --operation Create --topic causeway.delay. --resource-pattern-type prefixed
# deliveries that are given up
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Write --operation Describe --operation DescribeConfigs --operation Create --topic causeway.dlq
# a record of each attempt
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Write --operation Describe --operation DescribeConfigs --operation Create --topic causeway.attempts
# shares the partitions out, commits
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation Read --operation Describe --group causeway. --resource-pattern-type prefixed
# its producers are idempotent; needed only for brokers before 3.0
# kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-egress --operation IdempotentWrite --cluster

# causeway admin
# writes what people want, and reads it back
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Read --operation Write --topic causeway.catalog
# writes who did what
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Write --topic causeway.audit
# one change of the catalog at a time, all of it or nothing
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Write --operation Describe --transactional-id causeway.catalog
# looks after every topic of causeway's own
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Describe --operation DescribeConfigs --operation Create --topic causeway. --resource-pattern-type prefixed
# the topics of new sources, where events begin, lag
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Describe --operation DescribeConfigs --operation Create --topic webhooks. --resource-pattern-type prefixed
# lag
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation Describe --group causeway. --resource-pattern-type prefixed
# its producers are idempotent; needed only for brokers before 3.0
# kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-admin --operation IdempotentWrite --cluster

# causeway tail
# prints records; not the catalog's, nor the audit's
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-tail --operation Read --operation Describe --topic webhooks. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-tail --operation Read --operation Describe --topic causeway.delay. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-tail --operation Read --operation Describe --topic causeway.dlq
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-tail --operation Read --operation Describe --topic causeway.attempts

# causeway topic
# lists and describes
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-topic --operation Describe --operation DescribeConfigs --topic webhooks. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-topic --operation Describe --operation DescribeConfigs --topic causeway. --resource-pattern-type prefixed
# how large topics are; needed only for the sizes
# kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-topic --operation Describe --cluster

# causeway check
# compares topics with the plan
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-check --operation Describe --operation DescribeConfigs --topic webhooks. --resource-pattern-type prefixed
kafka-acls.sh --bootstrap-server "$BROKERS" --add --allow-principal User:causeway-check --operation Describe --operation DescribeConfigs --topic causeway. --resource-pattern-type prefixed
