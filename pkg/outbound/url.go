package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	faultHTTP = "http sends the event in the clear; use https, or set allow_http"
	faultUser = "a user name or password in the URL would show up in logs; use the settings for credentials"
)

// CheckURL parses raw and checks all that can be checked before its name is resolved. It
// is for the moment a URL is configured: its errors are about the text, and Do refuses
// the same things again.
func CheckURL(raw string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the text, and with it a password.
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case u.Scheme == "https", allowHTTP && u.Scheme == "http":
	case u.Scheme == "http":
		fault(faultHTTP)
	case u.Scheme == "":
		fault("no scheme; write %s", schemes(allowHTTP))
	default:
		// localhost:3000 has the scheme localhost: what else is wrong with it comes of that.
		return nil, fmt.Errorf("scheme %q; write %s", u.Scheme, schemes(allowHTTP))
	}
	if u.User != nil {
		fault(faultUser)
	}
	if u.Fragment != "" || strings.HasSuffix(raw, "#") {
		fault("a fragment (#...) is never sent; leave it out")
	}
	if err := checkHost(u.Hostname()); err != nil {
		errs = append(errs, err)
	}
	if err := checkPort(u); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		texts := make([]string, len(errs)) // one line, for wherever it is shown
		for i, err := range errs {
			texts[i] = err.Error()
		}
		return nil, errors.New(strings.Join(texts, "; "))
	}
	return u, nil
}

func schemes(allowHTTP bool) string {
	if allowHTTP {
		return "https://... or http://..."
	}
	return "https://..."
}

func checkHost(host string) error {
	if host == "" {
		return errors.New("no host")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil // whether it may be reached depends on the networks allowed: at connect
	}
	if len(host) > 253 {
		return fmt.Errorf("a host of %d characters; DNS ends at 253", len(host))
	}
	for _, c := range []byte(host) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
		if !ok {
			return fmt.Errorf("host %q: %q cannot be in a host name; write other alphabets as xn--", host, rune(c))
		}
	}
	if numeric(host) {
		return fmt.Errorf("host %q: neither a name nor an address in the usual form (192.0.2.1)", host)
	}
	return nil
}

// numeric tells hosts like 127.1, 2130706433 and 0x7f.1: addresses to some resolvers,
// names to others.
func numeric(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func checkPort(u *url.URL) error {
	text := u.Port()
	if text == "" {
		if strings.HasSuffix(u.Host, ":") {
			return errors.New("a colon without a port")
		}
		return nil
	}
	if n, err := strconv.ParseUint(text, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %s; a port is 1 to 65535", text)
	}
	return nil
}
