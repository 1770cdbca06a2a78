package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"causeway/egress/delay"
	"causeway/egress/target"
	"causeway/pkg/catalog"
	"causeway/pkg/health"
	"causeway/pkg/kafka"
	"causeway/pkg/tracing"
)

// Egress delivers events: one member of the group of events, one of the group of
// delay topics, one pool of attempts.
type Egress struct {
	o            Options
	log          *zap.Logger
	met          *metrics
	tracer       trace.Tracer   // nil: nothing is traced
	kafka        *health.Handle // Kafka answered and the cluster is known
	moving       *health.Handle // no worker is stuck
	served       *health.Handle // every partition is served
	losses       *losses
	denied       *kafka.Denied // topics that ACLs keep us from
	indexed      atomic.Pointer[indexed]
	foreignThere *health.Handle // every foreign topic is there
	unresolved   *waits         // partitions at a record whose schema is not known yet
	writing      *health.Handle // Kafka takes what settles deliveries
	untaken      *waits         // partitions that are ours and not read yet
	lookingUp    chan struct{}  // holds a token while a delay record's schema is looked up
	behind       *waits         // partitions and deliveries of a newer catalog than this process has read
	ends         ends           // where the catalog ends, for deliveries that are ahead of what was read
	// disabled holds the uids of subscriptions that answered 410, and the version of
	// the entry that did. It is this process's knowledge until the catalog keeps it.
	disabled  sync.Map
	budget    *budget
	dog       watchdog
	dispatch  *dispatcher
	send      *target.HTTP
	userAgent string
	settle    *settler
	journal   *journal
	cluster   string
	running   atomic.Pointer[clients]
	// end ends Run from within, for a reason that broken knows.
	end context.CancelCauseFunc
	// sending is the context of all attempts; it ends when a stop takes too long.
	sending context.Context
}

// New makes an Egress that does nothing before Run.
func New(o Options) *Egress {
	o = o.withDefaults()
	e := &Egress{
		o:      o,
		log:    o.Logger,
		tracer: tracing.Tracer(o.TracerProvider),
		kafka:  o.Health.Declare(health.Condition{Code: "egress_kafka", Title: "egress reaches Kafka", Readiness: true}),
		moving: o.Health.Declare(health.Condition{Code: "egress_moving", Title: "no worker of egress is stuck", Readiness: true}),
		served: o.Health.Declare(health.Condition{Code: "egress_partitions", Title: "egress serves all its partitions"}),
		budget: newBudget(o.OpenBytes),
		send:   target.NewHTTP(o.Client), userAgent: "causeway/" + o.Version,
	}
	e.losses = &losses{handle: o.Health.Declare(health.Condition{Code: "egress_offsets", Title: "egress went on where it had stopped"})}
	e.served.OK()
	e.unresolved = newWaits(o.Health.Declare(health.Condition{Code: "egress_schemas", Title: "egress can look up the schemas of records"}))
	e.untaken = newWaits(o.Health.Declare(health.Condition{Code: "egress_assigned", Title: "egress reads every partition that the groups gave it"}))
	e.behind = newWaits(o.Health.Declare(health.Condition{Code: "egress_catalog", Title: "egress has read the catalog as far as its partitions and deliveries need"}))
	e.writing = o.Health.Declare(health.Condition{Code: "egress_writes", Title: "Kafka takes the records that egress writes"})
	e.lookingUp = make(chan struct{}, 1)
	e.ends.wanted = make(chan int64, 1)
	e.foreignThere = o.Health.Declare(health.Condition{Code: "foreign_topics", Title: "the foreign topics are there"})
	e.denied = kafka.NewDenied(o.Health.Declare(health.Condition{Code: "egress_topics", Title: "egress may read and write its topics"}), o.Logger)
	e.moving.OK()
	e.dispatch = &dispatcher{
		tasks: o.QueueTasks, bytes: o.QueueBytes, inFlight: o.InFlight, wait: o.QueueWait,
		queues: map[uuid.UUID]*queue{}, allowances: map[string]*allowance{}, dog: &e.dog,
		attempt: e.attempt,
		park:    e.park,
		// A subscription that is alone on its partition holds nobody up by waiting.
		parkable: func(t *task) bool {
			sub := e.snapshot().Subscription(t.delivery.Subscription)
			return sub == nil || !e.alone(t.partition, sub)
		},
	}
	e.met = newMetrics(o.Registerer, e.dispatch.depth, e.dispatch.limited)
	return e
}

