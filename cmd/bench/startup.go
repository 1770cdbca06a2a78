package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// startUp measures what a newcomer waits for: from the start of `causeway dev`, with
// nothing but its defaults and an empty folder, to the first delivered webhook.
func (b *bench) startUp(ctx context.Context) error {
	to := b.report.pair("start-up", "causeway dev")
	for round := range b.options.rounds {
		took, err := b.fresh(ctx, round)
		if err != nil {
			return err
		}
		to.add("first delivery", "s", noMore(2), 0, took.Seconds())
		b.say("start-up, round %d: %.2f s", round+1, took.Seconds())
	}
	return nil
}

func (b *bench) fresh(ctx context.Context, round int) (took time.Duration, err error) {
	var at [4]string
	for i := range at {
		if at[i], err = freeAddress(); err != nil {
			return 0, err
		}
	}
	r, err := b.receive(1, false)
	if err != nil {
		return 0, err
	}
	defer r.close()
	started := time.Now()
	p, err := b.start("dev", at[1], []string{"CAUSEWAY_INGRESS_LISTEN=" + at[0], "CAUSEWAY_OPS_LISTEN=" + at[1], "CAUSEWAY_ADMIN_LISTEN=" + at[3]}, b.options.causeway, "dev",
		"--data", filepath.Join(b.dir, fmt.Sprintf("data-%d", round)), "--broker-listen", at[2], "--forward-to", r.url, "--secret", "stripe=env:"+sourceSecretVar)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop(p)) }()
	w, buf := newWebhook(at[0], "/webhooks/stripe"), make([]byte, 4<<10)
	err = p.await(ctx, "first webhook", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at[0])
		if err != nil {
			return err
		}
		defer conn.Close()
		now := time.Now()
		if err := conn.SetDeadline(now.Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(w.sign(0, now)); err != nil {
			return err
		}
		return readAnswer(conn, buf)
	})
	if err != nil {
		return 0, err
	}
	if err := r.wait(ctx, r.all, time.Minute, p); err != nil {
		return 0, err
	}
	return r.start.Add(time.Duration(r.last.Load())).Sub(started), r.check()
}
