package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"causeway/pkg/admin"
	"causeway/pkg/health"
)

// newOps is the server for machines that watch this one. On a loopback listener it
// answers under no name but localhost and those of the configuration: a page in a browser
// here, whose own name was made to lead here (DNS rebinding), reads nothing. An address
// cannot be made to.
func newOps(reg *prometheus.Registry, set *health.Set, c opsConfig, local bool) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/", set.Handler())
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	if c.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		// pprof.Cmdline is left out on purpose: it tells what nobody needs here.
	}
	handler := http.Handler(mux)
	if local {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := admin.Hostname(r.Host)
			known := func(host string) bool { return strings.EqualFold(admin.Hostname(host), name) }
			if _, err := netip.ParseAddr(name); err != nil && name != "" && !known("localhost") && !slices.ContainsFunc(c.Hosts, known) {
				http.Error(w, "this listener is on loopback, and the Host of the request is none of its names: use localhost or an address, or name it in ops.hosts", http.StatusForbidden)
				return
			}
			mux.ServeHTTP(w, r)
		})
	}
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
}

// listen opens a listener; setting is what to change when that does not work.
func listen(ctx context.Context, address, setting string) (net.Listener, error) {
	plain := new(net.ListenConfig)
	plain.SetMultipathTCP(false) // Linux takes no filter on such a socket, which a drain needs
	ln, err := plain.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another process: stop that one, or choose another address with %s", address, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listening on %s is not allowed for this user: choose a port above 1023 with %s", address, setting)
	default:
		return nil, fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
}
