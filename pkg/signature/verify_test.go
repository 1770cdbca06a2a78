package signature

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// kindOf is a scheme with its secret and a wrong one.
type kindOf struct {
	scheme        Scheme
	secret, wrong string
	header        string // where signature or token are
}

// kinds is a function, so that no test can change it for another.
func kinds() map[string]kindOf {
	const raw, wrongRaw = "a secret of 22 letters", "not the secret at all!"
	wrongWhsec := "whsec_" + strings.Repeat("B", 32)
	const wrongPrivate = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
	hmac := func(version, encoding string) []Algorithm {
		return []Algorithm{{Version: version, Name: "hmac-sha256", Encoding: encoding, Key: "raw"}}
	}
	return map[string]kindOf{
		"standard v1":  {Standard(), vectorSecret, wrongWhsec, "Webhook-Signature"},
		"standard v1a": {Standard(), vectorPrivate, wrongPrivate, "Webhook-Signature"},
		"svix":         {Svix(), vectorSecret, wrongWhsec, "Svix-Signature"},
		"pairs": {Scheme{
			Kind: "signature", Header: "Sig", List: ",", Pair: "=", Message: []string{"{sig.t}", ".", "{body}"},
			Timestamp: &Timestamp{From: "sig.t"}, Algorithms: hmac("v1", "hex"),
		}, raw, wrongRaw, "Sig"},
		"prefix and body": {Scheme{
			Kind: "signature", Header: "Sig", Prefix: "sha256=", Message: []string{"{body}"}, Algorithms: hmac("", "hex"),
		}, raw, wrongRaw, "Sig"},
		"all atoms": {Scheme{
			Kind: "signature", Header: "Sig", Algorithms: hmac("", "base64"),
			Message:   []string{"{method}", " ", "{url}", " ", "{body}", " ", "{header:X-Time}"},
			Timestamp: &Timestamp{From: "header:X-Time", Unit: "ms", Tolerance: "1m"},
		}, raw, wrongRaw, "Sig"},
		"rfc3339": {Scheme{
			Kind: "signature", Header: "Sig", Algorithms: hmac("", "base64"),
			Message:   []string{"{header:X-Time}", "{body}"},
			Timestamp: &Timestamp{From: "header:X-Time", Unit: "rfc3339"},
		}, raw, wrongRaw, "Sig"},
		"token":  {Scheme{Kind: "token", Header: "X-Token"}, raw, wrongRaw, "X-Token"},
		"bearer": {Scheme{Kind: "token", Header: "Authorization", Prefix: "Bearer "}, raw, wrongRaw, "Authorization"},
		"basic":  {Scheme{Kind: "basic", Header: "Authorization", Username: "hook"}, raw, wrongRaw, "Authorization"},
	}
}

func message() *Message {
	return &Message{
		Method: http.MethodPost,
		URL:    "https://hooks.example.com/webhooks/a?b=c",
		Header: http.Header{"Webhook-Id": {vectorID}, "Svix-Id": {vectorID}},
		Body:   []byte(`{"n": 1}`),
	}
}

var now = time.Unix(vectorTime, 0)

func signedBy(t testing.TB, c *Compiled, at time.Time, texts ...string) *Message {
	t.Helper()
	m := message()
	if err := c.Sign(m, keys(t, c, texts...), at); err != nil {
		t.Fatalf("Sign: %v", err)
	}
	return m
}

func wantErr(t *testing.T, what string, got error, want ...error) {
	t.Helper()
	for _, w := range want {
		if errors.Is(got, w) {
			return
		}
	}
	t.Errorf("%s: got %v, want one of %v", what, got, want)
}

func TestWhatWasSignedVerifies(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			c := compile(t, k.scheme)
			if err := c.Verify(signedBy(t, c, now, k.secret), keys(t, c, k.secret), now); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			c := compile(t, k.scheme)
			held := keys(t, c, k.secret)

			wantErr(t, "wrong secret", c.Verify(signedBy(t, c, now, k.wrong), held, now), ErrMismatch)
			wantErr(t, "no key held", c.Verify(signedBy(t, c, now, k.secret), nil, now), ErrMismatch)
			wantErr(t, "a zero key held", c.Verify(signedBy(t, c, now, k.secret), []Key{{}}, now), ErrMismatch)

			m := signedBy(t, c, now, k.secret)
			m.Header.Add(k.header, m.Header.Get(k.header))
			wantErr(t, "header twice", c.Verify(m, held, now), ErrMalformed)

			m = signedBy(t, c, now, k.secret)
			m.Header.Del(k.header)
			wantErr(t, "no header", c.Verify(m, held, now), ErrMissing)

			m = signedBy(t, c, now, k.secret)
			m.Header[k.header] = []string{""}
			wantErr(t, "empty header", c.Verify(m, held, now), ErrMissing, ErrMalformed, ErrMismatch)

			if !c.SignsBody() {
				return
			}
			m = signedBy(t, c, now, k.secret)
			m.Body = append(m.Body, '\n')
			wantErr(t, "longer body", c.Verify(m, held, now), ErrMismatch)
			m.Body = nil
			wantErr(t, "no body", c.Verify(m, held, now), ErrMismatch)
		})
	}
}

