package provider

import (
	"strconv"
	"strings"
	"time"

	"causeway/pkg/signature"
)

// Facts is what a request says about its event.
type Facts struct {
	ID       string    // "" when there is none
	Type     string    // "" when there is none
	Occurred time.Time // zero when there is none
	// Unique says that the ID alone tells events apart: the provider signs it
	// and never uses it twice, or the user said so.
	Unique bool
	// Random says that the user wants every request to be an event of its own.
	Random bool
}

// rules are EventRules compiled.
type rules struct {
	id, typ, occurred rule
	unique, random    bool
}

func compileRules(r EventRules, f *faults) rules {
	out := rules{unique: r.Unique, random: r.ID == "random"}
	var err error
	if !out.random {
		if out.id, err = parseRule(r.ID); err != nil {
			f.add("event.id", "%v, and not random either", err)
		}
	}
	if out.typ, err = parseRule(r.Type); err != nil {
		f.add("event.type", "%v", err)
	}
	if out.occurred, err = parseRule(r.Occurred); err != nil {
		f.add("event.occurred", "%v", err)
	}
	return out
}

// merge puts the user's rules over the preset's. A rule for the ID brings its
// own claim of being unique: the preset's was about another place.
func (r EventRules) merge(user EventRules) EventRules {
	if user.ID != "" {
		r.ID, r.Unique = user.ID, false
	}
	if user.Type != "" {
		r.Type = user.Type
	}
	if user.Occurred != "" {
		r.Occurred = user.Occurred
	}
	r.Unique = r.Unique || user.Unique
	return r
}

// Facts finds out what the request, which has passed Verify, says of its event.
func (p *Provider) Facts(m *signature.Message) Facts {
	r := &p.scheme(m).event
	f := Facts{Type: r.typ.find(m), Random: r.random}
	if f.ID = r.id.find(m); f.ID != "" {
		f.Unique = r.unique
	}
	if r.occurred != nil {
		f.Occurred = parseTime(r.occurred.find(m))
	}
	return f
}

// parseTime reads RFC 3339, or seconds or milliseconds since 1970; the zero
// time when it is neither. Milliseconds are told by their size: as seconds they
// would be after the year 5138.
func parseTime(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	if strings.IndexByte(text, ':') >= 0 { // which no number has, and every RFC 3339 time
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return time.Time{}
		}
		return t.UTC()
	}
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	const milliseconds, end = 1e11, 1e14
	switch {
	case err != nil || n <= 0 || n >= end:
		return time.Time{}
	case n >= milliseconds:
		return time.UnixMilli(n).UTC()
	default:
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return time.Time{}
		}
		return time.UnixMicro(int64(seconds * 1e6)).UTC()
	}
}