// Run delivers until ctx ends, and then stops in order within the shutdown
// timeout: nothing new begins, attempts end, what settles them is acknowledged,
// marks are committed, the groups are left. Whatever the timeout cuts off comes
// again, as after a crash.
func (e *Egress) Run(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	e.end = end
	sending, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	e.sending = sending

	var err error
	if e.settle, err = newSettler(e); err != nil {
		return err
	}
	recording, err := kgo.NewClient(e.o.Kafka.AttemptProducer()...)
	if err != nil {
		e.settle.close()
		return fmt.Errorf("make the producer of attempt records: %w", err)
	}
	e.journal = newJournal(e.log, recording, e.o.Kafka.Prefix+"attempts", e.met.attemptRecordsDropped)
	closeProducers := func() {
		recording.Close()
		e.settle.close()
	}
	if e.cluster, err = e.findCluster(ctx, e.settle.client); err != nil {
		closeProducers()
		return nil // ctx ended before Kafka answered: there is nothing to stop
	}
	e.kafka.OK()

	committed := e.known(ctx)
	events, err := e.join("egress", committed[0], nil, e.fanOut, e.snapshot().Readable())
	if err != nil {
		closeProducers()
		return err
	}
	tiers := map[string]delay.Tier{}
	var delays []string
	for _, t := range delay.Tiers() {
		tiers[t.Topic(e.o.Kafka.Prefix)] = t
		delays = append(delays, t.Topic(e.o.Kafka.Prefix))
	}
	delayed, err := e.join("delay", committed[1], tiers, e.comeBack, delays)
	if err != nil {
		events.client.Close()
		closeProducers()
		return err
	}
	e.met.watch(events, delayed)
	e.running.Store(&clients{[]*member{events, delayed}, []*kgo.Client{e.settle.client, e.settle.alone, recording}})

	committing, stopCommits := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCommits()
	var loops, commits sync.WaitGroup
	for _, m := range []*member{events, delayed} {
		loops.Go(func() { m.poll(ctx) })
		commits.Go(func() { m.commits(committing) })
	}
	go e.journal.run()
	loops.Go(func() { e.watchLag(ctx, e.settle.client) })
	loops.Go(func() { e.watchEnd(ctx) })
	if e.o.Changed != nil {
		loops.Go(func() { e.follow(ctx, events) })
	}
	loops.Go(func() { e.watchForeign(ctx, e.settle.client) })
	loops.Go(func() {
		if err := e.watch(ctx, events, delayed); err != nil {
			end(err)
		}
	})

	<-ctx.Done()
	e.kafka.Fail("egress is stopping")
	timeout := e.o.ShutdownTimeout
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// Some of the time is kept for what comes after: an attempt that hangs must not
	// take away the writes, nor a topic that takes no writes the others' commit, nor
	// a broker that is dead the end.
	overrun := time.AfterFunc(timeout*3/5, func() { cut(errStopping) })
	defer overrun.Stop()
	settled, cancelSettled := context.WithTimeout(deadline, timeout*4/5)
	defer cancelSettled()
	err = within(settled, "attempts", func() {
		loops.Wait()
		var halting sync.WaitGroup
		halting.Go(events.halt)
		halting.Go(delayed.halt)
		halting.Wait()
		e.dispatch.stop()
	})
	err = errors.Join(err, e.settle.stop(settled))
	e.journal.stop(settled)
	stopCommits()
	var left [2]error
	late := within(deadline, "commits and leaving the groups", func() {
		commits.Wait()
		var leaving sync.WaitGroup
		leaving.Go(func() { left[0] = events.leave(deadline) })
		leaving.Go(func() { left[1] = delayed.leave(deadline) })
		leaving.Wait()
		closeProducers()
	})
	if late != nil {
		err = errors.Join(err, late)
	} else {
		err = errors.Join(err, left[0], left[1])
	}
	why := broken(context.Cause(ctx))
	if _, stuck := errors.AsType[*stuckError](why); stuck {
		last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancelLast()
		for _, m := range []*member{events, delayed} {
			err = errors.Join(err, m.quit(last, e.o.Kafka.Base("quit")))
		}
	}
	return errors.Join(why, err)
}

