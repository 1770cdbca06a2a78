package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"causeway/pkg/health"
	"causeway/pkg/kafka/embedded"
	"causeway/pkg/secret"
)

// crew are parts of a process that stop together. The first part that fails ends
// the whole process, by way of fail.
type crew struct {
	fail context.CancelCauseFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	failed []error
}

// partError is the end of a process that a part of it brought about.
type partError struct {
	name string
	err  error
}

func (e *partError) Error() string { return e.name + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

func (c *crew) run(ctx context.Context, name string, part func(context.Context) error) {
	c.wg.Go(func() {
		if err := part(ctx); err != nil {
			died := &partError{name, err}
			c.fail(died)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.failed = append(c.failed, died)
		}
	})
}

// end waits for the parts and gives what they failed with, in the stop as well.
func (c *crew) end() error {
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.failed...)
}

// whyStopped is the error that ends a process: what a part failed with, else err,
// and nothing when somebody just asked it to stop.
func whyStopped(ctx context.Context, err error) error {
	if died, ok := errors.AsType[*partError](context.Cause(ctx)); ok {
		return died
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// stopError is the error of a process that stopped because of why, nil if it was asked
// to, and whose parts failed like that on the way.
func stopError(why, failed error) error {
	if why != nil && errors.Is(failed, why) {
		return why // the others failed because of it
	}
	return errors.Join(why, failed)
}

// doors are the listeners of a process.
type doors struct{ ingress, admin, ops net.Listener }

func openDoors(ctx context.Context, c config, r roles) (*doors, error) {
	d := &doors{}
	var errs []error
	var err error
	if d.ops, err = listen(ctx, c.Ops.Listen, "ops.listen or CAUSEWAY_OPS_LISTEN"); err != nil {
		errs = append(errs, err)
	}
	if r.ingress {
		if d.ingress, err = listen(ctx, c.Ingress.Listen, "ingress.listen or CAUSEWAY_INGRESS_LISTEN"); err != nil {
			errs = append(errs, err)
		}
	}
	if r.admin {
		if d.admin, err = listen(ctx, c.Admin.Listen, "admin.listen or CAUSEWAY_ADMIN_LISTEN"); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close is for those that nobody came to serve; a second Close does no harm.
func (d *doors) close() {
	for _, ln := range []net.Listener{d.ingress, d.admin, d.ops} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

func (d *doors) addresses() []string {
	var list []string
	for _, ln := range []net.Listener{d.ingress, d.admin, d.ops} {
		if ln != nil {
			list = append(list, ln.Addr().String())
		}
	}
	return list
}

func (d *doors) serving(brokers []string) serving {
	s := serving{ops: reachable(d.ops.Addr().String())}
	if d.ingress != nil {
		s.ingress = reachable(d.ingress.Addr().String())
	}
	if d.admin != nil {
		s.admin = reachable(d.admin.Addr().String())
	}
	if len(brokers) > 0 {
		s.kafka = brokers[0]
	}
	return s
}

// secureAdmin is the listener of the API, with TLS where there is a certificate.
func (d *doors) secureAdmin(conf *tls.Config) net.Listener {
	if conf == nil {
		return d.admin
	}
	return tls.NewListener(d.admin, conf)
}

func closeBroker(b *embedded.Broker, log *zap.Logger) {
	if err := b.Close(); err != nil {
		log.Error("stop the embedded broker", zap.Error(err))
	}
}

// drainDelay is the delay as ingress takes it, for which zero means its default.
func drainDelay(c ingressConfig) time.Duration {
	if *c.DrainDelay == 0 {
		return -1
	}
	return time.Duration(*c.DrainDelay)
}

// awaitReady waits until every condition that counts is met. Conditions are
// looked at, not subscribed to: this happens once in a process's life.
func awaitReady(ctx context.Context, set *health.Set) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, _ := set.Ready(); ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// watchSecrets shows secret files that could be read once and cannot be any more:
// their last content goes on working, until the next start.
func watchSecrets(ctx context.Context, r *secret.Resolver, h *health.Handle) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		if err := errors.Join(r.Problems()...); err != nil {
			h.Fail(fmt.Sprint(err))
		} else {
			h.OK()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
