package signature

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"causeway/pkg/secret"
)

func TestKeysAreChecked(t *testing.T) {
	algorithm := func(key string) Scheme {
		return Scheme{
			Kind: "signature", Header: "Sig", Message: []string{"{body}"},
			Algorithms: []Algorithm{{Name: "hmac-sha256", Encoding: "hex", Key: key}},
		}
	}
	for name, tc := range map[string]struct {
		scheme Scheme
		text   string
		weak   bool
		want   string // in the error; "" none
	}{
		"empty":                         {algorithm("raw"), "", true, "is empty"},
		"short":                         {algorithm("raw"), "fifteen letters", false, "has 15 bytes"},
		"short and allowed":             {algorithm("raw"), "fifteen letters", true, ""},
		"long enough":                   {algorithm("raw"), "sixteen letters!", false, ""},
		"hex":                           {algorithm("hex"), strings.Repeat("0f", 16), false, ""},
		"hex too short once decoded":    {algorithm("hex"), strings.Repeat("0f", 15), false, "has 15 bytes"},
		"no hex":                        {algorithm("hex"), strings.Repeat("0g", 16), false, "is not hex"},
		"base64":                        {algorithm("base64"), "AAAAAAAAAAAAAAAAAAAAAA==", false, ""},
		"base64 without padding":        {algorithm("base64"), "AAAAAAAAAAAAAAAAAAAAAA", false, ""},
		"no base64":                     {algorithm("base64"), "this is a secret, no?", false, "is not base64"},
		"whsec":                         {Standard(), vectorSecret, false, ""},
		"whsec of nothing":              {Standard(), "whsec_", true, "has 0 bytes"},
		"whsec that does not decode":    {Standard(), "whsec_!!!!", false, "is not base64"},
		"whsk":                          {Standard(), vectorPrivate, false, ""},
		"whsk, halves of two keys":      {Standard(), strings.Replace(vectorPrivate, "KIDi", "KIDj", 1), false, "do not belong together"},
		"whsk, the seed alone":          {Standard(), "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=", false, "this has 32"},
		"whpk":                          {Standard(), vectorPublic, false, ""},
		"whpk cut off":                  {Standard(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbO", false, "this has 30"},
		"whpk that does not decode":     {Standard(), "whpk_1SiA4o9hyqTCpIqC5V9HU*kiiaeACeqfZTInDBbOir4=", false, "is not base64"},
		"whsk text where keys are text": {algorithm("raw"), vectorPrivate, false, ""},
		"token":                         {Scheme{Kind: "token", Header: "X"}, "a token of some length", false, ""},
		"token, short":                  {Scheme{Kind: "token", Header: "X"}, "short", false, "has 5 bytes"},
		"token with a line end":         {Scheme{Kind: "token", Header: "X"}, "a token of some length\n", false, "no header can carry"},
		"token with a space before it":  {Scheme{Kind: "token", Header: "X"}, " a token of some length", false, "no header can carry"},
		"token with a line end inside":  {Scheme{Kind: "token", Header: "X"}, "a token of\r\nsome length", false, "no header can carry"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(t, tc.scheme).Key(secret.New([]byte(tc.text)), tc.weak)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if tc.text != "" && strings.Contains(err.Error(), tc.text) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestEd25519AloneTakesNoOtherSecret(t *testing.T) {
	s := Standard()
	s.Algorithms = s.Algorithms[1:]
	if _, err := compile(t, s).Key(secret.New([]byte(vectorSecret)), true); err == nil {
		t.Error("a whsec_ secret was taken for a key pair")
	}
}

func TestKeysCannotBePrinted(t *testing.T) {
	for name, k := range kinds() {
		c := compile(t, k.scheme)
		key := keys(t, c, k.secret)[0]
		holder := struct {
			Key  Key
			Keys []Key
			own  Key
		}{key, []Key{key}, key}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, v := range []any{key, &key, holder, &holder} {
				text := fmt.Sprintf(verb, v)
				if strings.Contains(text, k.secret[:8]) || strings.Contains(text, fmt.Sprintf("%x", k.secret[:8])) {
					t.Errorf("%s: %s shows %s", name, verb, text)
				}
			}
		}
		text, err := json.Marshal(holder)
		if err != nil || strings.Contains(string(text), k.secret[:8]) {
			t.Errorf("%s: JSON %s, %v", name, text, err)
		}
	}
}

func TestNewSecretsFitTheirScheme(t *testing.T) {
	for name, k := range kinds() {
		c := compile(t, k.scheme)
		a, b := c.NewSecret(), c.NewSecret()
		if a == b {
			t.Errorf("%s: twice the same", name)
		}
		key, err := c.Key(secret.New([]byte(a)), false)
		if err != nil || !key.CanSign() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPublicKeyCannotSign(t *testing.T) {
	c := compile(t, Standard())
	public := keys(t, c, vectorPublic)
	if public[0].CanSign() {
		t.Error("it says it can")
	}
	if err := c.Sign(message(), public, now); err == nil {
		t.Error("Sign without a key that can: no error")
	}
	m := message()
	if err := c.Sign(m, append(public, keys(t, c, vectorSecret)...), now); err != nil {
		t.Errorf("beside one that can: %v", err)
	}
}
