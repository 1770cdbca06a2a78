package provider

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"causeway/pkg/signature"
)

// definition is one provider in providers.yaml.
type definition struct {
	Name         string             `json:"name"`
	Title        string             `json:"title"`
	Generic      string             `json:"generic"` // hmac, token or basic: the user's settings give the scheme
	Schemes      []schemeDefinition `json:"schemes"` // the first is the default
	Headers      []string           `json:"headers"`
	BearerBody   bool               `json:"bearer_body"`
	ReplyTimeout string             `json:"reply_timeout"`
	Reply        *replyDefinition   `json:"reply"`
	Handshakes   []handshake        `json:"handshakes"`
	SecretPrefix string             `json:"secret_prefix"` // of a generated secret, where the scheme does not have one
	Samples      []sample           `json:"samples"`       // the first is the default
}

// schemeDefinition is one way in which a provider authenticates. Where it says
// detect, the request chooses between the schemes that do, which must take the
// same keys and be equally strong.
type schemeDefinition struct {
	Name   string            `json:"name"`
	Use    string            `json:"use"` // standard or svix, instead of auth
	Auth   *signature.Scheme `json:"auth"`
	Detect string            `json:"detect"` // a header
	Event  EventRules        `json:"event"`
}

type replyDefinition struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
}

//go:embed providers.yaml samples
var files embed.FS

// definitions reads the embedded file once: it cannot change, and every source
// of every snapshot asks for it.
var definitions = sync.OnceValues(readDefinitions)

func readDefinitions() ([]definition, error) {
	text, err := files.ReadFile("providers.yaml")
	if err != nil {
		return nil, fmt.Errorf("providers.yaml: %w", err)
	}
	converted, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("providers.yaml: %w", err)
	}
	var defs []definition
	d := json.NewDecoder(bytes.NewReader(converted))
	d.DisallowUnknownFields()
	if err := d.Decode(&defs); err != nil {
		return nil, fmt.Errorf("providers.yaml: %w", err)
	}
	return defs, nil
}

// Names lists the providers, in order of the alphabet.
func Names() []string {
	defs, err := definitions()
	if err != nil {
		return nil
	}
	var names []string
	for i := range defs {
		names = append(names, defs[i].Name)
	}
	slices.Sort(names)
	return names
}

func find(name string) (*definition, error) {
	defs, err := definitions()
	if err != nil {
		return nil, err
	}
	for i := range defs {
		if defs[i].Name == name {
			return &defs[i], nil
		}
	}
	return nil, signature.Fault{Key: "provider", Text: fmt.Sprintf("%q is not one of %s", name, strings.Join(Names(), ", "))}
}
