package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// maxTries bounds how many addresses of one name are tried for one connection: whoever
// owns the name says how many there are.
const maxTries = 4

// dialer turns a name into a connection to an address that was checked.
type dialer struct {
	guard   *guard
	timeout time.Duration
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// dialContext resolves once, checks every address of the answer, and connects to one of
// these very addresses. The name is never resolved a second time, so an answer that
// changes between check and connect changes nothing.
func (d *dialer) dialContext(ctx context.Context, network, hostport string) (net.Conn, error) {
	// The transport keeps dialling for the next request when this one is given up; so the
	// limit is ours and not the request's.
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, explain(ctx, fmt.Errorf("resolve %s: %w", host, err))
	}
	if err := d.guard.checkAll(host, addrs, port); err != nil {
		return nil, err
	}
	return d.connect(ctx, network, addrs, port)
}

// resolve returns the addresses of host: itself if it is an address.
func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil // as written: ::ffff:10.0.0.1 stays what it is
	}
	found, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("the name has no address")
	}
	addrs := make([]netip.Addr, len(found))
	for i, a := range found {
		addrs[i] = a.Unmap() // the resolver gives A records in the mapped form, too
	}
	return addrs, nil
}

// connect tries the addresses in the resolver's order, one after the other, each with
// its share of the time left.
func (d *dialer) connect(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	addrs = addrs[:min(len(addrs), maxTries)]
	deadline, _ := ctx.Deadline()
	var errs []error
	for i, addr := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		tryCtx, cancel := context.WithTimeout(ctx, share)
		conn, err := d.dial(tryCtx, network, netip.AddrPortFrom(addr, port).String())
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, hideAddresses(err))
	}
	return nil, explain(ctx, errors.Join(errs...))
}

// errConnectTimeout says that it was our own limit that ended the attempt to connect.
var errConnectTimeout = errors.New("no connection in time")

// explain adds errConnectTimeout where it is so.
func explain(ctx context.Context, err error) error {
	if deadline, _ := ctx.Deadline(); time.Now().Before(deadline) {
		return err
	}
	return fmt.Errorf("%w: %w", errConnectTimeout, err)
}

func splitHostPort(hostport string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("%w: port %s; a port is 1 to 65535", ErrRefused, text)
	}
	return host, uint16(port), nil
}

// lookup asks DNS. Go's own resolver is forced: the C library's takes a thread for each
// name that hangs, reads 127.1 as an address, and cannot be stopped.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	return addrs, hideServer(err)
}

// hideServer takes the DNS server out of an error: who resolves names for us is not for
// the tenants who read it in the end.
func hideServer(err error) error {
	var fault *net.DNSError
	if !errors.As(err, &fault) {
		return err
	}
	inner := *fault
	inner.Server = ""
	return &inner
}

// hideAddresses takes the addresses of both ends out of an error, for the same reason.
func hideAddresses(err error) error {
	var fault *net.OpError
	if !errors.As(err, &fault) || fault.Addr == nil && fault.Source == nil {
		return err
	}
	inner := *fault
	inner.Addr, inner.Source = nil, nil
	return &inner
}
