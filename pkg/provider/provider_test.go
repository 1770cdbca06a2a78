package provider

import (
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

func TestEveryPresetVerifiesItsOwnSamples(t *testing.T) {
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
				if err := p.Sign(m, keys, now); err != nil {
					t.Fatal(err)
				}
				if err := p.Verify(m, keys, now); err != nil {
					t.Fatalf("its own sample: %v", err)
				}
				m.Body = append(m.Body, ' ')
				if err := p.Verify(m, keys, now); err == nil && p.Replay() != "none" {
					t.Error("a changed body was accepted")
				}
			})
		}
	}
}
