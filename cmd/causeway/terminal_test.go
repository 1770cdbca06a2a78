package main

import "testing"

func TestPrintable(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"plain text stays":                   {"invoice.paid é 漢", "invoice.paid é 漢"},
		"an escape sequence is shown":        {"\x1b[2Jgone", `\x1b[2Jgone`},
		"line ends are shown":                {"a\r\nb\tc", `a\x0d\x0ab\x09c`},
		"the other escape sequence is shown": {"\u009b31m", `\u009b31m`},
		"text that turns the line around":    {"\u202egpj.exe", `\u202egpj.exe`},
		"bytes that are no UTF-8":            {"\xff\x9b", `\xff\x9b`},
		"the end of long text":               {"0123456789abcdefg", "0123456789abcdef..."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := printable(tc.text, 16); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestQuoteIsSafeForAShell(t *testing.T) {
	for word, want := range map[string]string{
		"causeway-data/dev.yaml": "causeway-data/dev.yaml",
		"my data":                "'my data'",
		"it's":                   `'it'\''s'`,
		"$(reboot)":              "'$(reboot)'",
		"":                       "''",
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	allowed := []string{"listen", "public_url", "sources", "reply_timeout"}
	for word, want := range map[string]string{
		"lisetn":       "; did you mean listen?",
		"Listen":       "; did you mean listen?",
		"source":       "; did you mean sources?",
		"publicurl":    "; did you mean public_url?",
		"replytimeout": "; did you mean reply_timeout?",
		"brokers":      "",
		"x":            "",
		"":             "",
	} {
		if got := didYouMean(word, allowed); got != want {
			t.Errorf("didYouMean(%q) = %q, want %q", word, got, want)
		}
	}
}
