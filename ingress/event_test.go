package ingress

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"causeway/pkg/catalog"
	"causeway/pkg/provider"
	"causeway/pkg/signature"
	"causeway/schemas"
)

func TestEventID(t *testing.T) {
	long := strings.Repeat("x", 256)
	hashed := func(id string) string { return digest("id", id) }
	for name, tc := range map[string]struct{ id, want string }{
		"as the provider has it":            {"evt_1", "evt_1"},
		"dots, slashes, quotes are visible": {`a.b/c"d\e`, `a.b/c"d\e`},
		"as long as may be":                 {long, long},
		"a byte too long":                   {long + "x", hashed(long + "x")},
		"a space":                           {"a b", hashed("a b")},
		"CR and LF":                         {"a\r\nx-injected: 1", hashed("a\r\nx-injected: 1")},
		"a NUL":                             {"a\x00b", hashed("a\x00b")},
		"DEL":                               {"a\x7f", hashed("a\x7f")},
		"letters beyond ASCII":              {"ä", hashed("ä")},
		"no UTF-8":                          {"a\xff", hashed("a\xff")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := eventID(provider.Facts{ID: tc.id}, "src", []byte("{}")); got != tc.want {
				t.Errorf("eventID(%q) = %q, want %q", tc.id, got, tc.want)
			}
		})
	}
}

func TestEventsWithoutAnID(t *testing.T) {
	none := provider.Facts{}
	one := eventID(none, "src", []byte("a"))
	for name, other := range map[string]string{
		"another body":               eventID(none, "src", []byte("b")),
		"another source":             eventID(none, "src2", []byte("a")),
		"an ID that is like a body":  eventID(provider.Facts{ID: "src\x00a"}, "src", nil),
		"a source and body shifted":  eventID(none, "sr", []byte("\x00a")),
		"a random ID, asked for":     eventID(provider.Facts{Random: true}, "src", []byte("a")),
		"an ID that is like a hash":  eventID(provider.Facts{ID: "body\x00src\x00a"}, "src", nil),
		"an empty body":              eventID(none, "src", nil),
		"a body in place of another": eventID(none, "", []byte("src\x00a")),
	} {
		if one == other {
			t.Errorf("%s gave the same ID %s", name, one)
		}
	}
	if again := eventID(none, "src", []byte("a")); again != one {
		t.Errorf("the same body gave %s and %s", one, again)
	}
	random := provider.Facts{Random: true}
	if first, second := eventID(random, "src", nil), eventID(random, "src", nil); first == second {
		t.Error("two random IDs are the same")
	}
}

func TestEventType(t *testing.T) {
	x := strings.Repeat("x", 200)
	for name, tc := range map[string]struct{ typ, want string }{
		"none":                          {"", ""},
		"as the provider has it":        {"invoice.payment_succeeded", "invoice.payment_succeeded"},
		"every byte that is allowed":    {"aZ09._:/%-", "aZ09._:/%-"},
		"a space":                       {"Push Hook", "Push%20Hook"},
		"CR and LF":                     {"a\r\nx: y", "a%0D%0Ax:%20y"},
		"letters beyond ASCII":          {"größe", "gr%C3%B6%C3%9Fe"},
		"as long as may be":             {x[:128], x[:128]},
		"a byte too long":               {x[:129], x[:128]},
		"an escape just fits":           {x[:125] + " y", x[:125] + "%20"},
		"an escape is never cut in two": {x[:126] + " y", x[:126]},
		"nor when it is not the last":   {x[:127] + " ", x[:127]},
	} {
		t.Run(name, func(t *testing.T) {
			if got := schemas.CleanType(tc.typ); got != tc.want {
				t.Errorf("CleanType(%q) = %q, want %q", tc.typ, got, tc.want)
			}
		})
	}
}

