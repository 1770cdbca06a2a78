package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"causeway/pkg/secret"
)

// Action is what becomes of an entry.
type Action string

// The actions of a plan. A conflict is an entry that the plan must not touch; one of
// them and nothing of the plan is done.
const (
	ActionAdd      Action = "add"
	ActionChange   Action = "change"
	ActionRemove   Action = "remove"
	ActionConflict Action = "conflict"
)

// Difference is what a change makes of one entry, for people to read.
type Difference struct {
	Kind   Kind              `json:"kind"`
	Name   string            `json:"name"`
	Tenant string            `json:"tenant,omitempty"`
	UID    string            `json:"uid,omitempty"`
	Action Action            `json:"action"`
	Text   string            `json:"text,omitempty" doc:"Why it is a conflict, and what to do."`
	Fields []FieldDifference `json:"fields,omitempty"`
}

// FieldDifference is one field before and after a change; null where it was not there.
// A secret is shown by its reference or, a sealed one, by its key's id and a
// fingerprint of the sealed text; never as the text.
type FieldDifference struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Compare says what differs between two forms of one entry; nil stands for one that
// is not there yet or any more. Versions, times and authors are no differences.
func Compare(before, after *Entry) Difference {
	e, action := after, ActionChange
	switch {
	case before == nil:
		action = ActionAdd
	case after == nil:
		e, action = before, ActionRemove
	}
	return Difference{
		Kind: e.Kind, Name: e.Name, Tenant: e.Tenant, UID: e.UID, Action: action,
		Fields: compareFields(shown(before), shown(after)),
	}
}

// shown is what of an entry is shown, by path, with its secrets made unreadable.
func shown(e *Entry) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	if e == nil {
		return fields
	}
	flatten(fields, "", e.Spec)
	for path, text := range map[string]string{"name": e.Name, "owner": e.Tenant, "set": e.Set} {
		if text != "" {
			fields[path] = quoted(text)
		}
	}
	if e.Paused {
		fields["paused"] = json.RawMessage("true")
	}
	if len(e.Retire) > 0 {
		retire := make(map[string]string, len(e.Retire))
		for text, until := range e.Retire {
			retire[showSecret(text)] = until.UTC().Format("2006-01-02T15:04:05Z")
		}
		fields["retire"], _ = json.Marshal(retire) // strings alone
	}
	return fields
}

// flatten takes objects apart and leaves lists whole. What is empty is as if it was
// left out.
func flatten(fields map[string]json.RawMessage, path string, value json.RawMessage) {
	var object map[string]json.RawMessage
	switch value = bytes.TrimSpace(value); {
	case len(value) == 0:
		return
	case value[0] == '{' && json.Unmarshal(value, &object) == nil:
		for name, inner := range object {
			flatten(fields, strings.TrimPrefix(path+"."+name, "."), inner)
		}
	case path == "secrets":
		fields[path] = showSecrets(value)
	case path == "hash":
		fields[path] = quoted("sha256 " + fingerprint(string(value)))
	default:
		var compact bytes.Buffer
		if json.Compact(&compact, value) != nil {
			return // not JSON: nothing that a spec can hold
		}
		switch text := compact.String(); text {
		case `""`, "[]", "null":
		default:
			fields[path] = json.RawMessage(text)
		}
	}
}

func compareFields(before, after map[string]json.RawMessage) []FieldDifference {
	paths := maps.Clone(before)
	maps.Copy(paths, after)
	var fields []FieldDifference
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !bytes.Equal(before[path], after[path]) {
			fields = append(fields, FieldDifference{path, before[path], after[path]})
		}
	}
	return fields
}

func quoted(text string) json.RawMessage {
	value, _ := json.Marshal(text) // a string always can be
	return value
}

// showSecrets shows a list of secrets.
func showSecrets(value json.RawMessage) json.RawMessage {
	var texts []string
	if json.Unmarshal(value, &texts) != nil {
		return json.RawMessage(`"[redacted]"`)
	}
	for i, text := range texts {
		texts[i] = showSecret(text)
	}
	list, _ := json.Marshal(texts) // strings alone
	return list
}

// showSecret shows what kind of a secret a text is. A sealed one has a fingerprint of
// its ciphertext, by which a new one is seen to be new. What is no reference could be
// the secret itself, and has none: of a weak one it would be as good as the secret.
func showSecret(text string) string {
	ref, err := secret.ParseSealedRef(text)
	switch {
	case err != nil:
		return "[redacted]"
	case strings.HasPrefix(text, "sealed:"):
		return ref.String() + " " + fingerprint(text)
	default:
		return ref.String()
	}
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
