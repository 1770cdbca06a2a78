package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"causeway/pkg/catalog"
)

const (
	mostConnections = 1024
	stopTime        = 15 * time.Second
)

// Run serves the API on the listener, which it closes, until the context ends; then
// it lets the requests that are being answered end.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	own, err := netip.ParseAddrPort(l.Addr().String())
	if s.o.Loopback && (err != nil || !own.Addr().IsLoopback()) {
		return errors.Join(fmt.Errorf("admin listens on %s, which is not loopback, and was told that it is", l.Addr()), l.Close())
	}
	if err == nil {
		s.address.Store(own.Addr().String())
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second, // operations with a body give it its own time
		WriteTimeout:      largeBodyTime + 2*applyTimeout,
		IdleTimeout:       2 * time.Minute, // of strangers none: see serve
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          zap.NewStdLog(s.log),
		// Requests outlive ctx by stopTime.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	var wg sync.WaitGroup
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { s.notes(background) })
	served := make(chan error, 1)
	wg.Go(func() {
		served <- server.Serve(netutil.LimitListener(newPerAddress(l, mostOfAddress, s.closed), mostConnections))
	})
	select {
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		err = server.Shutdown(stop)
		cancel()
		if err != nil {
			err = errors.Join(fmt.Errorf("wait for the admin API's last requests: %w", err), server.Close())
		}
	case err = <-served:
		err = fmt.Errorf("serve the admin API: %w", err)
	}
	end()
	wg.Wait()
	return err
}

// closed counts a connection that was one too many of its address, and says so once a
// minute.
func (s *Server) closed(from netip.Addr) {
	s.metrics.closed.Inc()
	if _, ok := s.crowded.Take(int64(time.Since(s.start)), int64(time.Minute), int64(time.Minute)); ok {
		s.log.Warn("closed a connection: its address has as many as one may have", zap.Stringer("address", from), zap.Int("most", mostOfAddress))
	}
}

// notes writes what requests leave to be written: refusals, and when keys were used.
func (s *Server) notes(ctx context.Context) {
	tick := time.NewTicker(useFlush)
	defer tick.Stop()
	for {
		select {
		case record := <-s.refused:
			s.writeRefusals(ctx, record)
		case <-tick.C:
			s.writeUses(ctx)
		case <-ctx.Done():
			last := context.WithoutCancel(ctx) // bounded: each write has its own time
			s.writeRefusals(last)
			s.writeUses(last)
			return
		}
	}
}

// writeRefusals writes the records and all that wait behind them.
func (s *Server) writeRefusals(ctx context.Context, records ...catalog.AuditRecord) {
	for {
		select {
		case record := <-s.refused:
			records = append(records, record)
			continue
		default:
		}
		break
	}
	if len(records) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	if err := s.o.Catalog.Audit(ctx, records...); err != nil {
		s.metrics.unnoted.Add(float64(len(records)))
		s.log.Warn("refused requests could not be audited", zap.Int("records", len(records)), zap.Error(err))
	}
}
