package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// errNoRoute is what the dial of these tests answers: nothing leaves the machine.
var errNoRoute = errors.New("no route in a test")

// recorder is a Dial that keeps what it was asked to connect to.
type recorder struct{ dialled []string }

func (r *recorder) dial(_ context.Context, _, addr string) (net.Conn, error) {
	r.dialled = append(r.dialled, addr)
	return nil, errNoRoute
}

func get(t *testing.T, o Options, url string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newClient(t, o).Do(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// A name that answers with a public address when it is checked and with another one ever
// after (DNS rebinding). Only what was checked may be connected to.
func TestTheCheckedAddressIsTheOneConnectedTo(t *testing.T) {
	rec := &recorder{}
	lookups := 0
	o := Options{Dial: rec.dial, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		lookups++
		if lookups == 1 {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
	}}
	if err := get(t, o, "https://rebind.example/"); !errors.Is(err, errNoRoute) {
		t.Fatalf("Do = %v", err)
	}
	if lookups != 1 || !slices.Equal(rec.dialled, []string{"8.8.8.8:443"}) {
		t.Errorf("%d lookups, connected to %v; want one and the address of the first", lookups, rec.dialled)
	}
}

// The same over several connections of one client: each answer is checked by itself.
func TestEachConnectionIsChecked(t *testing.T) {
	rec := &recorder{}
	answers := []string{"8.8.8.8", "10.0.0.1", "8.8.4.4"}
	o := Options{Dial: rec.dial, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		a := netip.MustParseAddr(answers[0])
		answers = answers[1:]
		return []netip.Addr{a}, nil
	}}
	c := newClient(t, o)
	for i, refused := range []bool{false, true, false} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://rebind.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		if errors.Is(err, ErrRefused) != refused {
			t.Errorf("connection %d: %v, want refused %v", i, err, refused)
		}
	}
	if !slices.Equal(rec.dialled, []string{"8.8.8.8:443", "8.8.4.4:443"}) {
		t.Errorf("connected to %v", rec.dialled)
	}
}

// No refused address of any class gets as far as the dialer, by name or by number.
func TestNothingIsDialledForARefusedAddress(t *testing.T) {
	for _, classes := range []map[string][]string{refusedAddresses(), neverAddresses()} {
		for class, addrs := range classes {
			for _, text := range addrs {
				addr := netip.MustParseAddr(text)
				rec := &recorder{}
				byNumber := "https://" + strings.Replace(netip.AddrPortFrom(addr, 443).String(), "%", "%25", 1) + "/"
				if err := get(t, Options{Dial: rec.dial}, byNumber); !errors.Is(err, ErrRefused) {
					t.Errorf("%s: GET %s = %v, want ErrRefused", class, byNumber, err)
				}
				if addr.Is4In6() && addr.Unmap().String() == "8.8.8.8" {
					continue // from a resolver that is how a plain A record looks
				}
				if err := get(t, Options{Dial: rec.dial, Lookup: names(text)}, "https://hooks.example/"); !errors.Is(err, ErrRefused) {
					t.Errorf("%s: a name for %s = %v, want ErrRefused", class, text, err)
				}
				if len(rec.dialled) > 0 {
					t.Errorf("%s: connected to %v", class, rec.dialled)
				}
			}
		}
	}
}

// A name that resolves to a mix is refused as a whole, whatever the order.
func TestNothingIsDialledForANameWithOneRefusedAddress(t *testing.T) {
	for _, mix := range [][]string{{"8.8.8.8", "10.0.0.1"}, {"10.0.0.1", "8.8.8.8"}, {"8.8.8.8", "2606:4700::1", "::1"}} {
		rec := &recorder{}
		if err := get(t, Options{Dial: rec.dial, Lookup: addrs(mix...)}, "https://hooks.example/"); !errors.Is(err, ErrRefused) || len(rec.dialled) > 0 {
			t.Errorf("%v: Do = %v, connected to %v", mix, err, rec.dialled)
		}
	}
}

// Go's resolver gives A records in the mapped form; that alone is no reason to refuse.
func TestARecordsInTheMappedFormAreIPv4(t *testing.T) {
	rec := &recorder{}
	err := get(t, Options{Dial: rec.dial, Lookup: names("::ffff:8.8.8.8")}, "https://hooks.example/")
	if !errors.Is(err, errNoRoute) || !slices.Equal(rec.dialled, []string{"8.8.8.8:443"}) {
		t.Errorf("Do = %v, connected to %v", err, rec.dialled)
	}
}

