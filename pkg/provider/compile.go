package provider

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"causeway/pkg/signature"
)

type faults []error

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, signature.Fault{Key: key, Text: fmt.Sprintf(format, args...)})
}

// addAll takes over the faults of a scheme, seen from the source.
func (f *faults) addAll(prefix string, err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		*f = append(*f, err)
		return
	}
	for _, err := range joined.Unwrap() {
		if fault, ok := errors.AsType[signature.Fault](err); ok && prefix != "" {
			fault.Key = prefix + "." + strings.Replace(fault.Key, "timestamp.from", "timestamp.header", 1)
			err = fault
		}
		*f = append(*f, err)
	}
}

// New puts a preset together with a source's settings. The error joins every
// fault (errors.Join of signature.Fault), each with the setting's key, seen from
// the source, and what is allowed there.
func New(provider string, s Settings) (*Provider, error) {
	def, err := find(provider)
	if err != nil {
		return nil, err
	}
	return def.compile(s)
}

func (d *definition) compile(s Settings) (*Provider, error) {
	var f faults
	p := &Provider{
		name:         d.Name,
		isGeneric:    d.Generic != "",
		headers:      lower(d.Headers),
		bearerBody:   d.BearerBody,
		secretPrefix: d.SecretPrefix,
		samples:      d.Samples,
		handshakes:   slices.Clone(d.Handshakes),
	}
	generic := d.generic(s, &f)
	for _, def := range d.Schemes {
		if generic != nil {
			def.Auth = generic
		}
		compiled, ok := def.compile(d, s.Event, &f)
		if !ok {
			continue // its faults are noted
		}
		p.authHeaders = append(p.authHeaders, compiled.auth.Headers()...)
		if d.wants(def, s.Scheme) {
			p.schemes = append(p.schemes, compiled)
		}
	}
	d.checkScheme(s.Scheme, &f)
	p.authHeaders = append(p.authHeaders, "authorization", "proxy-authorization", "cookie")
	slices.Sort(p.authHeaders)
	p.authHeaders = slices.Compact(p.authHeaders)
	for i := range p.handshakes {
		p.handshakes[i].compile(fmt.Sprintf("handshakes[%d]", i), &f)
	}
	p.methods = methods(p.handshakes)
	p.compileReply(d, &f)
	if f != nil {
		return nil, errors.Join(f...)
	}
	return p, nil
}

func (p *Provider) compileReply(d *definition, f *faults) {
	if d.Reply != nil {
		p.reply = &Reply{Status: d.Reply.Status, ContentType: d.Reply.ContentType, Body: []byte(d.Reply.Body)}
	}
	if d.ReplyTimeout == "" {
		return
	}
	var err error
	if p.replyTimeout, err = time.ParseDuration(d.ReplyTimeout); err != nil || p.replyTimeout <= 0 {
		f.add("reply_timeout", "%q is not a time, such as 3s", d.ReplyTimeout)
	}
}

// wants reports whether a source with this setting takes the scheme: the one it
// names, else the first and those that requests can choose beside it.
func (d *definition) wants(def schemeDefinition, setting string) bool {
	if setting != "" {
		return def.Name == setting
	}
	return def.Name == d.Schemes[0].Name || def.Detect != "" && d.Schemes[0].Detect != ""
}

func (d *definition) checkScheme(setting string, f *faults) {
	if setting == "" {
		return
	}
	var names []string
	for _, def := range d.Schemes {
		names = append(names, def.Name)
	}
	switch {
	case len(names) < 2:
		f.add("scheme", "%q: %s has only one; leave it out", setting, d.Name)
	case !slices.Contains(names, setting):
		f.add("scheme", "%q is not one of %s", setting, strings.Join(names, ", "))
	}
}

func (def schemeDefinition) compile(d *definition, user EventRules, f *faults) (scheme, bool) {
	out := scheme{verifiedBy: d.Name, detect: http.CanonicalHeaderKey(def.Detect)}
	if len(d.Schemes) > 1 && def.Detect == "" {
		out.verifiedBy += "/" + def.Name
	}
	out.event = compileRules(def.Event.merge(user), f)
	auth := def.Auth
	switch def.Use {
	case "standard":
		auth = new(signature.Standard())
	case "svix":
		auth = new(signature.Svix())
	}
	if auth == nil {
		return scheme{}, false // a generic provider without its settings
	}
	var err error
	if out.auth, err = auth.Compile(); err != nil {
		f.addAll(d.Generic, err)
		return scheme{}, false
	}
	if def.Event.Unique && user.ID == "" && !out.event.id.signed(out.auth) {
		f.add("event.unique", "the ID is not in what %s signs", d.Name)
	}
	return out, true
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}
