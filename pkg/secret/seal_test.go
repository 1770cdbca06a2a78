package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// golden was sealed by the first version that could, for here, under keyLine("first", 1).
const golden = "sealed:v1:first:H6m-_lurzXA7tQmT-SLmdzZNfZJJmF_sOgP9Q0wG-WWeiccNf6xAcqI"

func here() Binding { return Binding{Tenant: "acme", Kind: "source", UID: "0a1b", Field: "secrets"} }

func mustSeal(t testing.TB, k *Keyring, value string, b Binding) string {
	t.Helper()
	text, err := k.Seal(New([]byte(value)), b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealAndOpen(t *testing.T) {
	k := keyring(t, keyLine("first", 1), keyLine("second", 2))
	for name, tc := range map[string]struct {
		value string
		place Binding
	}{
		"a word":             {canary, here()},
		"one byte":           {"a", here()},
		"zeros and line end": {"\x00\x00\n", here()},
		"the largest":        {strings.Repeat("x", maxFile), here()},
		"without a tenant":   {canary, Binding{Kind: "source", UID: "0a1b", Field: "secrets"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := mustSeal(t, k, tc.value, tc.place)
			if !strings.HasPrefix(text, "sealed:v1:first:") || strings.Contains(text, "=") {
				t.Errorf("the text is %.40s", text)
			}
			got, err := k.Open(text, tc.place)
			if err != nil || string(got.Reveal()) != tc.value {
				t.Errorf("opened: %d bytes, %v", len(got.bytes()), err)
			}
			if _, err := ParseSealedRef(text); err != nil {
				t.Errorf("as a reference: %v", err)
			}
		})
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	for name, tc := range map[string]struct {
		keys  *Keyring
		value string
		place Binding
		err   string
	}{
		"nothing":         {k, "", here(), "is empty"},
		"too much":        {k, strings.Repeat(canary, maxFile), here(), "larger than 64 KiB"},
		"for no kind":     {k, canary, Binding{UID: "0a1b", Field: "secrets"}, "wants a place"},
		"for no entry":    {k, canary, Binding{Kind: "source", Field: "secrets"}, "wants a place"},
		"for no field":    {k, canary, Binding{Kind: "source", UID: "0a1b"}, "wants a place"},
		"without a key":   {nil, canary, here(), "CAUSEWAY_KEYS is not set"},
		"with no keyring": {&Keyring{}, canary, here(), "CAUSEWAY_KEYS is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := tc.keys.Seal(New([]byte(tc.value)), tc.place)
			if err == nil || !strings.Contains(err.Error(), tc.err) || text != "" {
				t.Fatalf("got %.40q, %v, want an error that says %q", text, err, tc.err)
			}
			noCanary(t, "the error", err.Error())
		})
	}
}

// The format is kept in Kafka: what is sealed today must open after every update.
func TestTheFormatStays(t *testing.T) {
	got, err := keyring(t, keyLine("first", 1)).Open(golden, here())
	if err != nil || string(got.Reveal()) != canary {
		t.Fatalf("%q, %v", got.Reveal(), err)
	}
	content, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(golden, "sealed:v1:first:"))
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, content[:12], content[12:], []byte("\x12causeway/secret/v1\x05first\x04acme\x06source\x040a1b\x07secrets"))
	if err != nil || string(plain) != canary {
		t.Errorf("with the cipher by hand: %q, %v", plain, err)
	}
}

