package signature

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Everything that is wrong is said at once, each with its key.
func TestCompileListsEveryFault(t *testing.T) {
	_, err := Scheme{
		Kind: "signature", Header: "X Y", Prefix: "p=", List: ",", Pair: "=",
		Message:   []string{"{nothing}", "{header:}", "{sig.t", ""},
		Timestamp: &Timestamp{From: "header:X-Time", Unit: "h", Tolerance: "-5m"},
		Algorithms: []Algorithm{
			{Name: "md5", Encoding: "base32", Key: "rot13"},
			{Version: "v1", Name: "ed25519", Encoding: "hex", Key: "raw"},
			{Version: "v1", Name: "hmac-sha1", Encoding: "hex", Key: "ed25519"},
		},
		Username: "me",
	}.Compile()
	want := []string{
		"algorithms[0].encoding", "algorithms[0].key", "algorithms[0].name", "algorithms[0].version",
		"algorithms[1].key", "algorithms[2]", "algorithms[2].key", "header",
		"message", "message[0]", "message[1]", "message[2]", "message[3]",
		"prefix", "timestamp.from", "timestamp.tolerance", "timestamp.unit", "username",
	}
	if got := faultKeys(t, err); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q\n%v", got, want, err)
	}
}

func faultKeys(t *testing.T, err error) []string {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not a list of faults: %v", err)
	}
	var keys []string
	for _, err := range joined.Unwrap() {
		fault, ok := errors.AsType[Fault](err)
		if !ok {
			t.Fatalf("not a Fault: %v", err)
		}
		keys = append(keys, fault.Key)
	}
	slices.Sort(keys)
	return keys
}

func TestCompileRefuses(t *testing.T) {
	one := []Algorithm{{Name: "hmac-sha256", Encoding: "hex", Key: "raw"}}
	body := []string{"{body}"}
	for name, tc := range map[string]struct {
		scheme Scheme
		want   string
	}{
		"no kind":                      {Scheme{Header: "X"}, "kind:"},
		"a body signed twice":          {Scheme{Kind: "signature", Header: "X", Message: []string{"{body}", "{body}"}, Algorithms: one}, "message[1]: {body} is there twice"},
		"a body not signed":            {Scheme{Kind: "signature", Header: "X", Message: []string{"{url}"}, Algorithms: one}, "message: {body} is missing"},
		"a time not signed":            {Scheme{Kind: "signature", Header: "X", Message: body, Timestamp: &Timestamp{From: "header:X-Time"}, Algorithms: one}, "add {header:X-Time}"},
		"a parameter without a list":   {Scheme{Kind: "signature", Header: "X", Message: []string{"{sig.t}", "{body}"}, Algorithms: one}, "message[0]"},
		"a parameter not signed":       {Scheme{Kind: "signature", Header: "X", List: ",", Pair: "=", Message: body, Timestamp: &Timestamp{From: "sig.t"}, Algorithms: one}, "add {sig.t}"},
		"no algorithm":                 {Scheme{Kind: "signature", Header: "X", Message: body}, "algorithms: at least one"},
		"two without a list":           {Scheme{Kind: "signature", Header: "X", Message: body, Algorithms: append(one, one...)}, "room for one"},
		"a list without pairs":         {Scheme{Kind: "signature", Header: "X", List: ",", Message: body, Algorithms: one}, "list and pair go together"},
		"too many parameters":          {Scheme{Kind: "signature", Header: "X", List: ",", Pair: "=", Message: []string{"{sig.a}", "{sig.b}", "{sig.c}", "{sig.d}", "{sig.e}", "{body}"}, Algorithms: one}, "at most 4"},
		"a tolerance of days":          {Scheme{Kind: "signature", Header: "X", Message: []string{"{header:T}", "{body}"}, Timestamp: &Timestamp{From: "header:T", Tolerance: "48h"}, Algorithms: one}, "timestamp.tolerance"},
		"a token with a message":       {Scheme{Kind: "token", Header: "X", Message: body}, "token takes no"},
		"basic without a user":         {Scheme{Kind: "basic", Header: "Authorization"}, "username:"},
		"basic, a user with a colon":   {Scheme{Kind: "basic", Header: "Authorization", Username: "a:b"}, "username:"},
		"a version where there's none": {Scheme{Kind: "signature", Header: "X", Message: body, Algorithms: []Algorithm{{Version: "v1", Name: "hmac-sha256", Encoding: "hex", Key: "raw"}}}, "algorithms[0].version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.scheme.Compile()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestWhatASchemeSaysOfItself(t *testing.T) {
	for name, tc := range map[string]struct {
		headers, signed []string
		body, time      bool
	}{
		"standard v1":     {[]string{"webhook-signature"}, []string{"webhook-id", "webhook-timestamp"}, true, true},
		"prefix and body": {[]string{"sig"}, nil, true, false},
		"bearer":          {[]string{"authorization"}, nil, false, false},
	} {
		c := compile(t, kinds()[name].scheme)
		if !slices.Equal(c.Headers(), tc.headers) || !slices.Equal(c.Signed(), tc.signed) || c.SignsBody() != tc.body || c.SignsTime() != tc.time {
			t.Errorf("%s: headers %q, signed %q, body %v, time %v", name, c.Headers(), c.Signed(), c.SignsBody(), c.SignsTime())
		}
	}
}
