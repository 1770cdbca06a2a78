package main

import (
	"encoding/json"
	"os"
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
	var walk func(name string, part any)
	walk = func(name string, part any) {
		switch v := part.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(name, inner)
			}
		case []any:
			for _, inner := range v {
				walk(name, inner)
			}
		case string:
			if v != "" && (filepath.IsAbs(v) || strings.HasSuffix(name, "_file")) {
				found = append(found, fileRef(v)...)
			} else if ref, err := secret.ParseRef(v); err == nil {
				found = append(found, ref)
			}
		}
	}
	walk("", whole)
	return append(found, environment()...)
}

// environment are the variables and files that libraries and Kafka's sessions with AWS
// take without being told.
func environment() []secret.Ref {
	var found []secret.Ref
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
	} {
		if ref, err := secret.ParseRef("env:" + name); err == nil {
			found = append(found, ref)
		}
	}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		if path := os.Getenv(name); path != "" {
			found = append(found, fileRef(path)...)
		}
	}
	return found
}

// fileRef is the reference to a file that is opened by this path, if it can be one.
func fileRef(path string) []secret.Ref {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	ref, err := secret.ParseRef("file:" + path)
	if err != nil {
		return nil
	}
	return []secret.Ref{ref}
}
