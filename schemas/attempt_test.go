package schemas

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAttemptComesBack(t *testing.T) {
	for name, tc := range map[string]struct{ change, expect func(*Attempt) }{
		"as it is":               {},
		"that got no answer":     {change: func(a *Attempt) { a.Status, a.Response, a.ResponseContentType = 0, []byte{}, "" }},
		"that was the last":      {change: func(a *Attempt) { a.NextDue = time.Time{} }},
		"that succeeded":         {change: func(a *Attempt) { a.Error, a.Reason, a.Verdict = "", "", "done" }},
		"with a long response":   {change: func(a *Attempt) { a.Response = make([]byte, 4<<10+1) }, expect: func(a *Attempt) { a.Response = make([]byte, 4<<10) }},
		"with a long error":      {change: func(a *Attempt) { a.Error = strings.Repeat("x", 999) }, expect: func(a *Attempt) { a.Error = strings.Repeat("x", 256) }},
		"with an error in Latin": {change: func(a *Attempt) { a.Error = "caf\xe9" }, expect: func(a *Attempt) { a.Error = "caf\uFFFD" }},
		"of a run without name":  {change: func(a *Attempt) { a.Run = "" }, expect: func(a *Attempt) { a.Run = "0" }},
	} {
		t.Run(name, func(t *testing.T) {
			want := sampleAttempt()
			if tc.change != nil {
				tc.change(want)
			}
			r := want.Record("causeway.attempts")
			if string(r.Key) != want.EventID || r.Topic != "causeway.attempts" {
				t.Errorf("record has key %q, topic %q", r.Key, r.Topic)
			}
			got, err := AttemptFromRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			if tc.expect != nil {
				tc.expect(want)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestRecordThatIsNoAttempt(t *testing.T) {
	replace := func(old, new string) func(*kgo.Record) {
		return func(r *kgo.Record) { r.Value = bytes.Replace(r.Value, []byte(old), []byte(new), 1) }
	}
	for name, tc := range map[string]struct {
		change func(*kgo.Record)
		want   error
		text   string
	}{
		"without schema":        {remove(HeaderSchema), ErrMalformed, "causeway-schema is missing"},
		"of schema 2":           {set(HeaderSchema, "2"), ErrNewerSchema, "reads up to 1"},
		"without value":         {func(r *kgo.Record) { r.Value = nil }, ErrMalformed, "single-object encoding"},
		"in an event's schema":  {func(r *kgo.Record) { copy(r.Value, "\xC3\x01\x29\x1f\x95\x9b\xb2\x2a\xb3\x66") }, ErrNewerSchema, "66b32ab29b951f29"},
		"cut short":             {func(r *kgo.Record) { r.Value = r.Value[:40] }, ErrMalformed, "ends too early"},
		"of no uid":             {replace("6ba7b810-", "6ba7b8100"), ErrMalformed, "subscription"},
		"of no place":           {replace("/3/42", "/3/4x"), ErrMalformed, "origin"},
		"for an unknown reason": {replace("exhausted", "exhaustee"), ErrMalformed, "reason"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sampleAttempt().Record("causeway.attempts")
			tc.change(r)
			_, err := AttemptFromRecord(r)
			checkFault(t, err, tc.want, tc.text, "causeway.attempts/0/0")
		})
	}
}
