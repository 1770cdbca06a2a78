package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// latencyRate is events per second, far below what either can carry.
const latencyRate = 2000

// latency measures the time from a webhook's sending to its delivery, both ways chained.
func (b *bench) latency(ctx context.Context) (err error) {
	var chains []*chain
	var sides []*side
	for _, causeway := range []bool{false, true} {
		c, err := b.chain(ctx, causeway)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.end(ctx)) }()
		chains, sides = append(chains, c), append(sides, &c.side)
	}
	if err := b.warm(ctx, sides); err != nil {
		return err
	}
	to := b.report.pair("latency", fmt.Sprintf("%d events/s", latencyRate))
	for round := range b.options.rounds {
		all, err := b.takeTurns(ctx, "latency", round, sides)
		if err != nil {
			return err
		}
		var p50, p99 [2]float64
		for i, c := range chains {
			took, err := c.delivered(ctx)
			if err != nil {
				return err
			}
			p50[i], p99[i] = ms(quantile(took, 0.5)), ms(quantile(took, 0.99))
		}
		to.add("p50", "ms", atMost(2), p50[0], p50[1])
		to.add("p99", "ms", atMost(3), p99[0], p99[1])
		to.add("answered p50", "ms", nil, ms(quantile(all[0].took, 0.5)), ms(quantile(all[1].took, 0.5)))
		to.add("answered p99", "ms", nil, ms(quantile(all[0].took, 0.99)), ms(quantile(all[1].took, 0.99)))
		to.add("per CPU second", "", nil, all[0].perCPU(), all[1].perCPU())
		b.say("%s, round %d: bare p50 %.1f ms p99 %.1f ms, causeway p50 %.1f ms p99 %.1f ms", to, round+1, p50[0], p99[0], p50[1], p99[1])
	}
	return nil
}

// chain is both halves, of causeway or bare, and a receiver.
type chain struct {
	side
	bench    *bench
	receiver *receiver
	drop     []string // its topics
	told     int      // events that earlier rounds have told about
}

func (b *bench) chain(ctx context.Context, causeway bool) (c *chain, err error) {
	c = &chain{bench: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.end(ctx))
		}
	}()
	b.topics++
	s := settings{prefix: fmt.Sprintf("bench-%d.", b.topics)}
	if s.topic, err = b.topic(ctx); err != nil {
		return c, err
	}
	c.drop = []string{s.topic, s.prefix}
	seconds := b.options.warmUp() + time.Duration(b.options.rounds)*(b.options.window()+(b.options.window()/slice+1)*leadIn)
	most := int(seconds/time.Second+2) * latencyRate
	if c.receiver, err = b.receive(most, causeway); err != nil {
		return c, err
	}
	s.url = c.receiver.url
	if causeway {
		s.format = "raw"
	}
	address, door, err := b.door(ctx, s)
	if err != nil {
		return c, err
	}
	c.programs = append(c.programs, door)
	relay, err := b.exit(ctx, causeway, s)
	if err != nil {
		return c, err
	}
	c.programs = append(c.programs, relay)
	c.name, c.address = relay.name, address
	c.load = load{path: s.path(), connections: 64, rate: latencyRate}
	c.load.track(most)
	return c, nil
}

// end stops the chain, the door first.
func (c *chain) end(ctx context.Context) error {
	err := stop(c.programs...)
	if c.receiver != nil {
		c.receiver.close()
	}
	return errors.Join(err, c.bench.drop(ctx, c.drop...))
}

// delivered waits until everything that was acknowledged is delivered, and gives the
// times that took of what was sent in this round's windows, sorted.
func (c *chain) delivered(ctx context.Context) ([]time.Duration, error) {
	err := c.programs[1].await(ctx, "delivery of everything", func(context.Context) error {
		if n := int(c.receiver.distinct.Load()); n < c.acked {
			return fmt.Errorf("%d of %d are delivered", n, c.acked)
		}
		return nil
	})
	if err = errors.Join(err, c.receiver.check()); err != nil {
		return nil, err
	}
	var took []time.Duration
	sent := c.load.sent[:c.load.next.Load()]
	for n := c.told; n < len(sent); n++ {
		if at := sent[n]; at.counts {
			took = append(took, time.Duration(c.receiver.arrived[n].Load())-at.when.Sub(c.receiver.start))
		}
	}
	c.told = len(sent)
	slices.Sort(took)
	return took, nil
}
