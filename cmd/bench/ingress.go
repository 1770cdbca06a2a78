package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// ingress measures the door: signed webhooks, each a new event, over so many
// connections; in raw and in Avro, both against the one bare handler.
func (b *bench) ingress(ctx context.Context) error {
	for _, connections := range b.options.connections {
		if err := b.doors(ctx, connections); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) doors(ctx context.Context, connections int) (err error) {
	var sides []*side
	topics := map[*side]string{}
	for _, format := range []string{"", "raw", "avro"} {
		topic, err := b.topic(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.drop(ctx, topic)) }()
		s := settings{prefix: "bench.", topic: topic, format: format}
		address, p, err := b.door(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop(p)) }()
		door := &side{name: cmp.Or(format, "bare"), address: address, programs: []*program{p}, load: load{path: s.path(), connections: connections}}
		sides, topics[door] = append(sides, door), topic
	}
	if err := b.warm(ctx, sides); err != nil {
		return err
	}
	for round := range b.options.rounds {
		all, err := b.takeTurns(ctx, fmt.Sprintf("ingress-%d", connections), round, sides)
		if err != nil {
			return err
		}
		bare := all[0]
		for i, format := range []string{"raw", "avro"} {
			got := all[i+1]
			to := b.report.pair("ingress", fmt.Sprintf("%d connections, %s", connections, format))
			to.add("rate", "/s", atLeast(0.80), bare.rate(), got.rate())
			to.add("p99", "ms", atMost(1.5), ms(quantile(bare.took, 0.99)), ms(quantile(got.took, 0.99)))
			to.add("p50", "ms", nil, ms(quantile(bare.took, 0.5)), ms(quantile(got.took, 0.5)))
			to.add("per CPU second", "", nil, bare.perCPU(), got.perCPU())
			b.say("%s, round %d: bare %.0f/s, causeway %.0f/s", to, round+1, bare.rate(), got.rate())
		}
	}
	for s, topic := range topics {
		stored, err := b.stored(ctx, topic)
		if err != nil {
			return err
		}
		if stored < s.acked {
			return fmt.Errorf("%s acknowledged %d events, and %d are stored", s.name, s.acked, stored)
		}
	}
	return nil
}

// path is where webhooks go.
func (s settings) path() string { return "/webhooks/" + s.source() }

// door starts what takes webhooks: the bare handler if there is no format.
func (b *bench) door(ctx context.Context, s settings) (address string, p *program, err error) {
	if s.listen, err = freeAddress(); err != nil {
		return "", nil, err
	}
	if s.format != "" {
		if err := b.apply(ctx, s); err != nil {
			return "", nil, err
		}
		p, err = b.causeway(ctx, "ingress", s)
		return s.listen, p, err
	}
	if p, err = b.bare(bareHandler, "-topic", s.topic, "-listen", s.listen); err != nil {
		return "", nil, err
	}
	if err := p.listening(ctx, s.listen); err != nil {
		return "", nil, errors.Join(err, stop(p))
	}
	return s.listen, p, nil
}
