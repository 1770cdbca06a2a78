package admin

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"causeway/pkg/catalog"
)

// authenticate says who makes the request.
func (s *Server) authenticate(r *http.Request, v *visit) (caller, error) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return s.withoutKey(r, v)
	}
	scheme, key, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "bearer") {
		return caller{}, unauthenticated("Authorization wants one API key: Authorization: Bearer cwk_...")
	}
	c, problem := s.checkKey(strings.TrimSpace(key))
	if problem != nil {
		return c, problem
	}
	return c, nil
}

func (s *Server) withoutKey(r *http.Request, v *visit) (caller, error) {
	if !s.o.Loopback || !v.addr.IsLoopback() {
		return caller{}, unauthenticated("an API key is needed: send one as Authorization: Bearer cwk_...; `causeway key create` makes them")
	}
	if err := checkDirect(r); err != nil {
		return caller{}, err
	}
	return keyless(), nil
}

// checkKey looks a key up. For an id that is not there the same work is done as for one
// that is. The caller of a refused key has the id alone, for the audit.
func (s *Server) checkKey(key string) (caller, *Problem) {
	id, formed := parseKey(key)
	entry := s.o.Catalog.State().Entry(catalog.KindKey, id)
	spec, known := catalog.KeySpec{Hash: hashKey("")}, false
	if entry != nil {
		if read, err := entry.KeySpec(); err == nil {
			spec, known = read, true
		}
	}
	same := subtle.ConstantTimeCompare([]byte(hashKey(key)), []byte(spec.Hash)) == 1
	c := caller{}
	if known {
		c.who, c.tenant = id, entry.Tenant
	}
	switch {
	case !formed || !known || !same:
		return c, unauthenticated("the API key is wrong, or it was revoked")
	case spec.Expires != nil && !time.Now().Before(*spec.Expires):
		return c, unauthenticated("the API key has expired: make another with `causeway key create`")
	}
	c.rights = rightsFor(spec.Roles)
	s.uses.note(id, spec.LastUsed)
	return c, nil
}

func unauthenticated(text string) *Problem {
	return refuse(http.StatusUnauthorized, "unauthenticated", "%s", text).with("WWW-Authenticate", `Bearer realm="causeway"`)
}
