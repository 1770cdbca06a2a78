package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// secrets are the texts of the spec's secrets.
func (e *Entry) secrets() []string {
	var spec struct {
		Secrets []string `json:"secrets"`
	}
	if json.Unmarshal(e.Spec, &spec) != nil {
		return nil // said where the spec is read
	}
	return spec.Secrets
}

// dropRetired takes out of Retire what is not among the secrets any more, and the
// first of them.
func (e *Entry) dropRetired() {
	secrets := e.secrets()
	maps.DeleteFunc(e.Retire, func(text string, _ time.Time) bool { return slices.Index(secrets, text) < 1 })
}
