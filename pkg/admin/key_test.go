package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"causeway/pkg/catalog"
)

func TestKeysAreCheckedWhole(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	other := w.key("", "viewer")
	id, ok := parseKey(key)
	if !ok {
		t.Fatalf("%q has not the form of a key", key)
	}
	otherID, _ := parseKey(other)
	must[Page[Source]](w, 200, "GET", "/sources", key, nil)
	must[Page[Source]](w, 200, "GET", "/sources", "", nil, "Authorization", "bearer "+key)
	flipped := key[:len(key)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(key, "0")]
	first := w.refusal(401, "unauthenticated", "GET", "/sources", flipped, nil)
	for name, text := range map[string]string{
		"another's secret":          strings.Replace(other, otherID, id, 1),
		"an id that is not there":   strings.Replace(key, id, "000000000000", 1),
		"cut short":                 key[:len(key)-1],
		"with more":                 key + "0",
		"in capitals":               strings.ToUpper(key),
		"no key":                    "hunter2",
		"empty":                     " ",
		"an id that is a path":      strings.Replace(key, id, "../../x", 1),
		"two of them with a comma":  key + "," + other,
		"hash instead of the key":   keyPrefix + id + "_" + hashKey(key),
		"the key of the empty text": "cwk__" + strings.Repeat("0", 64),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			if p := w.refusal(401, "unauthenticated", "GET", "/sources", text, nil); p.Detail != first.Detail && !strings.Contains(p.Detail, "wants one API key") {
				t.Errorf("another answer: %s", p.Detail)
			}
		})
	}
	w.t = t
	must[struct{}](w, 204, "DELETE", "/keys/"+id, "", nil)
	w.refusal(401, "unauthenticated", "GET", "/sources", key, nil)
	must[Page[Source]](w, 200, "GET", "/sources", other, nil)
	for _, secret := range []string{key, other, key[len(key)-64:], flipped} {
		if strings.Contains(w.logged.String(), secret) || strings.Contains(w.files(), secret) {
			t.Error("a key is in the log or in the catalog")
		}
	}
}

func TestAKeyExpires(t *testing.T) {
	w := newWorld(t)
	soon := time.Now().Add(time.Hour)
	made := must[Key](w, 201, "POST", "/keys", "", KeyInput{Roles: []string{"viewer"}, Expires: &soon, Note: "for a test"})
	must[Page[Source]](w, 200, "GET", "/sources", made.Key, nil)
	listed := must[Page[Key]](w, 200, "GET", "/keys", "", nil)
	if len(listed.Items) != 1 || listed.Items[0].Key != "" || listed.Items[0].Note != "for a test" || listed.Items[0].Expires == nil {
		t.Errorf("listed %+v", listed)
	}
	_, err := w.store.Update(t.Context(), func(s *catalog.State) (catalog.Changes, error) {
		e := s.Entry(catalog.KindKey, made.UID).Copy()
		spec, err := e.KeySpec()
		if err != nil {
			return catalog.Changes{}, err
		}
		spec.Expires = new(time.Now().Add(-time.Second))
		return catalog.Changes{Put: []*catalog.Entry{e}}, e.SetSpec(spec)
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := w.refusal(401, "unauthenticated", "GET", "/sources", made.Key, nil); !strings.Contains(p.Detail, "expired") {
		t.Errorf("does not say that it has expired: %s", p.Detail)
	}
	past := time.Now().Add(-time.Hour)
	w.refusal(422, "invalid", "POST", "/keys", "", KeyInput{Roles: []string{"viewer"}, Expires: &past})
}

func TestTheLastUseIsWrittenOnceAnHour(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	id, _ := parseKey(key)
	before := w.store.State().Version
	for range 3 {
		must[Page[Source]](w, 200, "GET", "/sources", key, nil)
		w.writeUses(t.Context())
	}
	if got := w.store.State().Version; got != before+1 {
		t.Errorf("wrote %d times", got-before)
	}
	spec, err := w.store.State().Entry(catalog.KindKey, id).KeySpec()
	if err != nil || spec.LastUsed == nil || time.Since(*spec.LastUsed) > useStep {
		t.Errorf("last used %v, %v", spec.LastUsed, err)
	}
	must[Page[Source]](w, 200, "GET", "/sources", key, nil)
	if taken := w.uses.take(); len(taken) != 0 {
		t.Errorf("noted again: %v", taken)
	}
}

func TestRefusalsAreAudited(t *testing.T) {
	w := newWorld(t)
	key := w.key("", "viewer")
	id, _ := parseKey(key)
	w.actions()
	w.refusal(401, "unauthenticated", "GET", "/sources", "cwk_nobody_"+strings.Repeat("0", 64), nil)
	w.refusal(401, "unauthenticated", "GET", "/sources", key[:len(key)-3]+"000", nil)
	w.refusal(403, "forbidden", "POST", "/reseal", key, nil)
	w.writeRefusals(t.Context())
	var got []string
	for _, r := range w.audit {
		got = append(got, r.Action+" "+r.Who+" "+r.UID)
		if r.Remote != "127.0.0.1" || r.Request == "" || r.At.IsZero() {
			t.Errorf("record %+v", r)
		}
	}
	if want := "refused.auth.refused unknown , refused.auth.refused unknown " + id + ", refused.reseal " + id + " "; strings.Join(got, ", ") != want {
		t.Errorf("audited %q, want %q", got, want)
	}
	text, err := json.Marshal(w.audit)
	if err != nil || strings.Contains(string(text), key) {
		t.Error("the key is in the audit")
	}
}

func FuzzKey(f *testing.F) {
	_, key := newKey()
	f.Add(key)
	f.Add("cwk__")
	f.Add("cwk_a_" + strings.Repeat("0", 64) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parseKey(text)
		if ok && (!strings.HasPrefix(text, keyPrefix+id+"_") || len(text) != len(keyPrefix)+len(id)+1+64) {
			t.Errorf("%q has the id %q", text, id)
		}
	})
}