// Numbers that the C library would take for 127.0.0.1 are names here, and asked for as such.
func TestOddNumbersAreNotAddresses(t *testing.T) {
	for _, host := range []string{"2130706433", "0x7f000001", "127.1", "0177.0.0.1", "0x7f.1"} {
		var asked []string
		rec := &recorder{}
		o := Options{Dial: rec.dial, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			asked = append(asked, host)
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}}
		if err := get(t, o, "https://"+host+"/"); err == nil || !slices.Equal(asked, []string{host}) || len(rec.dialled) > 0 {
			t.Errorf("%s: %v, asked for %v, connected to %v", host, err, asked, rec.dialled)
		}
	}
}

func TestUnknownNamesAreNotRefused(t *testing.T) {
	for name, lookup := range map[string]func(context.Context, string) ([]netip.Addr, error){
		"not found": func(_ context.Context, host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		},
		"no address": func(context.Context, string) ([]netip.Addr, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			err := get(t, Options{Lookup: lookup}, "https://hooks.example/?token=hunter2")
			if err == nil || errors.Is(err, ErrRefused) {
				t.Fatalf("Do = %v, want a failure that may pass", err)
			}
			if !strings.Contains(err.Error(), "hooks.example") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q must name the host and not the query", err)
			}
		})
	}
}

func TestErrorsDoNotNameTheResolver(t *testing.T) {
	err := hideServer(&net.DNSError{Err: "no such host", Name: "hooks.example", Server: "10.0.0.2:53", IsNotFound: true})
	var fault *net.DNSError
	if !errors.As(err, &fault) || !fault.IsNotFound || strings.Contains(err.Error(), "10.0.0.2") {
		t.Errorf("%v: want a DNS error that is still one, without its server", err)
	}
	if hideServer(nil) != nil || !errors.Is(hideServer(io.EOF), io.EOF) {
		t.Error("other errors must stay what they are")
	}
}

func addrs(texts ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) ([]netip.Addr, error) {
		var found []netip.Addr
		for _, text := range texts {
			found = append(found, netip.MustParseAddr(text))
		}
		return found, nil
	}
}

func TestEachAddressIsTried(t *testing.T) {
	rec := &recorder{}
	err := get(t, Options{Dial: rec.dial, Lookup: addrs("2606:4700::1", "1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9")}, "https://hooks.example/")
	want := []string{"[2606:4700::1]:443", "1.1.1.1:443", "1.0.0.1:443", "8.8.8.8:443"}
	if !errors.Is(err, errNoRoute) || !slices.Equal(rec.dialled, want) {
		t.Errorf("Do = %v, connected to %v, want %v", err, rec.dialled, want)
	}
}

func TestConnectTimeout(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, o := range map[string]Options{
		"a name that nobody answers for": {Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) { return nil, hang(ctx) }},
		"an address that stays silent":   {Lookup: names("8.8.8.8"), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, hang(ctx) }},
		"several that stay silent":       {Lookup: addrs("8.8.8.8", "8.8.4.4", "1.1.1.1"), Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, hang(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := get(t, o, "https://hooks.example/")
				if took := time.Since(start); took != 5*time.Second || !errors.Is(err, errConnectTimeout) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Do = %v after %v, want the connect timeout after 5s", err, took)
				}
			})
		})
	}
}

// A first address that stays silent leaves time for the second.
func TestSilentAddressLeavesTimeForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var second time.Duration
		start := time.Now()
		o := Options{Lookup: addrs("2606:4700::1", "1.1.1.1"), Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr == "1.1.1.1:443" {
				second = time.Since(start)
				return nil, errNoRoute
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		if err := get(t, o, "https://hooks.example/"); !errors.Is(err, errNoRoute) || second != 2500*time.Millisecond {
			t.Errorf("Do = %v, the second address was tried after %v, want 2.5s", err, second)
		}
	})
}

// What a name of ours resolves to is not for the tenants who read the error in the end.
func TestErrorsHoldNoAddress(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		_ = conn.Close()
	})
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, closed, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	o := dev()
	o.Lookup = names("127.0.0.1")
	for what, port := range map[string]string{"reset": port, "refused": closed} {
		_, err := post(t, newClient(t, o), "http://db.internal.example:"+port)
		if err == nil || strings.Contains(err.Error(), "127.0.0.1") || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
