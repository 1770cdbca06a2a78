package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"

	"causeway/pkg/catalog"
)

// Somebody else waits while one entry's faults are collected.
func TestOfManyFaultsSomeAreTold(t *testing.T) {
	c := newChecked(t)
	e := c.subscription(t, "acme", "new", `"sources":["stripe"],"retry":{"never_on":[`+strings.Repeat("1,", 250)+`1]}`)
	if faults := catalog.NewChecker(c.State(), c.o).Check(e, acme()); len(faults) != 50 {
		t.Errorf("%d faults, want 50", len(faults))
	}
}

// The audit is kept for a year: a long value stands there as its length and digest.
func TestTheAuditRepeatsNoLongValue(t *testing.T) {
	long := json.RawMessage(`["` + strings.Repeat("x", 5000) + `"]`)
	other := json.RawMessage(`["` + strings.Repeat("y", 5000) + `"]`)
	differences := []catalog.Difference{{
		Kind: catalog.KindSubscription, Name: "billing", Action: catalog.ActionChange,
		Fields: []catalog.FieldDifference{{Path: "types", Before: long, After: other}, {Path: "url", After: json.RawMessage(`"https://a.example.com/"`)}},
	}}
	records := catalog.Audit(differences, catalog.AuditRecord{Who: "k"})
	fields := records[0].Fields
	if !strings.HasPrefix(string(fields[0].Before), `"[5004 bytes, sha256 `) || string(fields[0].Before) == string(fields[0].After) {
		t.Errorf("a long value stands there as %.100s and %.100s", fields[0].Before, fields[0].After)
	}
	if string(fields[1].After) != `"https://a.example.com/"` || fields[1].Before != nil {
		t.Errorf("a short one as %s", fields[1].After)
	}
	if len(differences[0].Fields[0].Before) != len(long) {
		t.Error("what the caller has was shortened")
	}
}
