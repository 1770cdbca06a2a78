package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/egress/delay"
	"causeway/pkg/kafka"
)

// topicPlan is the plan of all topics that the catalog, as it is now, needs.
func topicPlan(o prepareOptions, brokers int) []kafka.Topic {
	p := o.planOptions(brokers)
	for _, src := range o.current().Sources {
		if src.Topic != "" {
			p.Sources = append(p.Sources, kafka.SourceTopic{Name: src.Topic, MaxBody: src.MaxBody, Partitions: src.Partitions, Replication: src.ReplicationFactor})
		}
	}
	return kafka.Plan(p)
}

// planOptions is the plan without any source.
func (o prepareOptions) planOptions(brokers int) kafka.PlanOptions {
	return kafka.PlanOptions{
		Prefix: o.config.Prefix, Tiers: delay.Names(), Brokers: brokers, Embedded: o.embedded,
		Partitions: o.config.Topics.Partitions, Replication: o.config.Topics.ReplicationFactor,
		MaxBody: int64(o.config.Topics.MaxBody),
	}
}

// uses is what a process in these roles does with the topics.
func (r roles) uses() kafka.Use {
	return kafka.Use{Ingress: r.ingress, Egress: r.egress, Admin: r.admin}
}

// watchTopics holds the topics of a process against the plan.
func watchTopics(client *kgo.Client, o prepareOptions, r roles, reg prometheus.Registerer) *kafka.Watch {
	return kafka.NewWatch(kafka.WatchOptions{
		Check:  kafka.CheckOptions{Use: r.uses(), Allow: o.config.AllowUnsafe, Embedded: o.embedded},
		Client: client, Plan: func(brokers int) []kafka.Topic { return topicPlan(o, brokers) },
		Create: *o.config.Topics.Create,
		Health: o.health, Logger: o.log, Registerer: reg,
	})
}