// Whatever is cut off, added or changed in the header, nothing but the same
// bytes is accepted.
func TestNoOtherHeaderValueVerifies(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			c := compile(t, k.scheme)
			held := keys(t, c, k.secret)
			m := signedBy(t, c, now, k.secret)
			value := m.Header.Get(k.header)
			refused := func(what, changed string) {
				t.Helper()
				m.Header[k.header] = []string{changed}
				if c.Verify(m, held, now) == nil && !equivalent(value, changed) {
					t.Errorf("%s: %q was accepted for %q", what, changed, value)
				}
			}
			for i := range value {
				refused("cut off", value[:i])
				refused("begun late", value[i+1:])
				for _, with := range []byte{'0', 'A', '=', ',', ' ', '\n', 0, value[i] ^ 1} {
					refused("changed", value[:i]+string(with)+value[i+1:])
					refused("inserted", value[:i]+string(with)+value[i:])
				}
			}
			for _, more := range []string{"=", "A", "AA", "00", "\n"} {
				refused("added", value+more)
			}
		})
	}
}

// equivalent are two values that mean the same: hexadecimal digits have two
// cases, and so have Bearer and Basic; and basic's base64 may hold line ends,
// which net/http lets into no header.
func equivalent(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	user, errA := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "Basic "))
	other, errB := base64.StdEncoding.DecodeString(strings.TrimPrefix(b, "Basic "))
	return strings.HasPrefix(a, "Basic ") && errA == nil && errB == nil && string(user) == string(other)
}

func TestTimeIsKept(t *testing.T) {
	for name, k := range kinds() {
		c := compile(t, k.scheme)
		if !c.SignsTime() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			held := keys(t, c, k.secret)
			m := signedBy(t, c, now, k.secret)
			tolerance := c.clock.tolerance
			for what, off := range map[string]time.Duration{"as old as may be": tolerance, "as new as may be": -tolerance} {
				if err := c.Verify(m, held, now.Add(off)); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			wantErr(t, "stale", c.Verify(m, held, now.Add(tolerance+time.Second)), ErrExpired)
			wantErr(t, "future", c.Verify(m, held, now.Add(-tolerance-time.Second)), ErrExpired)
			wantErr(t, "years", c.Verify(m, held, now.AddDate(300, 0, 0)), ErrExpired)
			// Only what is authentic is called expired.
			m.Body = nil
			wantErr(t, "stale and forged", c.Verify(m, held, now.Add(time.Hour)), ErrMismatch)
		})
	}
}

func TestASignedHeaderMustBeThereOnce(t *testing.T) {
	c := compile(t, Standard())
	held := keys(t, c, vectorSecret)
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp"} {
		m := signedBy(t, c, now, vectorSecret)
		value := m.Header.Get(name)
		m.Header[name] = []string{value, value}
		wantErr(t, name+" twice", c.Verify(m, held, now), ErrMalformed)
		m.Header.Del(name)
		wantErr(t, "no "+name, c.Verify(m, held, now), ErrMissing)
		m.Header[name] = []string{""}
		wantErr(t, "empty "+name, c.Verify(m, held, now), ErrMissing)
		m.Header[name] = []string{value + "1"}
		wantErr(t, "another "+name, c.Verify(m, held, now), ErrMismatch)
	}
}

// The signed text "a.1.2.b" must not be good both for the ID "a", the time 1
// and the body "2.b", and for the ID "a.1", the time 2 and the body "b".
func TestTheBoundaryBetweenSignedPartsCannotBeMoved(t *testing.T) {
	c := compile(t, Standard())
	held := keys(t, c, vectorSecret)
	m := message()
	m.Body = []byte("1614265330.rest")
	if err := c.Sign(m, held, now); err != nil {
		t.Fatal(err)
	}
	m.Header.Set("webhook-id", vectorID+".1614265330")
	m.Body = []byte("rest")
	wantErr(t, "moved", c.Verify(m, held, now), ErrMalformed)
	wantErr(t, "signing an ID with a dot", c.Sign(m, held, now), ErrMalformed)
}

