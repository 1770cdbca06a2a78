package catalog

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// auditSchema is the newest form of an audit record that this release writes.
const auditSchema = 1

// AuditRecord is one thing that somebody did, as the audit topic has it: a change of
// the catalog, which is written together with it or not at all, or a payload that was
// read.
type AuditRecord struct {
	Schema  int               `json:"schema"`
	At      time.Time         `json:"at"`
	Who     string            `json:"who"` // id of a key, or "apply", "dev"; the record's key
	Tenant  string            `json:"tenant,omitempty"`
	Action  string            `json:"action"` // subscription.create, event.read
	Kind    Kind              `json:"kind,omitempty"`
	UID     string            `json:"uid,omitempty"`
	Name    string            `json:"name,omitempty"`
	Set     string            `json:"set,omitempty"`
	Fields  []FieldDifference `json:"fields,omitempty"`
	Request string            `json:"request,omitempty"`
	Remote  string            `json:"remote,omitempty"`
}

// Audit gives the records of what a change does, one for each entry: those of like
// with what differs. Who, At, Set, Request and Remote are like's.
func Audit(differences []Difference, like AuditRecord) []AuditRecord {
	records := make([]AuditRecord, 0, len(differences))
	for _, d := range differences {
		r := like
		r.Schema, r.At = auditSchema, like.At.UTC()
		r.Action = string(d.Kind) + "." + d.Action.verb()
		r.Kind, r.UID, r.Name, r.Tenant = d.Kind, d.UID, d.Name, d.Tenant
		for _, f := range d.Fields {
			r.Fields = append(r.Fields, FieldDifference{f.Path, summary(f.Before), summary(f.After)})
		}
		records = append(records, r)
	}
	return records
}

// longestAudited is how many bytes of a value the audit repeats. It is kept for a year,
// and somebody may change long lists to and fro.
const longestAudited = 1 << 10

// summary is a value as the audit has it.
func summary(value json.RawMessage) json.RawMessage {
	if len(value) <= longestAudited {
		return value
	}
	return quoted(fmt.Sprintf("[%d bytes, sha256 %x]", len(value), sha256.Sum256(value)))
}

// verb is the action as audit records call it.
func (a Action) verb() string {
	switch a {
	case ActionAdd:
		return "create"
	case ActionChange:
		return "update"
	case ActionRemove:
		return "delete"
	case ActionConflict:
	}
	return string(a)
}

// encodeAudit gives the records' values, by who did it.
func encodeAudit(records []AuditRecord) ([]encoded, error) {
	values := make([]encoded, 0, len(records))
	for _, r := range records {
		r.Schema, r.At = auditSchema, r.At.UTC()
		value, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("write the audit record of %s: %w", r.Action, err)
		}
		values = append(values, encoded{r.Who, value})
	}
	return values, nil
}
