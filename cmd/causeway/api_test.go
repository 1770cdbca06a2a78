package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/pkg/admin"
)

func TestExitCodes(t *testing.T) {
	problem := func(status int) error { return fmt.Errorf("do it: %w", shown(&admin.Problem{Status: status})) }
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"done":                     {nil, exitDone},
		"anything":                 {errors.New("no"), exitFailed},
		"told already":             {errReported, exitFailed},
		"told already, with why":   {reported(exitDifferent), exitDifferent},
		"misused":                  {fmt.Errorf("x: %w", usageError{"apply", errors.New("no")}), exitMisused},
		"bad request":              {problem(400), exitFailed},
		"no key":                   {problem(401), exitForbidden},
		"no right":                 {problem(403), exitForbidden},
		"not there":                {problem(404), exitFailed},
		"taken":                    {problem(409), exitConflict},
		"changed meanwhile":        {problem(412), exitConflict},
		"invalid":                  {problem(422), exitFailed},
		"too many":                 {problem(429), exitFailed},
		"broken":                   {problem(500), exitFailed},
		"without its catalog":      {problem(503), exitUnreachable},
		"nobody there":             {fmt.Errorf("x: %w", &unansweredError{err: errors.New("refused")}), exitUnreachable},
		"joined with other faults": {errors.Join(problem(409), errors.New("line 1")), exitConflict},
	} {
		t.Run(name, func(t *testing.T) {
			if got := exitCodeOf(tc.err); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	page := causeway(t, "", "help", "exit-codes")
	for _, c := range exitCodes() {
		if line := fmt.Sprintf("  %d  %s\n", c.code, c.doc); !strings.Contains(page.out, line) {
			t.Errorf("no %q in %q", line, page.out)
		}
	}
}

func TestAnAnswerThatGetsLost(t *testing.T) {
	f := newFakeAPI(t)
	file := writeFile(t, "team.yaml", shortForm)
	hang := make(chan struct{})
	for name, first := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"before it began": func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) },
		"in the middle": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"version":`)
			return true
		},
		"as the API knows": func(w http.ResponseWriter, _ *http.Request) bool {
			f.problem(w, admin.Problem{Status: 503, Code: "unknown_outcome", Detail: "Kafka went away in the middle"})
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.begin(first)
			causeway(t, "", "apply", "--set", "x", "-f", file).want(t, exitUnreachable, "apply 1 tenant, 1 source, 1 subscription to set x: ", "it may have been done or not", "the same command with --dry-run says which")
			causeway(t, "", "subscription", "pause", "x").want(t, exitUnreachable, "pause subscription x: ", "it may have been done or not", "look with show or list")
			if name == "as the API knows" {
				return // of a change, which looking is not
			}
			r := causeway(t, "", "subscription", "show", "x")
			r.want(t, exitUnreachable, "show subscription x: ")
			if strings.Contains(r.err, "may have been") {
				t.Errorf("a look changes nothing: %s", r.err)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f.begin(func(_ http.ResponseWriter, r *http.Request) bool {
			cancel() // Ctrl-C, with all of the request there
			select {
			case <-r.Context().Done():
			case <-hang:
			}
			return true
		})
		var out, errs strings.Builder
		code := run(ctx, []string{"apply", "--set", "x", "-f", file}, &out, &errs)
		close(hang)
		if code != exitUnreachable || !strings.Contains(errs.String(), "it may have been done or not") {
			t.Errorf("%d, %s", code, errs.String())
		}
	})
}

func TestNobodyThere(t *testing.T) {
	newFakeAPI(t)
	address, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := causeway(t, "", "subscription", "pause", "x", "--server", "http://"+address)
	r.want(t, exitUnreachable, "the admin API at http://"+address+" cannot be reached", "start causeway dev or causeway admin, or say where it is with --server or CAUSEWAY_SERVER")
	if strings.Contains(r.err, "may have been") {
		t.Errorf("nothing was sent: %s", r.err)
	}
	causeway(t, "", "health", "--server", "nowhere").want(t, exitMisused, "write it like https://causeway.example.com")
	if r := causeway(t, "", "health", "--server", "http://me:canary@127.0.0.1"); r.code != exitMisused || strings.Contains(r.err, "canary") {
		t.Errorf("%+v", r)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	f := newFakeAPI(t)
	t.Setenv(envAPIKey, "cwk_one_0123456789abcdef")
	f.first = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		return true
	}
	causeway(t, "", "health").want(t, exitFailed, "which is no answer of an admin API")
	if len(f.asked) != 1 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestWhereTheAPIIs(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("CAUSEWAY_ADMIN_LISTEN", "") // TestMain may have one
	t.Setenv(envServer, "")
	file := writeFile(t, "causeway.yaml", "admin: {listen: ':9999'}\nnonsense: true\n")
	for name, tc := range map[string]struct {
		a    api
		env  map[string]string
		want string
	}{
		"nothing is said":              {api{common: &common{}}, nil, defaultServer},
		"a flag":                       {api{common: &common{configPath: file}, server: "https://a"}, map[string]string{envServer: "https://b"}, "https://a"},
		"the environment":              {api{common: &common{configPath: file}}, map[string]string{envServer: "https://b"}, "https://b"},
		"the file, whatever is in it":  {api{common: &common{configPath: file}}, nil, "http://127.0.0.1:9999"},
		"the environment for the file": {api{common: &common{configPath: file}}, map[string]string{"CAUSEWAY_ADMIN_LISTEN": "[::1]:1"}, "http://[::1]:1"},
		"a file that says nothing":     {api{common: &common{configPath: writeFile(t, "c.yaml", "log: {}")}}, nil, defaultServer},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			if got, err := tc.a.address(); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
	causeway(t, "", "health", "-c", writeFile(t, "c.yaml", "admin: {listen: 'secret@x:1'}")).want(t, exitFailed, "admin.listen: this is not an address")
}

func TestWhichAPIKeyIsTaken(t *testing.T) {
	const here, there = "http://127.0.0.1:8701", "https://causeway.example.com"
	data, file := t.TempDir(), writeFile(t, "key", "cwk_file_0123456789\n")
	if err := os.WriteFile(filepath.Join(data, devFile), []byte("admin: cwk_dev_0123456789\nstripe: whsec_x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		server, file, env, data string
		want, err               string
	}{
		"the file's before the environment's": {there, file, "cwk_env_0123456789", data, "cwk_file_0123456789", ""},
		"the environment's before dev's":      {here, "", "cwk_env_0123456789", data, "cwk_env_0123456789", ""},
		"dev's on this machine":               {here, "", "", data, "cwk_dev_0123456789", ""},
		"dev's by name":                       {"http://localhost:1", "", "", data, "cwk_dev_0123456789", ""},
		"dev's goes nowhere else":             {there, "", "", data, "", ""},
		"none on loopback":                    {here, "", "", filepath.Join(data, "none"), "", ""},
		"no such file":                        {here, filepath.Join(data, "none"), "", data, "", "read the API key: open"},
		"not a key":                           {here, "", "whsec_canary_0123456789", data, "", envAPIKey + " holds no API key"},
		"two lines":                           {here, writeFile(t, "two", "cwk_canary_0123456789\ncwk_canary_0123456789\n"), "", data, "", "holds no API key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envAPIKey, tc.env)
			got, _, err := findAPIKey(tc.server, tc.file, tc.data)
			if string(got.Reveal()) != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %q, %v", got.Reveal(), err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("repeated: %v", err)
			}
		})
	}
}

func TestAKeyInTheClearIsWarnedOf(t *testing.T) {
	newFakeAPI(t)
	// Nobody listens at port 1, nor does the address look like this machine's.
	causeway(t, "", "health", "--server", "http://0.0.0.0:1").want(t, exitUnreachable, "http://0.0.0.0:1 is not https")
	if r := causeway(t, "", "__complete", "subscription", "pause", "x", "--server", "http://0.0.0.0:1"); strings.Contains(r.err, "https") {
		t.Errorf("%+v", r)
	}
}

func TestAPIKeysAreMadeAndRevoked(t *testing.T) {
	f := newFakeAPI(t)
	f.first = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
		} else {
			f.answer(w, http.StatusCreated, admin.Key{Meta: admin.Meta{UID: "ab12"}, Roles: []string{"viewer"}, Key: "cwk_ab12_shown-once"})
		}
		return true
	}
	r := causeway(t, "", "key", "create", "--role", "viewer", "--note", "on call", "--expires", "90d")
	r.want(t, exitDone, "API key ab12: made, viewer", "API key, shown this once: cwk_ab12_shown-once\n", "CAUSEWAY_API_KEY")
	if body := f.bodies[0]; !strings.Contains(body, `"note":"on call"`) || !strings.Contains(body, `"expires":"20`) {
		t.Errorf("sent %s", body)
	}
	causeway(t, "", "key", "create").want(t, exitMisused, "name what it may do with --role")
	causeway(t, "", "key", "revoke", "ab12").want(t, exitMisused, "--yes")
	causeway(t, "", "key", "revoke", "cwk_ab12_pasted-by-mistake", "--yes").want(t, exitDone, "API key ab12: revoked")
	if last := f.asked[len(f.asked)-1]; last != "DELETE /keys/ab12" {
		t.Errorf("asked %s", last)
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"12h":                  now.Add(12 * time.Hour),
		"90d":                  now.AddDate(0, 0, 90),
		"2027-01-31":           time.Date(2027, 1, 31, 0, 0, 0, 0, time.Local),
		"2027-01-31T12:00:00Z": time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0d", "-1h", "d", "soon", "2026-11-26", "99999999d"} {
		if got, err := parseExpiry(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestAKeyIsGenerated(t *testing.T) {
	r := causeway(t, "", "key", "generate", "first")
	if r.code != exitDone || r.err != "" || !strings.HasPrefix(r.out, "first:") || strings.Count(r.out, "\n") != 1 || len(r.out) != len("first:")+44+1 {
		t.Errorf("%d, %d bytes, %q", r.code, len(r.out), r.err)
	}
	causeway(t, "", "key", "generate", "Not An Id").want(t, exitMisused, "See causeway key generate --help.")
}

func TestHealth(t *testing.T) {
	f := newFakeAPI(t)
	ready := true
	f.first = func(w http.ResponseWriter, _ *http.Request) bool {
		f.answer(w, http.StatusOK, admin.Health{Ready: ready, Version: "v1", Catalog: 12})
		return true
	}
	causeway(t, "", "health").want(t, exitDone, "ready: release v1, catalog version 12")
	ready = false
	causeway(t, "", "health").want(t, exitFailed, "not ready: ")
}
