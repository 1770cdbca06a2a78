package outbound

import (
	"strings"
	"testing"
)

func TestCheckURL(t *testing.T) {
	for name, tc := range map[string]struct {
		raw       string
		allowHTTP bool
		says      string // in the error; empty: none
	}{
		"https":                             {"https://hooks.example.com/a?b=c", false, ""},
		"a port":                            {"https://hooks.example.com:8443/", false, ""},
		"no path":                           {"https://hooks.example.com", false, ""},
		"an address":                        {"https://8.8.8.8/", false, ""},
		"an IPv6 address":                   {"https://[2606:4700::1]:8443/", false, ""},
		"a private address is for later":    {"https://10.0.0.1/", false, ""},
		"a name with an underscore":         {"https://my_app.internal/", false, ""},
		"a name in the root":                {"https://hooks.example.com./", false, ""},
		"a name like a container's":         {"https://3f4e5d6c7b8a/", false, ""},
		"a name in punycode":                {"https://xn--bcher-kva.example/", false, ""},
		"http where it is allowed":          {"http://localhost:3000/", true, ""},
		"http where it is not":              {"http://localhost:3000/", false, "allow_http"},
		"nothing":                           {"", false, "no scheme"},
		"no scheme":                         {"hooks.example.com/x", false, "no scheme"},
		"another scheme":                    {"ftp://hooks.example.com/", true, `"ftp"`},
		"a name and a port for a URL":       {"localhost:3000", true, `scheme "localhost"; write https://... or http://...`},
		"two faults on one line":            {"https://me@hooks.example.com/#x", false, "credentials; a fragment"},
		"a scheme without slashes":          {"https:hooks.example.com", false, "no host"},
		"no host":                           {"https:///x", false, "no host"},
		"only a port":                       {"https://:443/", false, "no host"},
		"a user":                            {"https://me@hooks.example.com/", false, "user name"},
		"a user and a password":             {"https://me:hunter2@hooks.example.com/", false, "user name"},
		"an empty user":                     {"https://@hooks.example.com/", false, "user name"},
		"a fragment":                        {"https://hooks.example.com/#x", false, "fragment"},
		"an empty fragment":                 {"https://hooks.example.com/#", false, "fragment"},
		"port zero":                         {"https://hooks.example.com:0/", false, "1 to 65535"},
		"a port too high":                   {"https://hooks.example.com:65536/", false, "1 to 65535"},
		"a colon without a port":            {"https://hooks.example.com:/", false, "without a port"},
		"a port that is no number":          {"https://hooks.example.com:https/", false, "not a URL"},
		"a short address":                   {"https://127.1/", false, "usual form"},
		"an address as one number":          {"https://2130706433/", false, "usual form"},
		"an address in octal":               {"https://0177.0.0.1/", false, "usual form"},
		"an address in hex":                 {"https://0x7f000001/", false, "usual form"},
		"an address with a hex part":        {"https://127.0.0.0X1/", false, "usual form"},
		"an address too long":               {"https://1.2.3.4.5/", false, "usual form"},
		"an address in the root":            {"https://127.0.0.1./", false, "usual form"},
		"other alphabets":                   {"https://bücher.example/", false, "xn--"},
		"digits of other alphabets":         {"https://①②⑦.⓪.⓪.①/", false, "xn--"},
		"a host with a percent":             {"https://a%2fb/", false, "not a URL"},
		"a space":                           {"https://hooks.exa mple/", false, "not a URL"},
		"a line break":                      {"https://hooks.example/\r\nX: y", false, "not a URL"},
		"a name too long":                   {"https://" + strings.Repeat("a.", 127) + "a/", false, "253"},
		"a broken escape hides no password": {"https://me:hunter2@%zz/", false, "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := CheckURL(tc.raw, tc.allowHTTP)
			switch {
			case tc.says == "" && (err != nil || u.String() != tc.raw):
				t.Errorf("CheckURL(%q) = %v, %v", tc.raw, u, err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("CheckURL(%q) = %v, want an error that says %q", tc.raw, err, tc.says)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("CheckURL(%q) repeats the password: %v", tc.raw, err)
			}
		})
	}
}

func TestCheckURLNamesEveryFault(t *testing.T) {
	_, err := CheckURL("http://me@127.1:0/#x", false)
	for _, want := range []string{"allow_http", "user name", "fragment", "usual form", "1 to 65535"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// FuzzCheckURL looks for a URL that passes and that Do would refuse for its text, or that
// reads differently once written out.
func FuzzCheckURL(f *testing.F) {
	for _, raw := range []string{"https://hooks.example.com:8443/a?b=c", "http://127.1/", "https://[fe80::1%25eth0]/", "https://a@b/", "https://\x00/", "//x", "https://0x.1"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := CheckURL(raw, false)
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, " \r\n\x00@/\\") {
			t.Fatalf("CheckURL(%q) let %#v through", raw, u)
		}
		again, err := CheckURL(u.String(), false)
		if err != nil || again.Host != u.Host {
			t.Fatalf("CheckURL(%q) is %q, and that again %v, %v", raw, u, again, err)
		}
	})
}
