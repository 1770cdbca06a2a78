package schemas

import "testing"

func TestPositionComesBack(t *testing.T) {
	for text, want := range map[string]Position{
		"webhooks.stripe/3/42":             {"webhooks.stripe", 3, 42},
		"t/0/0":                            {"t", 0, 0},
		"t/2147483647/9223372036854775807": {"t", 1<<31 - 1, 1<<63 - 1},
	} {
		got, err := ParsePosition(text)
		if err != nil || got != want {
			t.Errorf("ParsePosition(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%+v.String() = %q, want %q", got, got.String(), text)
		}
	}
}

func TestTextThatIsNoPosition(t *testing.T) {
	for _, text := range []string{
		"", "/", "//", "///", "t", "t/0", "t/0/", "/0/0", "t/-1/0", "t/0/-1", "t/+1/0", "t/01/0", "t/0/00",
		"t/0/0 ", " t/0/x", "t/2147483648/0", "t/0/9223372036854775808", "cluster/t/0/0",
	} {
		if got, err := ParsePosition(text); err == nil {
			t.Errorf("ParsePosition(%q) = %+v, want an error", text, got)
		}
	}
}
