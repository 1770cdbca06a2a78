package admin

import (
	"slices"
	"strings"
)

// right is something that a caller may do.
type right string

const (
	mayRead      right = "read"      // look at everything but payloads
	mayState     right = "state"     // pause, resume, test
	mayWrite     right = "write"     // make, change and remove sources and subscriptions
	mayURL       right = "url"       // say where deliveries go
	mayRotate    right = "rotate"    // put new secrets
	mayPayload   right = "payload"   // see the bodies of events
	mayReplay    right = "replay"    // send events again
	mayKeys      right = "keys"      // make and revoke API keys
	mayTenants   right = "tenants"   // make, change and remove tenants
	mayApply     right = "apply"     // apply a set of entries
	mayReseal    right = "reseal"    // seal all secrets anew
	mayReference right = "reference" // name variables and files as secrets, as secrets.allow lets it
)

// rightsOf is the one table that says which role has which right; whoever has several
// roles has the rights of all. Some operations are the operator's alone whatever a
// tenant's key has: see operation.operator.
func rightsOf() map[string][]right {
	return map[string][]right{
		"viewer":   {mayRead},
		"operator": {mayRead, mayState, mayReplay},
		"editor":   {mayRead, mayState, mayWrite, mayURL, mayRotate},
		"payloads": {mayRead, mayPayload},
		"admin": {
			mayRead, mayState, mayWrite, mayURL, mayRotate, mayPayload, mayReplay,
			mayKeys, mayTenants, mayApply, mayReseal, mayReference,
		},
	}
}

// caller is who makes a request.
type caller struct {
	who     string // id of the key; "loopback" without one
	tenant  string // "": the operator
	rights  map[right]bool
	keyless bool
}

// keyless is what the caller is who needs no key: the administrator, who sits at the
// machine itself.
func keyless() caller {
	return caller{who: "loopback", rights: rightsFor([]string{"admin"}), keyless: true}
}

func rightsFor(roles []string) map[right]bool {
	rights := map[right]bool{}
	table := rightsOf()
	for _, role := range roles {
		for _, r := range table[role] {
			rights[r] = true
		}
	}
	return rights
}

// missing are those of the rights that the caller does not have.
func (c caller) missing(needs []right) []right {
	return slices.DeleteFunc(slices.Clone(needs), func(r right) bool { return c.rights[r] })
}

// grantedBy names the roles that have all of the rights.
func grantedBy(needs []right) string {
	var roles []string
	for role, has := range rightsOf() {
		if !slices.ContainsFunc(needs, func(r right) bool { return !slices.Contains(has, r) }) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return strings.Join(roles, " or ")
}

func join(rights []right) string {
	texts := make([]string, len(rights))
	for i, r := range rights {
		texts[i] = string(r)
	}
	return strings.Join(texts, ", ")
}
