package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A machine that others use too is never the same for ten seconds. So a round's window
// is cut into slices, and what is compared takes turns: bare, causeway, bare, causeway.
const (
	slice  = 2 * time.Second
	leadIn = 200 * time.Millisecond // of a slice, not measured: connections are made
)

// side is one of those that are compared.
type side struct {
	name     string
	address  string // of webhooks
	programs []*program
	load     load // without times
	acked    int  // by all slices
}

// measured is what a side's slices of a round came to.
type measured struct {
	took   []time.Duration // of the answers that count, sorted
	cpu    time.Duration
	window time.Duration
}

func (m measured) rate() float64   { return float64(len(m.took)) / m.window.Seconds() }
func (m measured) perCPU() float64 { return float64(len(m.took)) / m.cpu.Seconds() }

// takeTurns loads the sides in turn until each has had its window.
func (b *bench) takeTurns(ctx context.Context, row string, round int, sides []*side) ([]measured, error) {
	all := make([]measured, len(sides))
	for left := b.options.window(); left > 0; left -= slice {
		for i, s := range sides {
			from := time.Now().Add(leadIn)
			a, cpu, err := b.watch(ctx, s, from, from.Add(min(slice, left)), fmt.Sprintf("%s-%s-%d-%d", row, s.name, round+1, left/slice))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			all[i].took = append(all[i].took, a.took...)
			all[i].cpu += cpu
			all[i].window += min(slice, left)
		}
	}
	for i := range all {
		slices.Sort(all[i].took)
	}
	return all, nil
}

// warm loads each side for a while that does not count: connections, the topics'
// leaders, heaps, and the broker's JVM, which is slow until it has seen some load.
func (b *bench) warm(ctx context.Context, sides []*side) error {
	for _, s := range sides {
		from := time.Now()
		if _, _, err := b.watch(ctx, s, from, from.Add(b.options.warmUp()), ""); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// watch runs a side's load, and says how much CPU time its programs took from its
// beginning to its end.
func (b *bench) watch(ctx context.Context, s *side, from, to time.Time, profile string) (a answers, cpu time.Duration, err error) {
	l := &s.load
	l.from, l.to = from, to
	loaded := make(chan error, 1)
	go func() {
		var err error
		a, err = l.run(ctx, s.address)
		loaded <- err
	}()
	err = sleepUntil(ctx, from)
	cpu = -cpuTime(s.programs...)
	profiled := b.profile(ctx, profile, to.Sub(from), s.programs...)
	err = errors.Join(err, sleepUntil(ctx, to))
	cpu += cpuTime(s.programs...)
	err = errors.Join(<-loaded, err, profiled())
	s.acked += a.ok
	return a, cpu, err
}
