package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
)

// changes is how many changes of the catalog one round makes.
const changes = 100

// live measures how long a change of the catalog takes until every process works from
// it: from the call to the API until three ingress and three egress processes show its
// version.
func (b *bench) live(ctx context.Context) (err error) {
	b.topics++
	s := settings{prefix: fmt.Sprintf("bench-%d.", b.topics), url: "http://127.0.0.1:9/"}
	if s.topic, err = b.topic(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.drop(ctx, s.topic, s.prefix)) }()
	if s.listen, err = freeAddress(); err != nil {
		return err
	}
	api, err := b.causeway(ctx, "admin", s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(api)) }()
	client, err := admin.NewClient(admin.ClientOptions{URL: "http://" + api.admin, UserAgent: "causeway-bench"})
	if err != nil {
		return err
	}
	var processes []*program
	defer func() { err = errors.Join(err, stop(processes...)) }()
	for _, role := range []string{"ingress", "egress", "ingress", "egress", "ingress", "egress"} {
		s.listen = ""
		p, err := b.causeway(ctx, role, s)
		if err != nil {
			return err
		}
		processes = append(processes, p)
	}
	to := b.report.pair("live", fmt.Sprintf("%d changes, 3 ingress, 3 egress", changes))
	for round := range b.options.rounds {
		var took []time.Duration
		for i := range changes {
			n := round*changes + i
			begun := time.Now()
			t, err := client.CreateTenant(ctx, admin.TenantInput{Spec: catalog.TenantSpec{Name: fmt.Sprintf("bench-%d", n)}})
			if err != nil {
				return fmt.Errorf("change %d: %w", n, err)
			}
			for _, p := range processes {
				if err := p.await(ctx, "the change", func(ctx context.Context) error { return p.worksFrom(ctx, t.Version) }); err != nil {
					return err
				}
			}
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		to.add("p50", "s", nil, 0, quantile(took, 0.5).Seconds())
		to.add("p99", "s", noMore(1), 0, quantile(took, 0.99).Seconds())
		b.say("%s, round %d: p50 %.3f s, p99 %.3f s", to, round+1, quantile(took, 0.5).Seconds(), quantile(took, 0.99).Seconds())
	}
	return nil
}

// worksFrom is an error until the process works from that version of the catalog.
func (p *program) worksFrom(ctx context.Context, version int64) error {
	var page bytes.Buffer
	if err := p.get(ctx, "/metrics", &page); err != nil {
		return err
	}
	lines := bufio.NewScanner(&page)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "causeway_catalog_version ")
		if !ok {
			continue
		}
		now, err := strconv.ParseFloat(text, 64)
		if err == nil && int64(now) < version {
			err = fmt.Errorf("it works from version %.0f of the catalog, before %d", now, version)
		}
		return err
	}
	return errors.New("it shows no version of the catalog")
}
