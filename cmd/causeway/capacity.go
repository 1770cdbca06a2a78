package main

import (
	"math"
	"slices"
	"strconv"
	"time"

	"causeway/egress/delay"
	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
)

// load is what somebody expects of a cluster.
type load struct {
	Rate          float64       // events per second, of all sources together
	Size          int64         // of a body
	Failing       float64       // share of the deliveries whose every attempt fails
	Subscriptions int           // that get each event
	Retention     time.Duration // of the event topics; 0: as they are planned
	Replication   int
	PartitionRate float64       // records per second that one partition is given
	Latency       time.Duration // until a subscriber has answered
	Timeout       time.Duration // until an attempt on one that hangs is given up
}

// What one process did, with bodies of 1 KiB and on two CPUs that it shared with the load
// and the broker: docs/benchmarks.md, "Last figures", rounded.
const (
	benchIngress    = 32_000 // stored a second, over 256 connections
	benchEgress     = 26_000 // delivered a second
	benchPartitions = 12
	// partitionRate is under half of what each partition gave in that run:
	// 26,000/s / 12 = 2,170/s.
	partitionRate = 1_000
)

// What records have beside bodies: keys, headers and Kafka's framing, without
// compression; a test holds them against records.
const (
	eventOverhead    = 512 // id, source, type, times, scheme, trace, identity, some of the provider's headers
	deliveryOverhead = 512 // the state of a delivery, beside the event's
	attemptBytes     = 768 // one attempt record, with 256 bytes of the subscriber's answer
)

// processInFlight is egress.in_flight when left out.
const processInFlight = 4096

// capacity is what a load comes to, in the steady state: once the first deliveries that
// fail have failed for good.
type capacity struct {
	Deliveries  float64 `json:"deliveries_per_second"`   // Rate x Subscriptions
	Attempts    float64 `json:"attempts_per_second"`     // Deliveries x (1 + Failing x waits): each wait ends in one more
	DelayWrites float64 `json:"delay_writes_per_second"` // Deliveries x Failing x waits: each wait is one tier, and so one write
	DeadLetters float64 `json:"dead_letters_per_second"` // Deliveries x Failing
	// Parked is how many deliveries wait at once, by Little's law: those that begin to
	// fail in a second times the seconds that each of them waits.
	Parked      float64 `json:"parked"`
	Waits       int     `json:"waits"` // of a delivery that fails for good
	WaitSeconds float64 `json:"wait_seconds"`

	// Attempts at once, by the same law; each has a connection. InFlight is with every
	// subscriber answering, Hanging with those that fail hanging until the timeout.
	InFlight float64 `json:"in_flight"`
	Hanging  float64 `json:"in_flight_if_failing_hang"`

	// Partitions: records per second / PartitionRate, rounded up, but not fewer than
	// planned, and one for each egress process. BusiestDelay is the delay topic of the
	// tier that most of the waits take: Deliveries x Failing x its waits.
	EventPartitions int     `json:"event_partitions"`
	DelayPartitions int     `json:"delay_partitions"`
	BusiestDelay    float64 `json:"busiest_delay_topic_per_second"`
	// Processes: two of each, so that one may be away, or more.
	IngressProcesses int `json:"ingress_processes"` // Rate / 32,000
	EgressProcesses  int `json:"egress_processes"`  // Attempts / 26,000, and Hanging / 4,096

	Disk     []diskUse `json:"disk"`
	DiskDay  float64   `json:"disk_bytes_per_day"`
	DiskKept float64   `json:"disk_bytes"`
}

// diskUse is the disk of some topics, all copies together.
type diskUse struct {
	Topics      string  `json:"topics"`
	Records     float64 `json:"records_per_second"`
	RecordBytes int64   `json:"record_bytes"`
	KeptSeconds float64 `json:"kept_seconds"`
	Day         float64 `json:"bytes_per_day"` // Records x RecordBytes x 86,400 x Replication
	Kept        float64 `json:"bytes"`         // the same x the days that the topic keeps them
}

// capacityOf works it out.
func capacityOf(l load) capacity {
	plan := kafka.Plan(kafka.PlanOptions{Tiers: delay.Names(), Sources: []kafka.SourceTopic{{Name: "webhooks.*"}}})
	planned := func(k kafka.Kind) (kafka.Topic, time.Duration) {
		t := plan[slices.IndexFunc(plan, func(t kafka.Topic) bool { return t.Kind == k })]
		ms, _ := strconv.ParseInt(t.Configs["retention.ms"], 10, 64) // the plan's own number
		return t, time.Duration(ms) * time.Millisecond
	}
	events, eventsKept := planned(kafka.Events)
	if l.Retention > 0 {
		eventsKept = l.Retention
	}

	schedule := catalog.DefaultSchedule()
	var waiting time.Duration
	steps := map[time.Duration]int{}
	busiest := 0
	for _, wait := range schedule {
		waiting += wait
		steps[wait]++
		busiest = max(busiest, steps[wait])
	}
	deliveries := l.Rate * float64(l.Subscriptions)
	failing := deliveries * l.Failing
	waits := float64(len(schedule))
	c := capacity{
		Deliveries: deliveries, Attempts: deliveries + failing*waits, DelayWrites: failing * waits, DeadLetters: failing,
		Parked: failing * waiting.Seconds(), Waits: len(schedule), WaitSeconds: waiting.Seconds(),
	}
	answered := (deliveries - failing) * l.Latency.Seconds()
	c.InFlight = c.Attempts * l.Latency.Seconds()
	c.Hanging = answered + failing*(1+waits)*l.Timeout.Seconds()

	atLeast := func(least int, n float64) int { return max(least, int(math.Ceil(n))) }
	c.IngressProcesses = atLeast(2, l.Rate/benchIngress)
	c.EgressProcesses = atLeast(2, max(c.Attempts/benchEgress, c.Hanging/processInFlight))
	least := max(int(events.Partitions), c.EgressProcesses)
	c.BusiestDelay = failing * float64(busiest)
	c.EventPartitions = atLeast(least, l.Rate/l.PartitionRate)
	c.DelayPartitions = atLeast(least, c.BusiestDelay/l.PartitionRate)

	add := func(topics string, records float64, bytes int64, kept time.Duration) {
		u := diskUse{Topics: topics, Records: records, RecordBytes: bytes, KeptSeconds: kept.Seconds()}
		u.Day = records * float64(bytes) * 86_400 * float64(l.Replication)
		u.Kept = u.Day * kept.Hours() / 24
		c.Disk, c.DiskDay, c.DiskKept = append(c.Disk, u), c.DiskDay+u.Day, c.DiskKept+u.Kept
	}
	_, delaysKept := planned(kafka.Delays)
	_, lettersKept := planned(kafka.DeadLetters)
	_, attemptsKept := planned(kafka.Attempts)
	add("events", l.Rate, l.Size+eventOverhead, eventsKept)
	add("delay", c.DelayWrites, l.Size+eventOverhead+deliveryOverhead, delaysKept)
	add("dlq", c.DeadLetters, l.Size+eventOverhead+deliveryOverhead, lettersKept)
	add("attempts", c.Attempts, attemptBytes, attemptsKept)
	return c
}
