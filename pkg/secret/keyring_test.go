package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// keyLine is "id:" and a key of 32 times that byte.
func keyLine(id string, b byte) string {
	return id + ":" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keySize))
}

func keyring(t testing.TB, lines ...string) *Keyring {
	t.Helper()
	k, err := ParseKeyring(New([]byte(strings.Join(lines, "\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeyring(t *testing.T) {
	value := base64.StdEncoding.EncodeToString([]byte(canary + strings.Repeat("x", keySize-len(canary))))
	one := "new:" + value
	for name, tc := range map[string]struct{ text, ids, err string }{
		"one key":                               {text: one, ids: "new"},
		"one key and a line end":                {text: one + "\n", ids: "new"},
		"commas between":                        {text: one + "," + keyLine("old", 1) + "," + keyLine("2024", 2), ids: "new old 2024"},
		"line ends and blank lines between":     {text: "\n" + one + "\r\n\n\t" + keyLine("old", 1) + "\n", ids: "new old"},
		"a comma and a space between":           {text: one + ", " + keyLine("old", 1), ids: "new old"},
		"the longest id":                        {text: strings.Repeat("a", 32) + ":" + value, ids: strings.Repeat("a", 32)},
		"nothing":                               {text: "", err: "CAUSEWAY_KEYS: holds no key"},
		"only separators":                       {text: " ,\n", err: "holds no key"},
		"a key without an id":                   {text: value, err: "key 1 of 1: wants id:key"},
		"an empty id":                           {text: ":" + value, err: "the id wants"},
		"an id that is too long":                {text: strings.Repeat("a", 33) + ":" + value, err: "the id wants"},
		"an id in capitals":                     {text: "NEW:" + value, err: "the id wants"},
		"an id that begins with a dash":         {text: "-new:" + value, err: "the id wants"},
		"id and key the wrong way round":        {text: value + ":new", err: "the id wants"},
		"no key after the id":                   {text: "new:", err: "wants 32 bytes in base64"},
		"a space after the id":                  {text: "new: " + value, err: "key 2 of 2: wants id:key"},
		"a key that is too short":               {text: "new:" + base64.StdEncoding.EncodeToString([]byte(canary)), err: "wants 32 bytes in base64"},
		"a key that is too long":                {text: "new:" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(canary, 9))), err: "wants 32 bytes in base64"},
		"a key in hex":                          {text: "new:" + fmt.Sprintf("%x", canary+strings.Repeat("x", keySize-len(canary))), err: "wants 32 bytes in base64"},
		"a key as it is":                        {text: "new:" + canary, err: "wants 32 bytes in base64"},
		"a key cut off":                         {text: one[:len(one)-1], err: "wants 32 bytes in base64"},
		"bits behind the key":                   {text: one[:len(one)-2] + "B=", err: "wants 32 bytes in base64"},
		"an id twice":                           {text: one + " " + keyLine("new", 1), err: "key 2 of 2: an earlier one has the same id"},
		"a key twice":                           {text: one + " old:" + value, err: "key 2 of 2: an earlier one is the same key"},
		"two faults, both reported: the first":  {text: "A:" + value + " b:" + canary + " " + keyLine("c", 1), err: "key 1 of 3: the id"},
		"two faults, both reported: the second": {text: "A:" + value + " b:" + canary + " " + keyLine("c", 1), err: "key 2 of 3: wants 32"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeyring(New([]byte(tc.text)))
			if tc.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, key := range k.keys {
					ids = append(ids, key.id)
				}
				if got := strings.Join(ids, " "); got != tc.ids {
					t.Errorf("ids %q, want %q", got, tc.ids)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || k != nil {
				t.Fatalf("got %v, %v, want an error that says %q", k, err, tc.err)
			}
			noCanary(t, "the error", err.Error())
			if strings.Contains(err.Error(), value[:8]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestGenerateKey(t *testing.T) {
	first, err := GenerateKey("2026-01")
	if err != nil {
		t.Fatal(err)
	}
	second, err := GenerateKey("2026-02")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKeyring(New([]byte(string(first.Reveal()) + "," + string(second.Reveal()))))
	if err != nil || len(k.keys) != 2 || k.keys[0].id != "2026-01" {
		t.Errorf("two generated keys are read as %d: %v", len(k.keys), err)
	}
	for _, id := range []string{"", "Prod", "a:b", "a b", "-a", strings.Repeat("a", 33), "a\n"} {
		if s, err := GenerateKey(id); err == nil || !s.IsZero() {
			t.Errorf("%q is taken as an id", id)
		}
	}
}

func TestAKeyringIsNotPrinted(t *testing.T) {
	value := canary + strings.Repeat("x", keySize-len(canary))
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	k := keyring(t, "new:"+encoded)
	holder := struct {
		Keyring Keyring
		Pointer *Keyring
		own     Keyring
		pointer *Keyring
		byName  map[string]*Keyring
	}{*k, k, *k, k, map[string]*Keyring{"a": k}}
	hidden := func(how, text string) {
		t.Helper()
		noCanary(t, how, text)
		if strings.Contains(text, encoded[:8]) {
			t.Errorf("%s shows it: %s", how, text)
		}
	}
	r := NewResolver().WithKeyring(k)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%t", "%T", "%p"} {
		for _, v := range []any{k, *k, holder, &holder, []any{k}, fmt.Errorf("with %v", k), r, k.keys, k.keys[0]} {
			hidden(verb, fmt.Sprintf(verb, v))
		}
		if got := fmt.Sprintf(verb, *k); verb != "%T" && verb != "%p" && got != redacted {
			t.Errorf("%s gives %s", verb, got)
		}
	}
	text, err := json.Marshal(holder)
	if err != nil || !strings.Contains(string(text), `"Pointer":"`+redacted) {
		t.Errorf("json: %s, %v", text, err)
	}
	hidden("json", string(text))
	text, err = yaml.Marshal(holder)
	if err != nil || !strings.Contains(string(text), redacted) {
		t.Errorf("yaml: %s, %v", text, err)
	}
	hidden("yaml", string(text))
	if k.String() != redacted || k.GoString() != redacted {
		t.Errorf("as text: %s, %s", k.String(), k.GoString())
	}
}