func TestListsOfSignatures(t *testing.T) {
	c := compile(t, kinds()["pairs"].scheme)
	secret, wrong := kinds()["pairs"].secret, kinds()["pairs"].wrong
	held := keys(t, c, secret)
	good := signedBy(t, c, now, secret).Header.Get("Sig") // t=…,v1=…
	at, v1, _ := strings.Cut(good, ",")
	zeros := "v1=" + strings.Repeat("0", 64)
	for name, tc := range map[string]struct {
		value string
		want  error // nil: accepted
	}{
		"another one first":                     {at + "," + zeros + "," + v1, nil},
		"another one last":                      {at + "," + v1 + "," + zeros, nil},
		"the time last":                         {v1 + "," + at, nil},
		"unknown versions are skipped":          {at + ",v0=00," + v1 + ",v9=zz", nil},
		"one that does not decode is skipped":   {at + ",v1=bad_signature," + v1, nil},
		"only an unknown version":               {at + "," + strings.Replace(v1, "v1", "v0", 1), ErrMissing},
		"a version in capitals is unknown":      {at + "," + strings.Replace(v1, "v1", "V1", 1), ErrMissing},
		"the time twice":                        {at + "," + at + "," + v1, ErrMalformed},
		"another time first":                    {"t=1," + at + "," + v1, ErrMalformed},
		"no time":                               {v1, ErrMissing},
		"an empty time":                         {"t=," + v1, ErrMissing},
		"an item without a value":               {at + "," + v1 + ",x", ErrMalformed},
		"an empty item":                         {at + ",," + v1, ErrMalformed},
		"a space is part of the name":           {at + ", " + v1, ErrMissing},
		"more signatures than anybody has keys": {at + strings.Repeat(","+zeros, 16) + "," + v1, ErrMalformed},
		"as many as are allowed":                {at + strings.Repeat(","+zeros, 15) + "," + v1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := message()
			m.Header["Sig"] = []string{tc.value}
			if err := c.Verify(m, held, now); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}

	t.Run("rotation: either of two keys verifies, either of two signatures is enough", func(t *testing.T) {
		both := keys(t, c, secret, wrong)
		for _, texts := range [][]string{{secret}, {wrong}, {secret, wrong}, {wrong, secret}} {
			if err := c.Verify(signedBy(t, c, now, texts...), both, now); err != nil {
				t.Errorf("signed by %d: %v", len(texts), err)
			}
		}
		if err := c.Verify(signedBy(t, c, now, wrong, secret), held, now); err != nil {
			t.Errorf("one key held of two that signed: %v", err)
		}
	})
}

// A header that holds one signature has no room for a second key's.
func TestOneSignatureIsTheFirstKeys(t *testing.T) {
	k := kinds()["prefix and body"]
	c := compile(t, k.scheme)
	m := signedBy(t, c, now, k.secret, k.wrong)
	if got, want := m.Header["Sig"], signedBy(t, c, now, k.secret).Header["Sig"]; got[0] != want[0] {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimestampsAreWrittenOneWay(t *testing.T) {
	c := compile(t, kinds()["pairs"].scheme)
	k := keys(t, c, kinds()["pairs"].secret)
	for _, text := range []string{"+1614265330", "-1614265330", "0x6037B7B2", "1614265330.0", "1_614_265_330", "1e9", "99999999999999999999", "1614265330000000", "now"} {
		m := message()
		mac := k[0].get().mac(make([]byte, 32), []byte(text+"."), m.Body, nil)
		m.Header["Sig"] = []string{"t=" + text + ",v1=" + string(c.algorithms[0].appendText(nil, mac))}
		wantErr(t, text, c.Verify(m, k, now), ErrMalformed)
	}
}

// A public key that somebody put among the secrets must not make HMACs good
// that were made with its text, which everybody knows.
func TestAPublicKeyIsNoHMACKey(t *testing.T) {
	c := compile(t, Standard())
	hmacOnly := Standard()
	hmacOnly.Algorithms = []Algorithm{{Version: "v1", Name: "hmac-sha256", Encoding: "base64", Key: "raw"}}
	forger := compile(t, hmacOnly)
	for _, text := range []string{vectorPublic, strings.TrimPrefix(vectorPublic, "whpk_")} {
		m := signedBy(t, forger, now, text)
		wantErr(t, "confused", c.Verify(m, keys(t, c, vectorPublic), now), ErrMismatch)
	}
}

func TestBasicWantsTheUserToo(t *testing.T) {
	c := compile(t, kinds()["basic"].scheme)
	secret := kinds()["basic"].secret
	held := keys(t, c, secret)
	for name, tc := range map[string]struct {
		value string
		want  error
	}{
		"lower case":     {"basic " + base64.StdEncoding.EncodeToString([]byte("hook:"+secret)), nil},
		"another user":   {"Basic " + base64.StdEncoding.EncodeToString([]byte("hooks:"+secret)), ErrMismatch},
		"no user":        {"Basic " + base64.StdEncoding.EncodeToString([]byte(":"+secret)), ErrMismatch},
		"no colon":       {"Basic " + base64.StdEncoding.EncodeToString([]byte(secret)), ErrMalformed},
		"not base64":     {"Basic hook:" + secret, ErrMalformed},
		"another scheme": {"Bearer " + secret, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			m := message()
			m.Header.Set("Authorization", tc.value)
			if err := c.Verify(m, held, now); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// One Compiled and one key serve all requests at once.
func TestConcurrentUse(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			c := compile(t, k.scheme)
			held := keys(t, c, k.secret)
			done := make(chan error)
			for range 8 {
				go func() {
					var err error
					for range 50 {
						m := message()
						m.Body = append(m.Body, make([]byte, 100)...)
						if e := c.Sign(m, held, now); e != nil {
							err = e
						}
						if e := c.Verify(m, held, now); e != nil {
							err = e
						}
						m.Body[0]++
						if e := c.Verify(m, held, now); c.SignsBody() && !errors.Is(e, ErrMismatch) {
							err = errors.New("a changed body was accepted")
						}
					}
					done <- err
				}()
			}
			for range 8 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