func TestTenant(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, tc := range map[string]struct{ tenant, want string }{
		"none":                 {"", ""},
		"a plain one":          {"acme", "acme"},
		"one that people have": {"Müller & Söhne", "Müller & Söhne"},
		"a line break":         {"acme\nevil", digest("tenant", "acme\nevil")},
		"no UTF-8":             {"\xff", digest("tenant", "\xff")},
		"as long as may be":    {long, long},
		"too long":             {long + "x", digest("tenant", long+"x")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tenant(tc.tenant); got != tc.want {
				t.Errorf("tenant(%q) = %q, want %q", tc.tenant, got, tc.want)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	src := func(cluster, topic, uid string) *source {
		return &source{cluster: []byte(cluster), topicName: []byte(topic), uid: []byte(uid)}
	}
	one := src("c", "t", "s").identity("id", []byte("body"), true)
	for name, other := range map[string]interface{ String() string }{
		"another cluster":          src("d", "t", "s").identity("id", []byte("body"), true),
		"another topic":            src("c", "u", "s").identity("id", []byte("body"), true),
		"another source":           src("c", "t", "r").identity("id", []byte("body"), true),
		"another ID":               src("c", "t", "s").identity("ie", []byte("body"), true),
		"an ID that is not unique": src("c", "t", "s").identity("id", []byte("body"), false),
		"parts shifted":            src("c", "ts", "").identity("id", []byte("body"), true),
	} {
		if one.String() == other.String() {
			t.Errorf("%s has the same identity", name)
		}
	}
	if again := src("c", "t", "s").identity("id", []byte("other body"), true); again != one {
		t.Error("the body counts although the ID is unique")
	}
	if src("c", "t", "s").identity("id", []byte("a"), false) == src("c", "t", "s").identity("id", []byte("b"), false) {
		t.Error("the body does not count although the ID is not unique")
	}
}

func TestTraceparent(t *testing.T) {
	good := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, tc := range map[string]struct {
		values []string
		want   string
	}{
		"well formed":     {[]string{good}, good},
		"none":            {nil, ""},
		"two":             {[]string{good, good}, ""},
		"upper case":      {[]string{strings.ToUpper(good)}, ""},
		"another version": {[]string{"01" + good[2:]}, ""},
		"too long":        {[]string{good + "-00"}, ""},
		"no trace":        {[]string{"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01"}, ""},
		"no span":         {[]string{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}, ""},
		"not hex":         {[]string{"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"}, ""},
		"dashes moved":    {[]string{"000-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, ""},
		"empty":           {[]string{""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := traceparent(http.Header{"Traceparent": tc.values}); got != tc.want {
				t.Errorf("traceparent(%q) = %q, want %q", tc.values, got, tc.want)
			}
		})
	}
}

// newSources gives sources as receive has them.
func newSources(t testing.TB, specs ...*catalog.Source) []*source {
	t.Helper()
	s := New(Options{Client: offline(t)})
	var out []*source
	for _, spec := range specs {
		out = append(out, s.newSource(spec, &sourceRate{}, &budget{}))
	}
	return out
}

func TestKeyAndTenantOfASource(t *testing.T) {
	pick := func(text string) func(*signature.Message) string {
		p, err := provider.ParsePick(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	src := newSources(t, stripe(t, func(src *catalog.Source) {
		src.Key, src.Tenant = pick("json:$.customer"), pick("header:X-Account")
		src.Headers = []string{"x-account", "x-twice"}
	}))[0]
	for name, tc := range map[string]struct{ body, account, key, tenant string }{
		"both there":       {`{"id":"e","customer":"cus_1"}`, "acme", "cus_1", "acme"},
		"neither there":    {`{"id":"e"}`, "", "e", ""},
		"a key beyond all": {`{"id":"e","customer":"` + strings.Repeat("k", 5000) + `"}`, "", digest("long", strings.Repeat("k", 5000)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &signature.Message{Method: "POST", URL: "/webhooks/stripe", Body: []byte(tc.body), Header: http.Header{
				"X-Account": {tc.account}, "X-Twice": {"1", "2"}, "Stripe-Signature": {"t=1"}, "Cookie": {"c"},
			}}
			e := src.newEvent(m, m, time.Now())
			rec, err := new(Server).record(src, e)
			if err != nil {
				t.Fatal(err)
			}
			if string(rec.Key) != tc.key || e.Tenant != tc.tenant {
				t.Errorf("key %q, tenant %q, want %q, %q", rec.Key, e.Tenant, tc.key, tc.tenant)
			}
			want := []schemas.Header{{Name: "x-account", Value: tc.account}, {Name: "x-twice", Value: "1"}, {Name: "x-twice", Value: "2"}}
			if len(e.Headers) != 3 || e.Headers[0] != want[0] || e.Headers[1] != want[1] || e.Headers[2] != want[2] {
				t.Errorf("headers %v, want %v", e.Headers, want)
			}
		})
	}
}

// FuzzEvent wants every verified request, however strange, to become a record that reads
// back as the same event.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"id":"evt_1","type":"a.b","created":1}`), "application/json", "v")
	f.Add([]byte(`{"id":"a\r\nb","type":" \u0000","created":99999999999999999999}`), "a/b\xff", "\x80")
	f.Add([]byte("\x1f\x8b\x00"), "", "")
	f.Add([]byte(`{"id":{"id":[]},"type":1e999,"customer":null}`), "x", "\t")
	var specs []*catalog.Source
	for _, format := range []schemas.Format{schemas.Raw, schemas.Avro, schemas.CloudEvents} {
		specs = append(specs, newSource(f, "github", "github", provider.Settings{Event: provider.EventRules{
			ID: "json:$.id | header:X-Value", Type: "json:$.type", Occurred: "json:$.created",
		}}, func(src *catalog.Source) {
			src.Format = format
			src.Headers = []string{"x-value"}
			src.Tenant = func(m *signature.Message) string { return m.Header.Get("X-Value") }
			src.Key = src.Tenant
		}))
	}
	sources := newSources(f, specs...)
	f.Fuzz(func(t *testing.T, body []byte, contentType, value string) {
		for _, src := range sources {
			m := &signature.Message{
				Method: "POST", URL: "/webhooks/github", Body: body,
				Header: http.Header{"Content-Type": {contentType}, "X-Value": {value}},
			}
			e := src.newEvent(m, m, time.Now())
			if e.ID == "" || schemas.CleanID(e.ID) != e.ID || schemas.CleanType(e.Type) != e.Type || !utf8.ValidString(e.Tenant) {
				t.Fatalf("ID %q, type %q, tenant %q", e.ID, e.Type, e.Tenant)
			}
			rec, err := new(Server).record(src, e)
			if err != nil {
				t.Fatalf("%s: %v", src.Format, err)
			}
			back, err := schemas.FromRecord(rec)
			if err != nil {
				t.Fatalf("%s: read back: %v", src.Format, err)
			}
			if back.ID != e.ID || back.Type != e.Type || back.Tenant != e.Tenant || back.Identity != e.Identity || string(back.Body) != string(body) {
				t.Fatalf("%s: got %+v, want %+v", src.Format, back, e.Event)
			}
		}
	})
}
