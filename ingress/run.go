package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Run serves ln until ctx ends and then stops in a way that no provider notices: not
// ready at once, but still accepting for the drain delay, until the load balancers have
// seen it; then no new connections; then every request to its end, and every record to
// its acknowledgement. It returns when all of its goroutines are gone. The client is
// left open.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	set := newConns(s.options.MaxConns, s.options.MaxConnsPerAddress, s.proxies, s.logConnection)
	server := s.server(set)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer unwatch()
	wg.Go(func() { s.kafka.run(watching) })
	served := make(chan error, 1)
	wg.Go(func() { served <- server.Serve(s.listener(ln, set)) })
	s.serving.OK()
	s.options.Logger.Info("ingress listening", zap.Stringer("address", ln.Addr()), zap.Bool("tls", s.options.TLS != nil))

	var broken error
	select {
	case <-ctx.Done():
	case err := <-served:
		broken = fmt.Errorf("accept webhooks on %s: %w", ln.Addr(), err)
	}
	s.draining.Store(true)
	s.serving.Fail("stopping")
	s.options.Logger.Info("ingress stopping", zap.Duration("drain_delay", s.options.DrainDelay))
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.ShutdownTimeout)
	defer cancel()
	if broken == nil {
		s.drain(stopping, ln, set)
	}
	return errors.Join(broken, s.stop(stopping, server, set))
}

// drain goes on accepting until nobody sends new connections here any more, and then
// until all that has come is answered. Who was never ready was sent nothing.
//
// It does not leave that to net/http, which from its Shutdown on drops each request of
// which it had not read all headers, without an answer: the provider cannot know whether
// it was stored. What is lost all the same is a request that is still on its way through
// the network when its connection is closed. Beneath TLS Shutdown has to do: only it can
// say goodbye there.
func (s *Server) drain(ctx context.Context, ln net.Listener, set *conns) {
	select {
	case <-s.options.Started:
	default:
		return
	}
	sleep(ctx, s.options.DrainDelay)
	if !refuseNew(ln) {
		return
	}
	sleep(ctx, handshakeTime)
	if s.options.TLS != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, firstRequestTime)
	defer cancel()
	for ctx.Err() == nil && waiting(ln) > 0 {
		sleep(ctx, lookEvery)
	}
	// One that is accepted counts a moment later: only who accepts knows that there is
	// none in between.
	if dated, ok := ln.(withDeadline); ok && dated.SetDeadline(time.Unix(1, 0)) == nil {
		select {
		case <-set.allIn:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil && set.dismiss(time.Now().Add(-restTime)) > 0 {
		sleep(ctx, lookEvery)
	}
}

const (
	// handshakeTime is for connections that were begun before new ones were kept out,
	// and wait for their last packet, or to be accepted.
	handshakeTime = 250 * time.Millisecond
	// firstRequestTime is how long connections may take to send their first request, as
	// long as net/http's Shutdown gives them.
	firstRequestTime = 5 * time.Second
	// restTime is how long a connection is left after an answer. A client that is busy
	// sends its next request within it, is told to close the connection, and cannot meet
	// one that is just being closed.
	restTime  = time.Second
	lookEvery = 5 * time.Millisecond
)

// stop ends the listener, the requests and the records, in this order: a record flushed
// before the last request has ended may not have been the last.
func (s *Server) stop(ctx context.Context, server *http.Server, set *conns) error {
	var errs []error
	if err := server.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("finish requests: %w", err), server.Close())
	}
	set.serving.Wait()
	if err := s.options.Client.Flush(ctx); err != nil && s.options.Client.BufferedProduceRecords() > 0 {
		errs = append(errs, fmt.Errorf("flush %d records: %w", s.options.Client.BufferedProduceRecords(), err))
	}
	return errors.Join(errs...)
}

// server bounds what one connection can hold up.
func (s *Server) server(set *conns) *http.Server {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.options.HeaderTimeout,
		ReadTimeout:       s.options.ReadTimeout,
		// From the end of the headers: the body, the wait, and time to take the answer.
		WriteTimeout:   s.options.ReadTimeout + s.options.ReplyTimeout + s.options.HeaderTimeout,
		IdleTimeout:    s.options.IdleTimeout,
		MaxHeaderBytes: s.options.MaxHeaderBytes,
		ConnState:      set.state,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: streams},
	}
	// What strangers do to the protocol is not worth more than this.
	if std, err := zap.NewStdLogAt(s.log, zapcore.DebugLevel); err == nil {
		server.ErrorLog = std
	}
	return server
}

// streams is how many requests one HTTP/2 connection may have under way. The limits
// count connections, so it is few.
const streams = 16

// listener counts connections, and speaks TLS where asked to: there HTTP/2 too.
func (s *Server) listener(ln net.Listener, set *conns) net.Listener {
	counted := listener{ln, set}
	if s.options.TLS == nil {
		return counted
	}
	config := s.options.TLS.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(counted, config)
}

func (s *Server) logConnection(addr netip.Addr, why string) {
	s.log.Warn("connection refused: "+why, zap.Stringer("peer", addr))
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
