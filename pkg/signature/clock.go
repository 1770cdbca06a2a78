package signature

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const defaultTolerance = 5 * time.Minute

// clock is a Timestamp compiled.
type clock struct {
	header    string // canonical; empty: a parameter of the signature header
	param     int
	unit      string
	tolerance time.Duration
}

func (c *Compiled) compileClock(t Timestamp, f *faults) *clock {
	out := &clock{unit: t.Unit, tolerance: defaultTolerance}
	if name, ok := strings.CutPrefix(t.From, "header:"); ok && isToken(name) {
		out.header = http.CanonicalHeaderKey(name)
		if !slices.Contains(c.Signed(), strings.ToLower(name)) {
			f.add("timestamp.from", "%s is not part of the message: anybody could change it; add {header:%s} to message", t.From, name)
		}
	} else if name, ok := strings.CutPrefix(t.From, "sig."); ok {
		if out.param = slices.Index(c.params, name); out.param < 0 {
			f.add("timestamp.from", "%s is not part of the message: anybody could change it; add {sig.%s} to message", t.From, name)
		}
	} else {
		f.add("timestamp.from", "%q is neither header:NAME nor sig.NAME", t.From)
	}
	switch t.Unit {
	case "":
		out.unit = "s"
	case "s", "ms", "rfc3339":
	default:
		f.add("timestamp.unit", "%q is not one of s, ms, rfc3339", t.Unit)
	}
	if t.Tolerance != "" {
		d, err := time.ParseDuration(t.Tolerance)
		if err != nil || d <= 0 || d > 24*time.Hour {
			f.add("timestamp.tolerance", "%q is not a time of at most 24h, such as 5m", t.Tolerance)
		}
		out.tolerance = d
	}
	return out
}

// read gives the timestamp's text.
func (k *clock) read(m *Message, params *[maxParams]string) (string, error) {
	if k.header == "" {
		return params[k.param], nil
	}
	return one(m.Header, k.header)
}

// check refuses what was signed too long ago, or too far ahead: a sender's
// clock that runs fast would else give a message a longer life than intended.
func (k *clock) check(text string, now time.Time) error {
	at, ok := k.parse(text)
	if !ok {
		return fmt.Errorf("%w: the timestamp is not one", ErrMalformed)
	}
	switch age := now.Sub(at); {
	case age > k.tolerance:
		return fmt.Errorf("%w: %s ago, %s is accepted", ErrExpired, age.Round(time.Second), k.tolerance)
	case age < -k.tolerance:
		return fmt.Errorf("%w: %s ahead of this machine's clock, %s is accepted", ErrExpired, -age.Round(time.Second), k.tolerance)
	}
	return nil
}

func (k *clock) parse(text string) (time.Time, bool) {
	if k.unit == "rfc3339" {
		at, err := time.Parse(time.RFC3339Nano, text)
		return at, err == nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > 15 { // year 33658 in ms: no overflow further on
		return time.Time{}, false
	}
	if k.unit == "ms" {
		return time.UnixMilli(int64(n)), true
	}
	return time.Unix(int64(n), 0), true
}

func (k *clock) append(to []byte, now time.Time) []byte {
	switch k.unit {
	case "rfc3339":
		return now.UTC().AppendFormat(to, time.RFC3339Nano)
	case "ms":
		return strconv.AppendInt(to, now.UnixMilli(), 10)
	default:
		return strconv.AppendInt(to, now.Unix(), 10)
	}
}