func TestASealedSecretOpensInItsPlaceOnly(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	text := mustSeal(t, k, canary, here())
	for name, place := range map[string]Binding{
		"another tenant":                     {"other", "source", "0a1b", "secrets"},
		"no tenant":                          {"", "source", "0a1b", "secrets"},
		"another kind":                       {"acme", "subscription", "0a1b", "secrets"},
		"another entry":                      {"acme", "source", "0a1c", "secrets"},
		"another field":                      {"acme", "source", "0a1b", "password"},
		"tenant and kind cut elsewhere":      {"acmes", "ource", "0a1b", "secrets"},
		"kind and uid cut elsewhere":         {"acme", "source0", "a1b", "secrets"},
		"uid and field cut elsewhere":        {"acme", "source", "0a1bs", "ecrets"},
		"a length written into the field":    {"acme", "source", "0a1b\x07secrets", "secrets"},
		"fields in another order":            {"acme", "source", "secrets", "0a1b"},
		"a zero byte where there is nothing": {"acme", "source", "0a1b", "secrets\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := k.Open(text, place)
			if err == nil || !strings.Contains(err.Error(), "damaged, or it was sealed for another place") || !s.IsZero() {
				t.Fatalf("got %v, %v", s, err)
			}
			noCanary(t, "the error", err.Error())
		})
	}
}

func TestEveryBitCounts(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	text := mustSeal(t, k, canary, here())
	for i := range len(text) {
		for bit := range 8 {
			changed := []byte(text)
			changed[i] ^= 1 << bit
			refused(t, k, string(changed))
		}
		refused(t, k, text[:i])
		refused(t, k, text[:i]+text[i+1:])
		// Of base64, decoders pass over these.
		for _, more := range []string{"\n", "\r", "=", "A", " "} {
			refused(t, k, text[:i]+more+text[i:])
		}
	}
	for _, more := range []string{"\n", "\r\n", "=", "==", "A", "AA", "AAAA", " ", ":"} {
		refused(t, k, text+more)
	}
}

