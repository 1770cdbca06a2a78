package provider

import (
	"slices"
	"strings"

	"causeway/pkg/signature"
)

// generic makes the scheme of a generic provider from the source's settings,
// and notes what is missing or out of place. It is nil for the presets that
// have a scheme of their own.
func (d *definition) generic(s Settings, f *faults) *signature.Scheme {
	given := map[string]bool{"hmac": s.HMAC != nil, "token": s.Token != nil, "basic": s.Basic != nil}
	for _, name := range []string{"hmac", "token", "basic"} {
		if given[name] && d.Generic != name {
			f.add(name, "is for provider %s; this source's is %s", name, d.Name)
		}
	}
	switch d.Generic {
	case "hmac":
		if s.HMAC == nil {
			f.add("hmac", "is missing: provider hmac wants at least hmac.header")
			return nil
		}
		return s.HMAC.scheme(f)
	case "token":
		if s.Token == nil {
			s.Token = &Token{}
		}
		return s.Token.scheme()
	case "basic":
		if s.Basic == nil {
			f.add("basic", "is missing: provider basic wants basic.username")
			return nil
		}
		return &signature.Scheme{Kind: "basic", Header: "Authorization", Username: s.Basic.Username}
	}
	return nil
}

func (h *HMAC) scheme(f *faults) *signature.Scheme {
	algorithm := signature.Algorithm{
		Name:     "hmac-" + oneOf("hmac.algorithm", h.Algorithm, f, "sha256", "sha1", "sha512"),
		Encoding: oneOf("hmac.encoding", h.Encoding, f, "hex", "base64"),
		Key:      oneOf("hmac.key", h.Key, f, "raw", "hex", "base64", "whsec"),
	}
	s := &signature.Scheme{
		Kind:       "signature",
		Header:     h.Header,
		Prefix:     h.Prefix,
		Message:    h.Message,
		Algorithms: []signature.Algorithm{algorithm},
	}
	if len(s.Message) == 0 {
		s.Message = []string{"{body}"}
	}
	if t := h.Timestamp; t != nil {
		s.Timestamp = &signature.Timestamp{From: "header:" + t.Header, Unit: t.Unit, Tolerance: t.Tolerance}
	}
	return s
}

func (t *Token) scheme() *signature.Scheme {
	s := &signature.Scheme{Kind: "token", Header: t.Header}
	if s.Header == "" {
		s.Header = "Authorization"
	}
	switch {
	case t.Prefix != nil:
		s.Prefix = *t.Prefix
	case strings.EqualFold(s.Header, "Authorization"):
		s.Prefix = "Bearer "
	}
	return s
}

// oneOf gives the value, the first of those allowed when there is none.
func oneOf(key, value string, f *faults, allowed ...string) string {
	if value != "" && !slices.Contains(allowed, value) {
		f.add(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
	if !slices.Contains(allowed, value) {
		return allowed[0]
	}
	return value
}
