package admin

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// keyInURL says whether a request has a key in its path or query, where logs, proxies
// and histories keep it.
func keyInURL(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	if err != nil {
		query = u.RawQuery
	}
	for _, text := range []string{u.Path, u.RawPath, u.RawQuery, query} {
		if strings.Contains(strings.ToLower(text), keyPrefix) {
			return true
		}
	}
	return false
}

// checkHost refuses names that are not this listener's, so that a page whose own name
// has been made to lead here (DNS rebinding) reaches nothing. Behind a listener that is
// not on loopback stand load balancers with names of their own, and a key is needed
// there, which no such page has.
func (s *Server) checkHost(r *http.Request) *Problem {
	if !s.o.Loopback {
		return nil
	}
	name := strings.ToLower(Hostname(r.Host))
	if slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, name) || slices.Contains(s.o.Hosts, name) || name == s.address.Load() {
		return nil
	}
	return refuse(http.StatusForbidden, "host_refused", "the Host of the request is not one of this listener's: use localhost, or name it in admin.hosts")
}

// Hostname is a Host header without its port and brackets.
func Hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// checkOrigin refuses what a browser sends on behalf of another site's page, reads as
// well. Browsers say so in Sec-Fetch-Site; older ones send an Origin at least with
// everything but plain reads, whose answer they keep from the page.
func checkOrigin(r *http.Request) *Problem {
	ours := true
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
	case "":
		if origin := r.Header.Get("Origin"); origin != "" {
			u, err := url.Parse(origin)
			ours = err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
		}
	default:
		ours = false
	}
	if !ours {
		return refuse(http.StatusForbidden, "cross_origin", "requests that a page of another site makes are refused")
	}
	return nil
}

// checkDirect refuses a caller without a key whose request came through a proxy: one on
// this machine would make everybody whom it serves a caller on loopback. Some proxies
// tell of themselves in no header, as nginx without settings, but speak HTTP/1.0, which
// nobody else does. And it refuses deliveries: where they may go to this machine, another
// causeway's subscriber could be this one.
func checkDirect(r *http.Request) error {
	sign := ""
	if !r.ProtoAtLeast(1, 1) {
		sign = r.Proto
	}
	for name := range r.Header { // also one that is there and empty
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(proxyHeaders(), name) {
			sign = name
		}
		if name == "Webhook-Id" || strings.HasPrefix(name, "Causeway-") {
			return refuse(http.StatusForbidden, "proxied", "this is a delivery to a subscriber (it has %s), which may ask for nothing without a key", name)
		}
	}
	if sign == "" {
		return nil
	}
	return refuse(http.StatusForbidden, "proxied", "a request that came through a proxy (it has %s) needs a key: send one as Authorization: Bearer cwk_...", sign)
}

// proxyHeaders are headers, beside X-Forwarded-*, that only proxies set.
func proxyHeaders() []string {
	return []string{"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Envoy-External-Address"}
}

// hardened are headers of every answer: what comes from here is never a page, never
// kept, and never taken for something else.
func hardened(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}
