package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/seen"
	"causeway/schemas"
)

// egress measures the way out: events that wait in a topic, to one fast receiver.
func (b *bench) egress(ctx context.Context) (err error) {
	topic, err := b.topic(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.drop(ctx, topic)) }()
	b.topics++
	prefix := fmt.Sprintf("bench-%d.", b.topics)
	defer func() { err = errors.Join(err, b.drop(ctx, prefix)) }()
	// A subscription gets what comes after it: it has to be there before the events.
	if err := b.apply(ctx, settings{prefix: prefix, topic: topic, url: "http://127.0.0.1:9/"}); err != nil {
		return err
	}
	if err := b.preload(ctx, topic); err != nil {
		return err
	}
	to := b.report.pair("egress", fmt.Sprintf("%d events", b.options.events))
	// The first two rounds do not count: the broker makes causeway's topics in them, and
	// its JVM compiles what the two sides ask for, on the processors that they run on.
	const warm = 2
	recorded := 0.0
	for round := range warm + b.options.rounds {
		bare, err := b.drain(ctx, round, false, topic, prefix)
		if err != nil {
			return err
		}
		got, err := b.drain(ctx, round, true, topic, prefix)
		if err != nil {
			return err
		}
		got.recorded, recorded = got.recorded-recorded, got.recorded
		if round < warm {
			continue
		}
		to.add("rate", "/s", atLeast(0.60), bare.rate, got.rate)
		to.add("per CPU second", "", nil, bare.perCPU, got.perCPU)
		to.add("delivered again", "", nil, bare.again, got.again)
		to.add("attempts recorded", "", nil, 0, got.recorded)
		b.say("%s, round %d: bare %.0f/s, causeway %.0f/s", to, round-warm+1, bare.rate, got.rate)
	}
	return nil
}

// preload stores the events as ingress would have.
func (b *bench) preload(ctx context.Context, topic string) error {
	bodies := make([][]byte, 64)
	for i := range bodies {
		bodies[i] = newBody()
	}
	var failed atomic.Pointer[error]
	for n := range b.options.events {
		body := append([]byte(nil), bodies[n%len(bodies)]...)
		putNumber(body, n)
		id := string(body[len(`{"id":"`):][:idLength])
		e := schemas.Event{
			ID: id, Source: "bench", Type: "payment_intent.succeeded", Received: time.Now(), Occurred: time.Now(),
			ContentType: "application/json; charset=utf-8", Body: body, VerifiedBy: "stripe", Identity: seen.Of([]byte(id)).String(),
		}
		rec, err := e.Record(topic, schemas.Raw)
		if err != nil {
			return err
		}
		b.client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	err := b.client.Flush(ctx)
	if f := failed.Load(); f != nil {
		err = errors.Join(err, *f)
	}
	if err != nil {
		return fmt.Errorf("preload %s: %w", topic, err)
	}
	return nil
}

// drained is what the delivery of all events came to. Recorded counts the records of
// attempts that are there, from earlier rounds too.
type drained struct{ rate, perCPU, again, recorded float64 }

// drain delivers all events of the topic, from the first delivery to the last, by
// causeway or by the bare relay. Causeway's topics begin with the prefix; its groups
// begin anew each time.
func (b *bench) drain(ctx context.Context, round int, causeway bool, topic, prefix string) (out drained, err error) {
	r, err := b.receive(b.options.events, causeway)
	if err != nil {
		return out, err
	}
	defer r.close()
	p, err := b.exit(ctx, causeway, settings{prefix: prefix, topic: topic, url: r.url})
	if err != nil {
		return out, err
	}
	running := true
	defer func() {
		if running {
			err = errors.Join(err, stop(p))
		}
	}()
	const limit = 3 * time.Minute
	if err := r.wait(ctx, r.first, limit, p); err != nil {
		return out, err
	}
	cpu := -cpuTime(p)
	profiled := b.profile(ctx, fmt.Sprintf("egress-%d", round), b.options.window()/2, p)
	if err := r.wait(ctx, r.all, limit, p); err != nil {
		return out, err
	}
	cpu += cpuTime(p)
	took := time.Duration(r.last.Load() - r.earliest.Load()).Seconds()
	out.rate, out.perCPU, out.again = float64(r.want)/took, float64(r.want)/cpu.Seconds(), float64(r.again.Load())
	if err := errors.Join(r.check(), profiled()); err != nil {
		return out, err
	}
	if causeway {
		if err := b.settled(ctx, prefix+"egress", topic, p); err != nil {
			return out, err
		}
	}
	running = false
	if err := stop(p); err != nil { // which flushes the records of attempts
		return out, err
	}
	if !causeway {
		return out, nil
	}
	n, err := b.stored(ctx, prefix+"attempts")
	out.recorded = float64(n)
	return out, errors.Join(err, b.forget(ctx, prefix+"egress", prefix+"delay"))
}

// forget deletes groups with all that they have committed.
func (b *bench) forget(ctx context.Context, groups ...string) error {
	deleted, err := kadm.NewClient(b.client).DeleteGroups(ctx, groups...)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return fmt.Errorf("delete a round's groups: %w", err)
	}
	return nil
}

// exit starts what delivers.
func (b *bench) exit(ctx context.Context, causeway bool, s settings) (*program, error) {
	if causeway {
		if err := b.apply(ctx, s); err != nil {
			return nil, err
		}
		return b.causeway(ctx, "egress", s)
	}
	return b.bare(bareRelay, "-topic", s.topic, "-url", s.url)
}

// settled waits until the group has committed the whole topic.
func (b *bench) settled(ctx context.Context, group, topic string, p *program) error {
	admin := kadm.NewClient(b.client)
	return p.await(ctx, "settling", func(ctx context.Context) error {
		lags, err := admin.Lag(ctx, group)
		if err = errors.Join(err, lags.Error()); err != nil {
			return err
		}
		open := int64(0)
		for _, lag := range lags.Sorted()[0].Lag[topic] {
			open += lag.Lag
		}
		if open != 0 {
			return fmt.Errorf("%d records of %s are delivered and not committed", open, topic)
		}
		return nil
	})
}