func refused(t *testing.T, k *Keyring, text string) {
	t.Helper()
	s, err := k.Open(text, here())
	if err == nil || !s.IsZero() {
		t.Fatalf("opened: %q", text)
	}
	if i := strings.LastIndexByte(text, ':'); len(text)-i > 20 && strings.Contains(err.Error(), text[i+1:]) {
		t.Fatalf("the error shows the text: %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	for name, tc := range map[string]struct {
		keys *Keyring
		text string
		want []string
	}{
		"an unknown key":           {keyring(t, keyLine("second", 2)), golden, []string{`"first"`, "CAUSEWAY_KEYS"}},
		"another key with that id": {keyring(t, keyLine("first", 2)), golden, []string{"another key under that id", "cannot be told apart"}},
		"no keyring":               {nil, golden, []string{"CAUSEWAY_KEYS is not set"}},
		"the secret itself":        {k, canary, []string{"sealed:v1:KEY-ID:CIPHERTEXT"}},
		"another version":          {k, strings.Replace(golden, "v1", "v2", 1), []string{"sealed:v1:"}},
		"no key's id":              {k, strings.Replace(golden, "first:", "", 1), []string{"sealed:v1:"}},
		"a secret for an id":       {k, "sealed:v1:" + canary, []string{"sealed:v1:"}},
		"a secret for an id and one for a ciphertext": {k, "sealed:v1:" + canary + ":" + canary, []string{"sealed:v1:"}},
		"no ciphertext":         {k, "sealed:v1:first:", []string{"sealed:v1:"}},
		"a nonce and a tag":     {k, "sealed:v1:first:" + base64.RawURLEncoding.EncodeToString(make([]byte, overhead)), []string{"sealed:v1:"}},
		"more than can be told": {k, "sealed:v1:first:" + strings.Repeat("A", 2*maxFile), []string{"sealed:v1:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.keys.Open(tc.text, here())
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			noCanary(t, "the error", err.Error())
			if strings.Contains(err.Error(), "H6m-") {
				t.Errorf("the error shows the text: %v", err)
			}
		})
	}
}

func TestNoncesDiffer(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	seen := map[string]bool{}
	for range 1000 {
		text := mustSeal(t, k, canary, here())
		nonce := strings.TrimPrefix(text, "sealed:v1:first:")[:16] // 12 bytes
		if seen[nonce] {
			t.Fatalf("twice the same nonce: %s", nonce)
		}
		seen[nonce] = true
	}
}

func TestReseal(t *testing.T) {
	before := keyring(t, keyLine("old", 1))
	during := keyring(t, keyLine("new", 2), keyLine("old", 1))
	after := keyring(t, keyLine("new", 2))
	text := mustSeal(t, before, canary, here())

	moved, changed, err := during.Reseal(text, here())
	if err != nil || !changed || !strings.HasPrefix(moved, "sealed:v1:new:") {
		t.Fatalf("%.20s, %t, %v", moved, changed, err)
	}
	for name, try := range map[string]struct {
		keys *Keyring
		text string
		ok   bool
	}{
		"the old one before":         {before, text, true},
		"the old one in between":     {during, text, true},
		"the old one afterwards":     {after, text, false},
		"the moved one too early":    {before, moved, false},
		"the moved one in between":   {during, moved, true},
		"the moved one afterwards":   {after, moved, true},
		"the old one said to be new": {during, strings.Replace(text, "old", "new", 1), false},
	} {
		s, err := try.keys.Open(try.text, here())
		if (err == nil) != try.ok || try.ok && string(s.Reveal()) != canary {
			t.Errorf("%s: %q, %v", name, s.Reveal(), err)
		}
	}

	if again, changed, err := during.Reseal(moved, here()); err != nil || changed || again != moved {
		t.Errorf("what is under the first key: %.20s, %t, %v", again, changed, err)
	}
	elsewhere := Binding{Kind: "source", UID: "1", Field: "secrets"}
	for _, damaged := range []string{text, moved} {
		if got, changed, err := during.Reseal(damaged, elsewhere); err == nil || changed || got != "" {
			t.Errorf("what cannot be opened: %.20q, %t, %v", got, changed, err)
		}
	}
}

func TestParseSealedRef(t *testing.T) {
	for name, tc := range map[string]struct {
		text, want string // want: as String gives it; empty: refused
	}{
		"a sealed secret":         {golden, "sealed:first"},
		"a variable":              {"env:STRIPE_SECRET", "env:STRIPE_SECRET"},
		"a file":                  {"file:/run/secrets/a", "file:/run/secrets/a"},
		"a variable's value":      {"env:" + canary, ""},
		"the secret itself":       {canary, ""},
		"sealed, said of another": {"sealed:" + canary, ""},
		"cut off":                 {golden[:30], ""},
		"another version":         {strings.Replace(golden, "v1", "v2", 1), ""},
		"in quotes":               {`"` + golden + `"`, ""},
		"with a line end":         {golden + "\n", ""},
		"nothing":                 {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := ParseSealedRef(tc.text)
			if tc.want == "" {
				if err == nil || ref != (Ref{}) {
					t.Fatalf("accepted as %s", ref)
				}
				noCanary(t, "the error", err.Error())
				if strings.Contains(err.Error(), "H6m-") {
					t.Errorf("the error shows the text: %v", err)
				}
				return
			}
			if err != nil || ref.String() != tc.want {
				t.Errorf("got %s, %v, want %s", ref, err, tc.want)
			}
		})
	}
	_, err := ParseRef(golden)
	if err == nil || !strings.Contains(err.Error(), "env:NAME or file:/absolute/path") || strings.Contains(err.Error(), "H6m-") {
		t.Errorf("where sealed ones do not belong: %v", err)
	}
}