// within waits for f until ctx ends.
func within(ctx context.Context, what string, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop egress: %s still under way at the shutdown timeout: what is not committed comes again", what)
	}
}

var errStopping = errors.New("egress is stopping")

// findCluster asks for the cluster's id until Kafka answers.
func (e *Egress) findCluster(ctx context.Context, client *kgo.Client) (string, error) {
	said := ""
	for {
		meta, err := kadm.NewClient(client).BrokerMetadata(ctx)
		if err == nil {
			return meta.Cluster, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		e.kafka.Fail(fmt.Sprintf("Kafka does not answer: %v", err))
		if said != err.Error() {
			said = err.Error()
			e.log.Error("Kafka does not answer, trying on", zap.Error(err))
		}
		waited(ctx, time.Second)
	}
}

// fetchWait is how long a broker may keep an empty fetch. A partition that is newly
// assigned or resumed is in no fetch before the one under way has returned, so
// this is also how late such a partition's first record can be.
const fetchWait = 50 * time.Millisecond

// join makes a member of one of the two groups.
func (e *Egress) join(name string, committed known, tiers map[string]delay.Tier, handle func(context.Context, *partition, held), topics []string) (*member, error) {
	group := e.o.Kafka.Prefix + name
	m := &member{
		group: group, instance: e.o.Kafka.InstanceID, cluster: e.cluster, topics: topics, tiers: tiers, atEnd: e.beginAtEnd(), handle: handle, version: func() int64 { return e.snapshot().Version }, declared: e.declared, budget: e.budget, forget: e.dispatch.forget,
		revoke: e.o.RevokeWait, pace: e.o.CommitEvery,
		log: e.log, met: e.met, served: e.served, untaken: e.untaken, losses: e.losses, denied: e.denied, known: committed, dog: &e.dog, end: e.end,
		joined:     e.o.Health.Declare(health.Condition{Code: "egress_group_" + name, Title: "egress is in the group " + group, Readiness: true}),
		partitions: map[topicPartition]*partition{},
		topicIDs:   map[string]kadm.TopicID{},
		suspects:   map[string]bool{},
		again:      map[string]takenAgain{},
		anew:       map[string]int64{},
		fetched:    map[topicPartition]fetchedCommit{},
		committing: make(chan struct{}, 1),
		ready:      make(chan struct{}),
		dirty:      make(chan struct{}, 1),
	}
	if len(tiers) == 0 {
		m.takeUp = e.takeUp
	}
	opts := append(e.o.Kafka.Consumer(group), m.options(e.sending, topics)...)
	opts = append(opts, kgo.FetchMaxWait(fetchWait))
	client, err := kgo.NewClient(append(opts, e.o.extra...)...)
	if err != nil {
		return nil, fmt.Errorf("make the consumer of group %s: %w", group, err)
	}
	m.client = client
	close(m.ready)
	if len(topics) == 0 {
		m.joined.OK() // there is nothing to join for
	}
	return m, nil
}

// alone says whether no other live subscription reads what the partition holds:
// then waiting for this one hurts nobody, and writes nothing.
func (e *Egress) alone(p *partition, sub *catalog.Subscription) bool {
	return e.live(sub) && !e.anyOther(p, sub, func(*catalog.Subscription) bool { return true })
}

// starves says whether another live subscription of the partition would soon have
// nothing left to do if this one made the partition wait.
func (e *Egress) starves(p *partition, sub *catalog.Subscription) bool {
	return e.anyOther(p, sub, func(other *catalog.Subscription) bool { return e.dispatch.thirsty(other.UID) })
}

func (e *Egress) anyOther(p *partition, sub *catalog.Subscription, holds func(*catalog.Subscription) bool) bool {
	now := e.current()
	others := now.snapshot.Subscriptions
	if p.tier.Wait == 0 {
		others = now.topic(p.topic).subscribed
	}
	return slices.ContainsFunc(others, func(other *catalog.Subscription) bool {
		return other.UID != sub.UID && e.live(other) && holds(other)
	})
}
