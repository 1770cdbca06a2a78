package provider

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"causeway/pkg/signature"
)

// vector is a signed request that the provider, or its own verifier, published.
type vector struct {
	provider string
	settings Settings
	secret   string
	at       int64 // when it was signed, in seconds
	header   map[string]string
	body     string
}

func vectors() map[string]vector {
	const standardBody = `{"test": 2432232314}`
	standard := func(prefix, signature string) map[string]string {
		return map[string]string{
			prefix + "id": "msg_p5jXN8AQM9LWM0D4loKWxJek", prefix + "timestamp": "1614265330", prefix + "signature": signature,
		}
	}
	const v1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	const whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	return map[string]vector{
		// github.com/stripe/stripe-dotnet: EventUtilityTest.cs and Resources/event_test_signature.json.
		"stripe": {
			provider: "stripe", secret: "webhook_secret", at: 1533204620,
			header: map[string]string{"Stripe-Signature": "t=1533204620,v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7,v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef"},
			body: `{
  "id": "evt_123",
  "object": "event",
  "account": "acct_123",
  "api_version": "2017-05-25",
  "created": 1533204620,
  "data": {
    "object": {
      "id": "cus_123",
      "object": "customer",
      "created": 123456789,
      "email": "test@stripe.com",
      "livemode": false,
      "metadata": {}
    }
  },
  "livemode": false,
  "pending_webhooks": 1,
  "request": {
    "id": "req_123",
    "idempotency_key": "idempotency-key-123"
  },
  "type": "customer.created"
}
`,
		},
		// docs.github.com, "Testing the webhook payload validation".
		"github": {
			provider: "github", secret: "It's a Secret to Everybody",
			header: map[string]string{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
			body:   "Hello, World!",
		},
		// Slack publishes this one in "Verifying requests from Slack" and tests its SDKs
		// with it (slackapi/python-slack-sdk: tests/signature/test_signature_verifier.py).
		"slack": {
			provider: "slack", secret: "8f742231b10e8888abcd99yyyzzz85a5", at: 1531420618,
			header: map[string]string{
				"X-Slack-Request-Timestamp": "1531420618",
				"X-Slack-Signature":         "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
			},
			body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
		},
		// Shopify describes the signature (shopify.dev, "Verify webhook deliveries") and gives
		// no example. This one is from SQLPage's tests, made again with openssl dgst.
		"shopify": {
			provider: "shopify", secret: "test-webhook-secret",
			header: map[string]string{"X-Shopify-Hmac-SHA256": "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="},
			body:   `{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}`,
		},
		// The example of the standard-webhooks and svix libraries; see pkg/signature.
		"standard-webhooks": {
			provider: "standard-webhooks", secret: whsec, at: 1614265330, header: standard("webhook-", v1), body: standardBody,
		},
		// github.com/svix/svix-webhooks: server/svix-server/src/worker.rs.
		"standard-webhooks, v1a": {
			provider: "standard-webhooks", secret: "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", at: 1614265330,
			header: standard("webhook-", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="),
			body:   standardBody,
		},
		"svix": {
			provider: "svix", secret: whsec, at: 1614265330, header: standard("svix-", v1), body: standardBody,
		},
		"svix, unbranded": {
			provider: "svix", secret: whsec, at: 1614265330, header: standard("webhook-", v1), body: standardBody,
		},
		// GitLab signs as Standard Webhooks does (gitlab-org/gitlab!230944).
		"gitlab, signing token": {
			provider: "gitlab", settings: Settings{Scheme: "signing_token"}, secret: whsec, at: 1614265330,
			header: standard("webhook-", v1), body: standardBody,
		},
		"gitlab, secret token": {
			provider: "gitlab", secret: "gitlab-secret-token",
			header: map[string]string{"X-Gitlab-Token": "gitlab-secret-token"}, body: "{}",
		},
		// RFC 4231, test case 2.
		"hmac": {
			provider: "hmac", settings: Settings{HMAC: &HMAC{Header: "X-Signature"}}, secret: "Jefe",
			header: map[string]string{"X-Signature": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
			body:   "what do ya want for nothing?",
		},
		// RFC 6750, 2.1.
		"token": {
			provider: "token", secret: "mF_9.B5f-4.1JqM",
			header: map[string]string{"Authorization": "Bearer mF_9.B5f-4.1JqM"}, body: "{}",
		},
		// RFC 7617, 2.
		"basic": {
			provider: "basic", settings: Settings{Basic: &Basic{Username: "Aladdin"}}, secret: "open sesame",
			header: map[string]string{"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, body: "{}",
		},
	}
}

func (v vector) message() *signature.Message {
	m := &signature.Message{Method: http.MethodPost, Header: http.Header{}, Body: []byte(v.body)}
	for name, value := range v.header {
		m.Header.Set(name, value)
	}
	return m
}

func TestPublishedVectors(t *testing.T) {
	seen := map[string]bool{}
	for name, v := range vectors() {
		seen[v.provider] = true
		t.Run(name, func(t *testing.T) {
			p := mustNew(t, v.provider, v.settings)
			keys := []signature.Key{mustKey(t, p, v.secret)}
			now := time.Unix(v.at, 0).Add(time.Minute)
			if err := p.Verify(v.message(), keys, now); err != nil {
				t.Fatalf("the vector itself: %v", err)
			}
			refused := func(what string, want error, change func(m *signature.Message)) {
				t.Helper()
				m := v.message()
				change(m)
				if err := p.Verify(m, keys, now); !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", what, err, want)
				}
			}
			for header := range v.header {
				refused("no "+header, signature.ErrMissing, func(m *signature.Message) { m.Header.Del(header) })
				refused(header+" twice", signature.ErrMalformed, func(m *signature.Message) { m.Header.Add(header, v.header[header]) })
			}
			if p.Replay() != "none" {
				refused("another body", signature.ErrMismatch, func(m *signature.Message) { m.Body = append(m.Body, ' ') })
			}
			if p.Replay() == "timestamp" {
				for what, at := range map[string]time.Time{"stale": now.Add(10 * time.Minute), "future": now.Add(-10 * time.Minute)} {
					if err := p.Verify(v.message(), keys, at); !errors.Is(err, signature.ErrExpired) {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
			other := []signature.Key{mustKey(t, p, p.Generate())}
			if err := p.Verify(v.message(), other, now); !errors.Is(err, signature.ErrMismatch) {
				t.Errorf("another secret: %v", err)
			}
			if err := p.Verify(v.message(), append(other, keys...), now); err != nil {
				t.Errorf("during a rotation: %v", err)
			}
		})
	}
	for _, name := range Names() {
		if !seen[name] {
			t.Errorf("%s has no vector", name)
		}
	}
}

// Stripe's secrets begin like Standard Webhooks' and are used whole.
func TestStripeDoesNotDecodeItsSecret(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	stripe := mustNew(t, "stripe", Settings{})
	m, err := stripe.Sample("", 1)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := stripe.Sign(m, []signature.Key{mustKey(t, stripe, secret)}, now); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{strings.TrimPrefix(secret, "whsec_"), strings.ToLower(secret)} {
		if stripe.Verify(m, []signature.Key{mustKey(t, stripe, other)}, now) == nil {
			t.Errorf("%q was as good", other)
		}
	}
}

// A request that carries both families is judged, and read, by one of them.
func TestSvixHeadersOfBothFamilies(t *testing.T) {
	v := vectors()["svix, unbranded"]
	p := mustNew(t, "svix", Settings{})
	keys := []signature.Key{mustKey(t, p, v.secret)}
	m := v.message()
	m.Header.Set("svix-id", "msg_fresh")
	now := time.Unix(v.at, 0)
	if err := p.Verify(m, keys, now); err != nil {
		t.Fatalf("an unsigned svix-id beside it: %v", err)
	}
	if got := p.Facts(m).ID; got != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Errorf("the ID is the unsigned %q", got)
	}
	m.Header.Set("svix-signature", "v1,AAAA")
	if p.Verify(m, keys, now) == nil {
		t.Error("a bad svix-signature was passed over for a good webhook-signature")
	}
}
