package admin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/pkg/catalog"
)

// What is wrong many times costs no more than what is wrong some times.
func TestManyFaults(t *testing.T) {
	w := newWorld(t)
	w.source("orders")
	w.tenant("acme", "orders")
	key := w.key("acme", "editor")
	body := func(field string) string {
		return `{"spec":{"name":"x","url":"https://a.example.com/","sources":["orders"],` + field + `}}`
	}
	many := func(item string, n int) string { return "[" + strings.Repeat(item+",", n) + item + "]" }
	w.refusal(413, "too_large", "POST", "/subscriptions", key, body(`"types":`+many("0", 20_000)))
	w.refusal(413, "too_large", "POST", "/subscriptions", key, body(`"types":["`+strings.Repeat("x", 400<<10)+`"]`))
	for name, in := range map[string]string{
		"of the wrong type": body(`"types":` + many("0", 9_000)),
		"that are none":     body(`"retry":{"never_on":` + many("1", 250) + `}`),
		"too long":          body(`"types":` + many(`"`+strings.Repeat("x", 300)+`"`, 100)),
	} {
		p := w.refusal(422, "invalid", "POST", "/subscriptions", key, in)
		if len(p.Errors) < 50 || len(p.Errors) > mostErrors {
			t.Errorf("%s: %d errors are listed", name, len(p.Errors))
		}
	}
	if n := len(invalid(make([]catalog.Fault, 1000)).Errors); n != mostErrors {
		t.Errorf("of a thousand faults %d are listed", n)
	}
	p := w.refusal(422, "invalid", "POST", "/subscriptions", key, body(`"retry":{"never_on":`+many("1", 5_000)+`}`))
	if len(p.Errors) != 1 {
		t.Errorf("of a list that is too long: %+v", p.Errors)
	}
}

// Kafka is asked once for what many ask within a moment.
func TestTopicsAreLookedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, fail := 0, errors.New("Kafka is away")
		l := newLooks()
		look := func() ([]Topic, error) {
			return l.topics(t.Context(), func(context.Context) ([]Topic, error) {
				asked++
				time.Sleep(lookAge / 2)
				return []Topic{{Name: "webhooks.a"}}, fail
			})
		}
		if _, err := look(); err == nil {
			t.Error("a failure is an answer")
		}
		fail = nil
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if topics, err := look(); err != nil || len(topics) != 1 {
					t.Errorf("%v, %v", topics, err)
				}
			})
		}
		wg.Wait()
		if asked != 2 {
			t.Errorf("Kafka was asked %d times, want 2", asked)
		}
		time.Sleep(2 * lookAge)
		if _, err := look(); err != nil || asked != 3 {
			t.Errorf("later it was asked %d times, want 3; %v", asked, err)
		}
	})
}

// A test that the audit cannot hold is not sent.
func TestATestIsAuditedBeforeItIsSent(t *testing.T) {
	sent := 0
	w := newWorld(t, func(o *Options) {
		o.Test = func(context.Context, *catalog.Subscription) TestResult {
			sent++
			return TestResult{OK: true}
		}
	})
	w.source("orders")
	w.subscription("", "billing", "orders")
	w.o.Catalog = unaudited{w.store}
	if got := w.ask("POST", "/subscriptions/billing/test", "", nil); got.Code < 500 || sent != 0 {
		t.Errorf("answered %d, sent %d", got.Code, sent)
	}
}

type unaudited struct{ *catalog.File }

func (unaudited) Audit(context.Context, ...catalog.AuditRecord) error {
	return errors.New("the audit topic is away")
}

// One address cannot take all connections.
func TestConnectionsOfOneAddress(t *testing.T) {
	from, refused := make(chan net.Conn, 10), 0
	l := newPerAddress(stub{from}, 2, func(netip.Addr) { refused++ })
	come := func(addr string) *closing {
		c := &closing{addr: addr}
		from <- c
		return c
	}
	accepted := func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	come("192.0.2.1:1")
	first := accepted()
	come("192.0.2.1:2")
	accepted()
	third := come("192.0.2.1:3")
	come("192.0.2.2:1")
	if c := accepted(); c.RemoteAddr().String() != "192.0.2.2:1" || !third.closed {
		t.Errorf("let in %s; the third of one address is closed: %v", c.RemoteAddr(), third.closed)
	}
	for range 2 { // closed twice, it counts once
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	come("192.0.2.1:4")
	accepted()
	come("192.0.2.1:5")
	come("[2001:db8::1]:1")
	if c := accepted(); c.RemoteAddr().String() != "[2001:db8::1]:1" {
		t.Errorf("let in %s", c.RemoteAddr())
	}
	come("[2001:db8::2]:1")
	accepted()
	come("[2001:db8::3]:1")
	come("[2001:db8:0:1::1]:1")
	if c := accepted(); c.RemoteAddr().String() != "[2001:db8:0:1::1]:1" {
		t.Errorf("a /64 counts as many: let in %s", c.RemoteAddr())
	}
	if refused != 3 {
		t.Errorf("%d were counted as refused, want 3", refused)
	}
}

type stub struct{ conns chan net.Conn }

func (l stub) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	default:
		return nil, errors.New("none was let in")
	}
}

func (l stub) Close() error   { return nil }
func (l stub) Addr() net.Addr { return address("127.0.0.1:8701") }

type closing struct {
	net.Conn
	addr   string
	closed bool
}

func (c *closing) RemoteAddr() net.Addr { return address(c.addr) }
func (c *closing) Close() error         { c.closed = true; return nil }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// Strangers keep no connection of those that are there for all.
func TestStrangersKeepNoConnection(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	w.o.Loopback = false
	for name, tc := range map[string]struct {
		path, key string
		want      string
	}{
		"without a key":     {"/sources", "", "close"},
		"with a wrong key":  {"/sources", "cwk_a_b", "close"},
		"the description":   {"/openapi.json", "", "close"},
		"with a key":        {"/sources", key, ""},
		"a refusal for one": {"/sources/nobody", key, ""},
	} {
		if got := w.ask("GET", tc.path, tc.key, nil).Header().Get("Connection"); got != tc.want {
			t.Errorf("%s: Connection %q, want %q", name, got, tc.want)
		}
	}
}
