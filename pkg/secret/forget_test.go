package secret

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Whoever may rotate a secret may do so for ever: what nobody uses any more must go.
func TestOpenedSecretsAreForgotten(t *testing.T) {
	r, place, texts := NewResolver().WithKeyring(keyring(t, keyLine("a", 1))), Binding{Kind: "subscription", UID: "u", Field: "secrets"}, []string{}
	for i := range 100 {
		text, err := r.Keyring().Seal(New(fmt.Appendf(nil, "secret number %d", i)), place)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	resolve := func(text string) Secret {
		ref, err := ParseSealedRef(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Resolve(ref.Bound(place))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	held := resolve(texts[0])
	for _, text := range texts[1:] {
		resolve(text)
	}
	kept := func() int {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return len(r.opened)
	}
	for deadline := time.Now().Add(30 * time.Second); kept() > 1 && time.Now().Before(deadline); {
		runtime.GC()
	}
	if n := kept(); n != 1 {
		t.Errorf("%d opened secrets are kept, and one is in use", n)
	}
	if resolve(texts[0]) != held {
		t.Error("the one in use was opened again")
	}
	runtime.KeepAlive(held)
}
