package provider

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

// settings are what a source must say for each generic provider.
func settings(name string) Settings {
	switch name {
	case "hmac":
		return Settings{HMAC: &HMAC{Header: "X-Signature"}}
	case "basic":
		return Settings{Basic: &Basic{Username: "causeway"}}
	}
	return Settings{}
}

func mustNew(t testing.TB, name string, s Settings) *Provider {
	t.Helper()
	p, err := New(name, s)
	if err != nil {
		t.Fatalf("New(%s): %v", name, err)
	}
	return p
}

func mustKey(t testing.TB, p *Provider, text string) signature.Key {
	t.Helper()
	k, err := p.Key(secret.New([]byte(text)), true)
	if err != nil {
		t.Fatalf("%s: key: %v", p.Name(), err)
	}
	return k
}

func TestNames(t *testing.T) {
	want := []string{"basic", "github", "gitlab", "hmac", "shopify", "slack", "standard-webhooks", "stripe", "svix", "token"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// Every preset, with each of its schemes, has no fault in itself.
func TestEveryPresetIsSound(t *testing.T) {
	defs, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range defs {
		for i, def := range d.Schemes {
			s := settings(d.Name)
			if len(d.Schemes) > 1 {
				s.Scheme = def.Name
			}
			p, err := New(d.Name, s)
			if err != nil {
				t.Errorf("%s, %s: %v", d.Name, def.Name, err)
				continue
			}
			if d.Title == "" || len(d.Samples) == 0 || d.Samples[0].Type == "*" {
				t.Errorf("%s: wants a title and a default sample", d.Name)
			}
			for _, name := range p.AuthHeaders() {
				if slices.Contains(p.Headers(), name) || name != strings.ToLower(name) {
					t.Errorf("%s: the header %s authenticates", d.Name, name)
				}
			}
			if _, err := p.Key(secret.New([]byte(p.Generate())), false); err != nil {
				t.Errorf("%s, %s: its own secret: %v", d.Name, def.Name, err)
			}
			if i == 0 && p.Methods()[0] != http.MethodPost {
				t.Errorf("%s: methods %v", d.Name, p.Methods())
			}
		}
	}
}

func TestWhatPresetsSay(t *testing.T) {
	for _, tc := range []struct {
		provider           string
		settings           Settings
		verifiedBy, replay string
		auth               string // one of the headers that authenticate
		timeout            time.Duration
	}{
		{"stripe", Settings{}, "stripe", "timestamp", "stripe-signature", 0},
		{"github", Settings{}, "github", "window", "x-hub-signature-256", 9 * time.Second},
		{"gitlab", Settings{}, "gitlab/token", "none", "x-gitlab-token", 9 * time.Second},
		{"gitlab", Settings{}, "gitlab/token", "none", "webhook-signature", 9 * time.Second},
		{"gitlab", Settings{Scheme: "signing_token"}, "gitlab/signing_token", "timestamp", "x-gitlab-token", 9 * time.Second},
		{"shopify", Settings{}, "shopify", "window", "x-shopify-hmac-sha256", 4 * time.Second},
		{"slack", Settings{}, "slack", "timestamp", "x-slack-signature", 2500 * time.Millisecond},
		{"svix", Settings{}, "svix", "timestamp", "webhook-signature", 0},
		{"svix", Settings{}, "svix", "timestamp", "cookie", 0},
		{"hmac", settings("hmac"), "hmac", "window", "x-signature", 0},
		{"token", Settings{}, "token", "none", "authorization", 0},
	} {
		p := mustNew(t, tc.provider, tc.settings)
		if p.Name() != tc.provider || p.VerifiedBy() != tc.verifiedBy || p.Replay() != tc.replay || p.ReplyTimeout() != tc.timeout || p.BearerBody() {
			t.Errorf("%s: name %s, verified by %s, replay %s, timeout %s, bearer %v", tc.provider, p.Name(), p.VerifiedBy(), p.Replay(), p.ReplyTimeout(), p.BearerBody())
		}
		if !slices.Contains(p.AuthHeaders(), tc.auth) {
			t.Errorf("%s: %s is not among %v", tc.provider, tc.auth, p.AuthHeaders())
		}
	}
}

func TestNewListsEveryFault(t *testing.T) {
	empty := ""
	for name, tc := range map[string]struct {
		provider string
		settings Settings
		keys     []string
		say      string
	}{
		"an unknown provider":            {"strpe", Settings{}, []string{"provider"}, "stripe, svix, token"},
		"an unknown scheme":              {"gitlab", Settings{Scheme: "basic"}, []string{"scheme"}, "token, signing_token"},
		"a scheme where there's one":     {"stripe", Settings{Scheme: "signature"}, []string{"scheme"}, "has only one"},
		"settings of generic providers":  {"stripe", Settings{HMAC: &HMAC{}, Token: &Token{}, Basic: &Basic{}}, []string{"basic", "hmac", "token"}, "is for provider hmac"},
		"hmac without its settings":      {"hmac", Settings{}, []string{"hmac"}, "at least hmac.header"},
		"basic without its settings":     {"basic", Settings{}, []string{"basic"}, "basic.username"},
		"basic without a user":           {"basic", Settings{Basic: &Basic{}}, []string{"basic.username"}, "without a colon"},
		"a token in no header":           {"token", Settings{Token: &Token{Header: "X Y", Prefix: &empty}}, []string{"token.header"}, "not a header's name"},
		"rules that cannot be read":      {"github", Settings{Event: EventRules{ID: "$.id", Type: "body.type", Occurred: "now"}}, []string{"event.id", "event.occurred", "event.type"}, "json:$.PATH, header:NAME, query:NAME, and not random"},
		"rules and settings both":        {"hmac", Settings{HMAC: &HMAC{Header: "X"}, Event: EventRules{ID: "id"}, Scheme: "x"}, []string{"event.id", "scheme"}, ""},
		"a time that is not signed":      {"hmac", Settings{HMAC: &HMAC{Header: "X", Timestamp: &Timestamp{Header: "X-Time"}}}, []string{"hmac.timestamp.header"}, "add {header:X-Time} to message"},
		"parameters without a list":      {"hmac", Settings{HMAC: &HMAC{Header: "X", Message: []string{"{sig.t}", "{body}"}}}, []string{"hmac.message[0]"}, ""},
		"everything wrong in one source": {"hmac", Settings{HMAC: &HMAC{Algorithm: "md5", Encoding: "b64", Key: "rot", Message: []string{"{boddy}"}, Timestamp: &Timestamp{Header: "T", Unit: "h", Tolerance: "x"}}}, []string{"hmac.algorithm", "hmac.encoding", "hmac.header", "hmac.key", "hmac.message", "hmac.message[0]", "hmac.timestamp.header", "hmac.timestamp.tolerance", "hmac.timestamp.unit"}, `"md5" is not one of sha256, sha1, sha512`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.provider, tc.settings)
			if err == nil {
				t.Fatal("no error")
			}
			list := []error{err}
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				list = joined.Unwrap()
			}
			var keys []string
			for _, err := range list {
				fault, ok := errors.AsType[signature.Fault](err)
				if !ok {
					t.Fatalf("not a Fault: %v", err)
				}
				keys = append(keys, fault.Key)
			}
			slices.Sort(keys)
			if !slices.Equal(keys, tc.keys) || !strings.Contains(err.Error(), tc.say) {
				t.Errorf("got %q\nwant %q, and to be told %q\n%v", keys, tc.keys, tc.say, err)
			}
		})
	}
}

