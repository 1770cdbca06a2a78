package catalog

import "time"

// KeySpec is a key of the admin API. The key itself is nowhere: whoever made it was
// shown it once.
type KeySpec struct {
	Hash     string     `json:"hash" doc:"SHA-256 of the whole text of the key, in hex."`
	Roles    []string   `json:"roles" enum:"viewer,operator,editor,payloads,admin" doc:"What it may do."`
	Note     string     `json:"note,omitempty" doc:"What it is for."`
	Expires  *time.Time `json:"expires,omitempty" doc:"When it ends; never when left out."`
	LastUsed *time.Time `json:"last_used,omitempty" doc:"When it was last used, roughly."`
}

// Roles are those that a key may have.
func Roles() []string { return []string{"viewer", "operator", "editor", "payloads", "admin"} }

// TenantSpec reads the spec of a tenant.
func (e *Entry) TenantSpec() (TenantSpec, error) { return readSpec[TenantSpec](e) }

// KeySpec reads the spec of a key.
func (e *Entry) KeySpec() (KeySpec, error) { return readSpec[KeySpec](e) }
