package seen

import (
	"bytes"
	"testing"
)

func TestOf(t *testing.T) {
	long := bytes.Repeat([]byte("x"), small)
	for name, tc := range map[string]struct {
		a, b [][]byte
		same bool
	}{
		"equal parts are equal":               {[][]byte{[]byte("ab"), []byte("c")}, [][]byte{[]byte("ab"), []byte("c")}, true},
		"where one part ends matters":         {[][]byte{[]byte("ab"), []byte("c")}, [][]byte{[]byte("a"), []byte("bc")}, false},
		"an empty part is a part":             {[][]byte{[]byte("ab"), nil}, [][]byte{[]byte("ab")}, false},
		"order matters":                       {[][]byte{[]byte("a"), []byte("b")}, [][]byte{[]byte("b"), []byte("a")}, false},
		"parts too long for the stack differ": {[][]byte{long, []byte("a")}, [][]byte{long, []byte("b")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Of(tc.a...) == Of(tc.b...); got != tc.same {
				t.Errorf("Of(%q) == Of(%q) is %v, want %v", tc.a, tc.b, got, tc.same)
			}
		})
	}
}

// The two ways of hashing must agree at their border, or an identity would change with
// the length of a tenant's name.
func TestOfHashesShortAndLongAlike(t *testing.T) {
	// SHA-256 of the eight length bytes and the part, cut to 16: computed once outside.
	for name, tc := range map[string]struct {
		size int
		want string
	}{
		"just short enough": {small - 8, "c06b374977e03c54a94222830b46695b"},
		"one byte longer":   {small - 7, "f7c6117a41cb92e91f9e1cbd00fec701"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Of(bytes.Repeat([]byte("x"), tc.size)).String(); got != tc.want {
				t.Errorf("Of(%d bytes) = %s, want %s", tc.size, got, tc.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	want := Of([]byte("an identity"))
	if got, err := Parse(want.String()); err != nil || got != want {
		t.Errorf("Parse(%s) = %s, %v", want, got, err)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"one digit short": want.String()[1:],
		"one digit more":  want.String() + "0",
		"not hex":         "g" + want.String()[1:],
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Parse(text); err == nil {
				t.Errorf("Parse(%q) = %s, want an error", text, got)
			}
		})
	}
}

func TestOfDoesNotAllocate(t *testing.T) {
	a, b := []byte("webhooks.stripe"), []byte("evt_1NG8Du2eZvKYlo2CUI79vXWy")
	if n := testing.AllocsPerRun(100, func() { Of(a, b) }); n != 0 {
		t.Errorf("%v allocations, want none: each record pays for it", n)
	}
}

func BenchmarkOf(b *testing.B) {
	topic, id := []byte("webhooks.stripe"), []byte("evt_1NG8Du2eZvKYlo2CUI79vXWy")
	b.ReportAllocs()
	for b.Loop() {
		Of(topic, id)
	}
}
