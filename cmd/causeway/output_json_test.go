package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"causeway/pkg/admin"
)

func TestJSONIsSafeForATerminal(t *testing.T) {
	var out bytes.Buffer
	a := &api{common: &common{stdout: &out}, output: choice{text: "json"}}
	want := admin.TestResult{Response: "\u009b31m red \x1b[0m \u202e turned \x7f \U000e0041 日本 é"}
	if _, err := a.writeValue(want); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("has %q", out.String()[i:])
	}
	if !strings.Contains(out.String(), "日本 é") {
		t.Errorf("%s: what can be shown is escaped too", out.String())
	}
	var got admin.TestResult
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Response != want.Response {
		t.Errorf("read back as %q, %v", got.Response, err)
	}
}