func sealedRef(t testing.TB, text string) Ref {
	t.Helper()
	ref, err := ParseSealedRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestASealedRefIsComparedAndNotPrinted(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	ref := sealedRef(t, golden).Bound(here())
	other := sealedRef(t, mustSeal(t, k, canary, here())).Bound(here())
	byRef := map[Ref]int{ref: 1, other: 2}
	if again := sealedRef(t, strings.Clone(golden)).Bound(here()); again != ref || byRef[again] != 1 {
		t.Error("the same text and place, and another reference")
	}
	if other == ref || sealedRef(t, golden) == ref || len(byRef) != 2 {
		t.Error("another text or place, and the same reference")
	}
	if env := mustRef(t, "env:A"); env.Bound(here()) != env {
		t.Error("a variable is bound to a place")
	}
	holder := struct {
		Ref     Ref
		Pointer *Ref
		own     Ref
		pointer *Ref
		byRef   map[Ref]int
	}{ref, &ref, ref, &ref, byRef}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%t", "%T", "%p"} {
		for _, v := range []any{ref, &ref, holder, &holder, []any{ref}, fmt.Errorf("with %v", ref)} {
			text := fmt.Sprintf(verb, v)
			for _, form := range []string{"H6m-", fmt.Sprintf("%x", "H6m-"), fmt.Sprintf("%X", "H6m-"), "72 54 109 45"} {
				if strings.Contains(text, form) {
					t.Errorf("%s shows the text: %s", verb, text)
				}
			}
		}
	}
	text, err := json.Marshal(struct{ Ref, Other any }{ref, &ref})
	if err != nil || strings.Contains(string(text), "H6m-") {
		t.Errorf("json: %s, %v", text, err)
	}
	if got := fmt.Sprintf("%v %#v", ref, ref); got != `sealed:first secret.Ref("sealed:first")` {
		t.Errorf("got %s", got)
	}
}

func TestSealedOnesAreResolved(t *testing.T) {
	k := keyring(t, keyLine("first", 1))
	r, ref := NewResolver().WithKeyring(k), sealedRef(t, golden).Bound(here())
	first, err := r.Resolve(ref)
	if err != nil || string(first.Reveal()) != canary {
		t.Fatalf("%q, %v", first.Reveal(), err)
	}
	if second, _ := r.Resolve(sealedRef(t, golden).Bound(here())); second != first {
		t.Error("the same reference, and another Secret")
	}
	sealedAnew := sealedRef(t, mustSeal(t, k, canary, here())).Bound(here())
	if second, err := r.Resolve(sealedAnew); err != nil || second == first || !second.Equal(first) {
		t.Errorf("sealed anew: %v", err)
	}
	there := here()
	there.UID = "0a1c"
	for name, tc := range map[string]struct {
		resolver *Resolver
		ref      Ref
		err      string
	}{
		"in another place": {r, ref.Bound(there), "secret sealed:first: cannot be opened"},
		"nowhere":          {r, sealedRef(t, golden), "secret sealed:first: a sealed secret wants a place"},
		"without keys":     {NewResolver(), ref, "CAUSEWAY_KEYS is not set"},
		"without its key":  {NewResolver().WithKeyring(keyring(t, keyLine("second", 2))), ref, `the key "first", which CAUSEWAY_KEYS does not have`},
		"with no keyring":  {NewResolver().WithKeyring(nil), ref, "CAUSEWAY_KEYS is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := tc.resolver.Resolve(tc.ref)
			if err == nil || !strings.Contains(err.Error(), tc.err) || !s.IsZero() {
				t.Fatalf("got %v, %v, want an error that says %q", s, err, tc.err)
			}
			noCanary(t, "the error", err.Error())
			if strings.Contains(err.Error(), "H6m-") {
				t.Errorf("the error shows the text: %v", err)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(golden)
	f.Add(strings.Replace(golden, "first", "second", 1))
	f.Add("sealed:v1:first:" + strings.Repeat("A", 40))
	f.Add("sealed:v2:a:b")
	f.Add("env:A")
	k := keyring(f, keyLine("first", 1), keyLine("second", 2))
	r := NewResolver().WithKeyring(k)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := k.Open(text, here())
		if (err == nil) != (text == golden) {
			t.Fatalf("opened %q: %v, %v", text, s, err)
		}
		ref, parse := ParseSealedRef(text)
		for _, err := range []error{err, parse} {
			if err != nil && len(text) > 40 && strings.Contains(err.Error(), text) {
				t.Fatalf("the error shows the text: %v", err)
			}
		}
		if parse != nil || ref.kind != sealed {
			return
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", ref, ref, ref), text[len(sealedPrefix)+len(ref.name)+1:]) {
			t.Fatalf("printed with its text: %v", ref)
		}
		if _, err := r.Resolve(ref.Bound(here())); (err == nil) != (text == golden) {
			t.Fatalf("resolved %q: %v", text, err)
		}
	})
}