// A preset that claims a unique ID must have it in what is signed.
func TestAnUnsignedIDIsNotUnique(t *testing.T) {
	d, err := find("github")
	if err != nil {
		t.Fatal(err)
	}
	claim := *d
	claim.Schemes = slices.Clone(d.Schemes)
	claim.Schemes[0].Event.Unique = true
	if _, err := claim.compile(Settings{}); err == nil || !strings.Contains(err.Error(), "event.unique") {
		t.Errorf("got %v", err)
	}
}

func TestSamplesVerify(t *testing.T) {
	now := time.Now()
	for _, name := range Names() {
		p := mustNew(t, name, settings(name))
		keys := []signature.Key{mustKey(t, p, p.Generate())}
		for _, typ := range append(p.Types(), "") {
			t.Run(name+" "+typ, func(t *testing.T) {
				m, err := p.Sample(typ, 7)
				if err != nil {
					t.Fatal(err)
				}
				if !json.Valid(m.Body) || m.Header.Get("Content-Type") != "application/json" {
					t.Errorf("not JSON: %s", m.Body)
				}
				if strings.Contains(string(m.Body), "${") {
					t.Errorf("not filled in: %s", m.Body)
				}
				if err := p.Sign(m, keys, now); err != nil {
					t.Fatal(err)
				}
				if err := p.Verify(m, keys, now); err != nil {
					t.Fatalf("its own sample: %v", err)
				}
			})
		}
	}
}

