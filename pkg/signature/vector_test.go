package signature

import (
	"net/http"
	"testing"
	"time"

	"causeway/pkg/secret"
)

// The worked example of the Standard Webhooks libraries' own tests (svix-webhooks
// and standard-webhooks, "sign function works"), and for v1a that of svix-server
// (server/svix-server/src/worker.rs, test_asymmetric_key_signing; the key pair
// also in svix-server's README). No official library verifies v1a.
const (
	vectorID      = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime    = 1614265330
	vectorBody    = `{"test": 2432232314}`
	vectorSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorV1      = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	vectorPublic  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	vectorV1a     = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func vectorMessage() *Message {
	return &Message{
		Method: http.MethodPost,
		Header: http.Header{"Webhook-Id": {vectorID}},
		Body:   []byte(vectorBody),
	}
}

func compile(t testing.TB, s Scheme) *Compiled {
	t.Helper()
	c, err := s.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keys(t testing.TB, c *Compiled, texts ...string) []Key {
	t.Helper()
	var out []Key
	for _, text := range texts {
		k, err := c.Key(secret.New([]byte(text)), true)
		if err != nil {
			t.Fatalf("Key: %v", err)
		}
		out = append(out, k)
	}
	return out
}

func TestStandardWebhooksVectors(t *testing.T) {
	now := time.Unix(vectorTime, 0)
	for name, tc := range map[string]struct {
		sign, verify []string
		want         string
	}{
		"v1":                      {[]string{vectorSecret}, []string{vectorSecret}, vectorV1},
		"v1 without the prefix":   {[]string{vectorSecret[6:]}, []string{vectorSecret}, vectorV1},
		"v1a":                     {[]string{vectorPrivate}, []string{vectorPublic}, vectorV1a},
		"v1a by the private key":  {[]string{vectorPrivate}, []string{vectorPrivate}, vectorV1a},
		"both, the first is held": {[]string{vectorSecret, vectorPrivate}, []string{vectorSecret}, vectorV1 + " " + vectorV1a},
		"both, the other is held": {[]string{vectorSecret, vectorPrivate}, []string{vectorPublic}, vectorV1 + " " + vectorV1a},
	} {
		t.Run(name, func(t *testing.T) {
			c, m := compile(t, Standard()), vectorMessage()
			if err := c.Sign(m, keys(t, c, tc.sign...), now); err != nil {
				t.Fatal(err)
			}
			if got := m.Header.Get("webhook-signature"); got != tc.want {
				t.Errorf("signed %q, want %q", got, tc.want)
			}
			if got := m.Header.Get("webhook-timestamp"); got != "1614265330" {
				t.Errorf("timestamp %q", got)
			}
			if err := c.Verify(m, keys(t, c, tc.verify...), now); err != nil {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

// HMAC over other hashes and encodings. RFC 4231 test case 2 (SHA-256, SHA-512)
// and RFC 2202 test case 2 (SHA-1).
func TestHMACVectors(t *testing.T) {
	for name, want := range map[string]string{
		"hmac-sha1":   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		"hmac-sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		"hmac-sha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
	} {
		t.Run(name, func(t *testing.T) {
			c := compile(t, Scheme{
				Kind: "signature", Header: "X-Signature", Message: []string{"{body}"},
				Algorithms: []Algorithm{{Name: name, Encoding: "hex", Key: "hex"}},
			})
			m := &Message{Header: http.Header{}, Body: []byte("what do ya want for nothing?")}
			if err := c.Sign(m, keys(t, c, "4a656665"), time.Time{}); err != nil {
				t.Fatal(err)
			}
			if got := m.Header.Get("X-Signature"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
