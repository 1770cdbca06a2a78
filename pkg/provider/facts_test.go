package provider

import (
	"net/http"
	"testing"
	"time"

	"causeway/pkg/signature"
)

func TestFacts(t *testing.T) {
	hmac := func(event EventRules) Settings { return Settings{HMAC: &HMAC{Header: "X-Signature"}, Event: event} }
	for name, tc := range map[string]struct {
		provider string
		settings Settings
		header   map[string]string
		url      string
		body     string
		want     Facts
	}{
		"stripe": {
			provider: "stripe", body: `{"id":"evt_1","type":"invoice.paid","created":1533204620}`,
			want: Facts{ID: "evt_1", Type: "invoice.paid", Occurred: time.Unix(1533204620, 0), Unique: true},
		},
		"stripe, a thin event": {
			provider: "stripe", body: `{"id":"evt_2","type":"v1.billing.meter","created":"2022-02-15T00:27:45.330Z"}`,
			want: Facts{ID: "evt_2", Type: "v1.billing.meter", Occurred: time.UnixMilli(1644884865330), Unique: true},
		},
		"stripe, the user knows another ID": {
			provider: "stripe", settings: Settings{Event: EventRules{ID: "json:$.data.object.id"}},
			body: `{"id":"evt_1","data":{"object":{"id":"in_1"}}}`,
			want: Facts{ID: "in_1"},
		},
		"stripe, the user knows another type": {
			provider: "stripe", settings: Settings{Event: EventRules{Type: "json:$.object"}},
			body: `{"id":"evt_1","type":"a","object":"event"}`,
			want: Facts{ID: "evt_1", Type: "event", Unique: true},
		},
		"github, with an action": {
			provider: "github", header: map[string]string{"X-GitHub-Event": "issues", "X-GitHub-Delivery": "guid"},
			body: `{"action":"opened"}`, want: Facts{ID: "guid", Type: "issues.opened"},
		},
		"github, without one": {
			provider: "github", header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "guid"},
			body: `{"ref":"a"}`, want: Facts{ID: "guid", Type: "push"},
		},
		"github, the user says unique": {
			provider: "github", settings: Settings{Event: EventRules{Unique: true}},
			header: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "guid"},
			want:   Facts{ID: "guid", Type: "push", Unique: true},
		},
		"github, no headers": {provider: "github", body: `{}`},
		"gitlab": {
			provider: "gitlab", header: map[string]string{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "event", "Idempotency-Key": "key"},
			want: Facts{ID: "key", Type: "Push Hook"},
		},
		"gitlab before 17.4": {
			provider: "gitlab", header: map[string]string{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": "event"},
			want: Facts{ID: "event", Type: "Push Hook"},
		},
		"gitlab, signing token": {
			provider: "gitlab", settings: Settings{Scheme: "signing_token"},
			header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "unsigned", "webhook-id": "signed"},
			want:   Facts{ID: "signed", Type: "Push Hook", Unique: true},
		},
		"shopify": {
			provider: "shopify", header: map[string]string{"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "delivery", "X-Shopify-Event-Id": "event", "X-Shopify-Triggered-At": "2026-11-23T10:00:00.5+01:00"},
			want: Facts{ID: "delivery", Type: "orders/create", Occurred: time.Date(2026, 11, 23, 9, 0, 0, 5e8, time.UTC)},
		},
		"slack": {
			provider: "slack", body: `{"type":"event_callback","event_id":"Ev1","event_time":1355517523,"event":{"type":"app_mention"}}`,
			want: Facts{ID: "Ev1", Type: "app_mention", Occurred: time.Unix(1355517523, 0), Unique: true},
		},
		"slack, a slash command": {provider: "slack", body: `command=%2Fweather&trigger_id=1`},
		"standard": {
			provider: "standard-webhooks", header: map[string]string{"webhook-id": "msg_1"}, body: `{"type":"a.b","timestamp":"2022-11-03T20:26:10.344522Z"}`,
			want: Facts{ID: "msg_1", Type: "a.b", Occurred: time.Date(2022, 11, 3, 20, 26, 10, 344522000, time.UTC), Unique: true},
		},
		"generic, nothing said": {provider: "hmac", settings: hmac(EventRules{}), body: `{"id":5,"type":"a"}`},
		"generic, from the body": {
			provider: "hmac", settings: hmac(EventRules{ID: "json:$.list[1]['a.b']", Type: "json:$.type", Occurred: "json:$.at"}),
			body: `{"list":[{},{"a.b":12345678901234567890}],"type":true,"at":1355517523000}`,
			want: Facts{ID: "12345678901234567890", Type: "true", Occurred: time.Unix(1355517523, 0)},
		},
		"generic, a number as it was sent": {
			provider: "hmac", settings: hmac(EventRules{ID: "json:$.ts"}), body: `{"ts":1355517523.000500}`,
			want: Facts{ID: "1355517523.000500"},
		},
		"generic, from header and query": {
			provider: "hmac", settings: hmac(EventRules{ID: "header:x-event-id", Type: "query:t", Unique: true}),
			header: map[string]string{"X-Event-Id": "e1"}, url: "https://a.example/webhooks/x?t=a%20b",
			want: Facts{ID: "e1", Type: "a b", Unique: true},
		},
		"generic, two places and a second choice": {
			provider: "hmac", settings: hmac(EventRules{ID: "json:$.none | json:$.a + json:$.none + json:$.b", Unique: true}),
			body: `{"a":"x","b":"y"}`, want: Facts{ID: "x.y", Unique: true},
		},
		"generic, unique but nowhere": {provider: "hmac", settings: hmac(EventRules{ID: "json:$.id", Unique: true}), body: `{"id":{"not":"a value"}}`},
		"generic, random":             {provider: "hmac", settings: hmac(EventRules{ID: "random"}), body: `{}`, want: Facts{Random: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustNew(t, tc.provider, tc.settings)
			m := &signature.Message{Method: http.MethodPost, URL: tc.url, Header: http.Header{}, Body: []byte(tc.body)}
			for name, value := range tc.header {
				m.Header.Set(name, value)
			}
			got := p.Facts(m)
			if !got.Occurred.Equal(tc.want.Occurred) {
				t.Errorf("occurred %v, want %v", got.Occurred, tc.want.Occurred)
			}
			got.Occurred, tc.want.Occurred = time.Time{}, time.Time{}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-11-23T10:00:00Z":      time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
		"1355517523":                time.Unix(1355517523, 0),
		"1355517523.5":              time.UnixMilli(1355517523500),
		"1355517523123":             time.UnixMilli(1355517523123),
		"0":                         {},
		"-5":                        {},
		"9999999999999999999999":    {},
		"1e9":                       {},
		"1355517523.x":              {},
		"NaN":                       {},
		"yesterday":                 {},
		"2026-11-23 10:00:00 UTC":   {},
		"1355517523135551752313555": {},
	} {
		if got := parseTime(text); !got.Equal(want) && got.Sub(want).Abs() > time.Second {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	for text, ok := range map[string]bool{
		"":                          true,
		"json:$.a":                  true,
		"json:$.a.b[0].c":           true,
		"json:$[0].a":               true,
		"json:$['a b']['c.d'].e":    true,
		"header:X-Event":            true,
		"query:a":                   true,
		"header:A | json:$.b":       true,
		"header:A + json:$.b":       true,
		"json:a":                    false,
		"json:$":                    false,
		"json:$.":                   false,
		"json:$..a":                 false,
		"json:$.a[":                 false,
		"json:$.a[x]":               false,
		"json:$.a[-1]":              false,
		"json:$.a['b":               false,
		"json:$.a[]":                false,
		"json:$a":                   false,
		"header:":                   false,
		"header:A B":                false,
		"query:":                    false,
		"form:a":                    false,
		"random":                    false,
		"header:A | ":               false,
		"header:A || json:$.b":      false,
		"json:$.a + ":               false,
		"json:$.a,json:$.b":         true, // a key with a comma
		"header:A + header:B | x:y": false,
	} {
		if _, err := parseRule(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Keys mean themselves: nothing in a path is a wildcard, a query or a modifier.
func TestAPathIsNoQuery(t *testing.T) {
	for key, body := range map[string]string{
		"*": `{"a":"wrong","*":"right"}`, "a*": `{"ab":"wrong","a*":"right"}`, "?": `{"a":"wrong","?":"right"}`,
		"#": `{"#":"right"}`, "@reverse": `{"@reverse":"right"}`, "a|b": `{"a":{"b":"wrong"},"a|b":"right"}`,
		"!x": `{"!x":"right"}`, "a.b": `{"a":{"b":"wrong"},"a.b":"right"}`, `\`: `{"\\":"right"}`, "{a}": `{"{a}":"right"}`,
	} {
		r, err := parseRule("json:$['" + key + "']")
		if err != nil {
			t.Fatal(err)
		}
		if got := r.find(&signature.Message{Body: []byte(body)}); got != "right" {
			t.Errorf("%s in %s: %q", key, body, got)
		}
	}
}

func FuzzFacts(f *testing.F) {
	f.Add("json:$.a[0]", `{"a":["b"]}`)
	f.Add("json:$['*'].a + header:X-Event | query:q", `{"*":{"a":1e400}}`)
	f.Add("json:$.a", `{"a":`)
	f.Fuzz(func(t *testing.T, rule, body string) {
		p, err := New("hmac", Settings{HMAC: &HMAC{Header: "X"}, Event: EventRules{ID: rule, Type: rule, Occurred: rule}})
		if err != nil {
			return
		}
		p.Facts(&signature.Message{URL: body, Header: http.Header{"X-Event": {body}}, Body: []byte(body)})
	})
}

func BenchmarkFacts(b *testing.B) {
	for _, name := range []string{"stripe", "github"} {
		b.Run(name, func(b *testing.B) {
			p := mustNew(b, name, Settings{})
			m, err := p.Sample("", 1)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Facts(m)
			}
		})
	}
}

func TestParsePick(t *testing.T) {
	pick, err := ParsePick("json:$.account | header:X-Account")
	if err != nil {
		t.Fatal(err)
	}
	m := &signature.Message{Header: http.Header{"X-Account": {"b"}}, Body: []byte(`{"account":"a"}`)}
	if got := pick(m); got != "a" {
		t.Errorf("got %q", got)
	}
	m.Body = nil
	if got := pick(m); got != "b" {
		t.Errorf("without a body: %q", got)
	}
	if _, err := ParsePick("account"); err == nil {
		t.Error("no error")
	}
}