// Where a preset knows IDs and types, samples have them: a fresh ID each time,
// and the type that was asked for.
func TestSamplesHaveFacts(t *testing.T) {
	for _, name := range []string{"stripe", "github", "gitlab", "shopify", "slack", "standard-webhooks", "svix"} {
		p := mustNew(t, name, Settings{})
		ids := map[string]bool{}
		for _, typ := range p.Types() {
			for n := range 3 {
				m, err := p.Sample(typ, n)
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := p.Handshake(m); ok {
					continue
				}
				f := p.Facts(m)
				if f.Type != typ || f.ID == "" || ids[f.ID] {
					t.Errorf("%s, %s: %+v", name, typ, f)
				}
				ids[f.ID] = true
			}
		}
	}
}

func TestSamplesOfOtherTypes(t *testing.T) {
	for name, typ := range map[string]string{
		"stripe": "charge.refunded", "github": "release.published", "shopify": "carts/update",
		"standard-webhooks": "a.b.c", "svix": "a.b.c", "hmac": "x", "token": "x", "basic": "x",
	} {
		s := settings(name)
		if name == "hmac" || name == "token" || name == "basic" {
			s.Event.Type = "json:$.type"
		}
		p := mustNew(t, name, s)
		m, err := p.Sample(typ, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := p.Facts(m).Type; got != typ || !json.Valid(m.Body) {
			t.Errorf("%s: type %q in %s", name, got, m.Body)
		}
	}
	for name, typ := range map[string]string{"slack": "no_such", "gitlab": "No Such Hook", "stripe": `a","b":"`} {
		_, err := mustNew(t, name, Settings{}).Sample(typ, 1)
		if err == nil || !strings.Contains(err.Error(), mustNew(t, name, Settings{}).Types()[0]) {
			t.Errorf("%s: want an error that lists the types: %v", name, err)
		}
	}
}

// A generic source's sample is signed as its settings say, and has ID and type
// where its rules look.
func TestSamplesOfGenericSourcesFollowTheirRules(t *testing.T) {
	for name, event := range map[string]EventRules{
		"body":           {ID: "json:$.meta.event['the id']", Type: "json:$.kind"},
		"header":         {ID: "header:X-Event-Id", Type: "header:X-Event-Type"},
		"a second place": {ID: "json:$.event_id | header:X-Other", Type: "json:$.type"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustNew(t, "hmac", Settings{Event: event, HMAC: &HMAC{
				Header: "X-Sig", Algorithm: "sha512", Encoding: "base64", Prefix: "s=", Key: "whsec",
				Message:   []string{"{header:X-Nonce}", "|", "{header:X-Time}", "|", "{body}"},
				Timestamp: &Timestamp{Header: "X-Time", Unit: "rfc3339", Tolerance: "1m"},
			}})
			keys := []signature.Key{mustKey(t, p, p.Generate())}
			ids := map[string]bool{}
			for n := range 3 {
				m, err := p.Sample("order.paid", n)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Sign(m, keys, time.Now()); err != nil {
					t.Fatal(err)
				}
				if err := p.Verify(m, keys, time.Now()); err != nil {
					t.Fatal(err)
				}
				f := p.Facts(m)
				if f.ID == "" || ids[f.ID] || f.Type != "order.paid" {
					t.Errorf("%+v of %v %s", f, m.Header, m.Body)
				}
				ids[f.ID] = true
			}
		})
	}
}

