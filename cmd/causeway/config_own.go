package main

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"causeway/pkg/secret"
)

// references are the variables and files that the process itself works with: passwords
// and keys for Kafka, the registry and its listeners. They are found by what they look
// like, so that none of a later setting is forgotten.
func (c config) references() []secret.Ref {
	c.Ingress.Sources, c.Egress.Subscriptions, c.Secrets = nil, nil, secretsConfig{} // these are what may be given
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // it was read from JSON
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		panic(err)
	}
	var found []secret.Ref
	var walk func(any)
	walk = func(part any) {
		switch v := part.(type) {
		case map[string]any:
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case string:
			if filepath.IsAbs(v) {
				v = "file:" + v
			}
			if !strings.HasPrefix(v, "env:") && !strings.HasPrefix(v, "file:") {
				return
			}
			if ref, err := secret.ParseRef(v); err == nil {
				found = append(found, ref)
			}
		}
	}
	walk(whole)
	return found
}
