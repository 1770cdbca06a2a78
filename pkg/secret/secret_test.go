package secret

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const canary = "canary-7f3a91"

func TestASecretIsNotPrinted(t *testing.T) {
	s := New([]byte(canary))
	holder := struct {
		Secret  Secret
		Pointer *Secret
		List    []Secret
		own     Secret
		byName  map[string]Secret
	}{s, &s, []Secret{s}, s, map[string]Secret{"a": s}}
	ref := Fixed(s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%t", "%T", "%p"} {
		for _, v := range []any{s, &s, holder, &holder, []any{s}, ref, &ref, struct{ ref Ref }{ref}, fmt.Errorf("with %v", s)} {
			noCanary(t, verb, fmt.Sprintf(verb, v))
		}
	}
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	noCanary(t, "json", string(text))
	if text, err = yaml.Marshal(holder); err != nil {
		t.Fatal(err)
	}
	noCanary(t, "yaml", string(text))
	if !strings.Contains(string(text), redacted) {
		t.Errorf("yaml says nothing of a secret: %s", text)
	}
	if s.String() != redacted || s.GoString() != redacted {
		t.Errorf("as text: %s, %s", s.String(), s.GoString())
	}
	if text, err = s.MarshalText(); err != nil || string(text) != redacted {
		t.Errorf("text: %q, %v", text, err)
	}
}

func noCanary(t *testing.T, how, text string) {
	t.Helper()
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]")
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), decimal} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows it: %s", how, text)
		}
	}
}

func TestEqual(t *testing.T) {
	a, same, other := New([]byte("a")), New([]byte("a")), New([]byte("b"))
	if !a.Equal(same) || a.Equal(other) || a.Equal(Secret{}) || !(Secret{}).Equal(New(nil)) {
		t.Error("Equal compares something else than the content")
	}
	if a == same {
		t.Error("two Secrets are one")
	}
}

func TestASecretKeepsItsValue(t *testing.T) {
	value := []byte("value")
	s := New(value)
	value[0] = 'X'
	s.Reveal()[1] = 'X'
	if got := string(s.Reveal()); got != "value" {
		t.Errorf("got %q", got)
	}
	if s.IsZero() || !(Secret{}).IsZero() || !New(nil).IsZero() {
		t.Error("IsZero")
	}
}

func TestParseRef(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"a variable":                      {"env:STRIPE_SECRET", true},
		"a variable with digits":          {"env:_A1", true},
		"a file":                          {"file:/run/secrets/a", true},
		"no name":                         {"env:", false},
		"a name that begins with a digit": {"env:1A", false},
		"a secret where a name should be": {"env:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=", false},
		"a dollar":                        {"env:$A", false},
		"a relative path":                 {"file:secrets/a", false},
		"no path":                         {"file:", false},
		"a path with a zero byte":         {"file:/a\x00b", false},
		"the secret itself":               {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false},
		"nothing":                         {"", false},
		"something else":                  {"vault:a/b", false},
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := ParseRef(tc.text)
			if (err == nil) != tc.ok {
				t.Fatalf("ParseRef: %v", err)
			}
			if tc.ok && ref.String() != tc.text {
				t.Errorf("String gives %q", ref)
			}
			if !tc.ok && strings.Contains(err.Error(), "whsec_Mf") {
				t.Errorf("the error shows what may be a secret: %v", err)
			}
		})
	}
	if got := Fixed(New([]byte("a"))).String(); got != "fixed" {
		t.Errorf("a fixed one is called %q", got)
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("env:A")
	f.Add("file:/a/../b")
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseRef(text)
		if err != nil {
			return
		}
		again, err := ParseRef(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q became %q, which is read as %v, %v", text, ref, again, err)
		}
	})
}