func TestSlackHandshake(t *testing.T) {
	p := mustNew(t, "slack", Settings{})
	post := func(body string) *signature.Message {
		return &signature.Message{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body)}
	}
	reply, ok := p.Handshake(post(`{"token":"x","challenge":"3eZbrw1aBm2r","type":"url_verification"}`))
	if !ok || reply.Status != 200 || string(reply.Body) != "3eZbrw1aBm2r" || !strings.HasPrefix(reply.ContentType, "text/plain") {
		t.Errorf("got %+v, %v", reply, ok)
	}
	for name, body := range map[string]string{
		"an event":             `{"type":"event_callback","challenge":"x"}`,
		"no challenge":         `{"type":"url_verification"}`,
		"a challenge too long": `{"type":"url_verification","challenge":"` + strings.Repeat("x", 1025) + `"}`,
		"type somewhere else":  `{"a":{"type":"url_verification"},"challenge":"x"}`,
	} {
		if reply, ok := p.Handshake(post(body)); ok {
			t.Errorf("%s: answered %+v", name, reply)
		}
	}
	m := post(`{"challenge":"x","type":"url_verification"}`)
	m.Method = http.MethodGet
	if _, ok := p.Handshake(m); ok {
		t.Error("a GET, which carries no signature, was answered")
	}
	if got := p.Methods(); !slices.Equal(got, []string{"POST"}) {
		t.Errorf("methods %v", got)
	}
	if reply, ok := p.Reply(); !ok || reply.Status != 200 || len(reply.Body) != 0 {
		t.Errorf("its answer to events: %+v, %v", reply, ok)
	}
	if _, ok := mustNew(t, "stripe", Settings{}).Reply(); ok {
		t.Error("stripe wants no answer of its own")
	}
}

func TestGeneratedSecretsLookLikeTheProviders(t *testing.T) {
	for name, prefix := range map[string]string{"stripe": "whsec_", "standard-webhooks": "whsec_", "svix": "whsec_", "github": "", "hmac": ""} {
		p := mustNew(t, name, settings(name))
		if a, b := p.Generate(), p.Generate(); a == b || !strings.HasPrefix(a, prefix) || len(a) < 44 {
			t.Errorf("%s: %d characters, beginning %.6s", name, len(a), a)
		}
	}
	if got := mustNew(t, "gitlab", Settings{Scheme: "signing_token"}).Generate(); !strings.HasPrefix(got, "whsec_") {
		t.Error("gitlab's signing token is not one")
	}
}

func TestGenericToken(t *testing.T) {
	empty, key := "", "Key "
	for name, tc := range map[string]struct {
		token *Token
		value string
	}{
		"by default":          {nil, "Bearer "},
		"nothing said":        {&Token{}, "Bearer "},
		"another header":      {&Token{Header: "X-Api-Key"}, ""},
		"no prefix":           {&Token{Header: "Authorization", Prefix: &empty}, ""},
		"a prefix of its own": {&Token{Prefix: &key}, "Key "},
	} {
		p := mustNew(t, "token", Settings{Token: tc.token})
		const text = "a token of some length"
		m := &signature.Message{}
		if err := p.Sign(m, []signature.Key{mustKey(t, p, text)}, time.Now()); err != nil {
			t.Fatal(err)
		}
		header := "Authorization"
		if tc.token != nil && tc.token.Header != "" {
			header = tc.token.Header
		}
		if got := m.Header.Get(header); got != tc.value+text {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"stripe", "github", "svix"} {
		b.Run(name, func(b *testing.B) {
			p := mustNew(b, name, Settings{})
			keys := []signature.Key{mustKey(b, p, p.Generate())}
			m, err := p.Sample("", 1)
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			if err := p.Sign(m, keys, now); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Verify(m, keys, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSample(b *testing.B) {
	p := mustNew(b, "stripe", Settings{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Sample("", 1); err != nil {
			b.Fatal(err)
		}
	}
}
