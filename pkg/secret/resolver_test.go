package secret

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func mustRef(t *testing.T, text string) Ref {
	t.Helper()
	ref, err := ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func reveal(t *testing.T, r *Resolver, ref Ref) string {
	t.Helper()
	s, err := r.Resolve(ref)
	if err != nil {
		t.Fatal(err)
	}
	return string(s.Reveal())
}

func TestVariables(t *testing.T) {
	r := NewResolver()
	ref := mustRef(t, "env:CAUSEWAY_TEST_SECRET")
	t.Setenv("CAUSEWAY_TEST_SECRET", "one\n")
	if got := reveal(t, r, ref); got != "one\n" {
		t.Errorf("got %q: a variable is taken as it is", got)
	}
	first, _ := r.Resolve(ref)
	if second, _ := r.Resolve(ref); first != second {
		t.Error("unchanged, and another Secret")
	}
	t.Setenv("CAUSEWAY_TEST_SECRET", "two")
	if got := reveal(t, r, ref); got != "two" {
		t.Errorf("after a change: %q", got)
	}
	t.Setenv("CAUSEWAY_TEST_SECRET", "")
	if _, err := r.Resolve(ref); err == nil || !strings.Contains(err.Error(), "env:CAUSEWAY_TEST_SECRET: is empty") {
		t.Errorf("empty: %v", err)
	}
	if err := os.Unsetenv("CAUSEWAY_TEST_SECRET"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(ref); err == nil || !strings.Contains(err.Error(), "is not set") {
		t.Errorf("not set: %v", err)
	}
}

func TestFixedAndNone(t *testing.T) {
	r := NewResolver()
	if got := reveal(t, r, Fixed(New([]byte("a")))); got != "a" {
		t.Errorf("got %q", got)
	}
	for _, ref := range []Ref{Fixed(Secret{}), {}} {
		if _, err := r.Resolve(ref); err == nil {
			t.Errorf("%s: no error", ref)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string]string{
		"plain": "secret", "newline": "secret\n", "crlf": "secret\r\n", "two": "secret\n\n", "cr": "secret\r",
		"empty": "", "only-newline": "\n", "largest": strings.Repeat("x", 64<<10), "too-large": strings.Repeat(canary, 64<<10/len(canary)+1),
	} {
		write(t, path(name), content)
	}
	if err := os.Symlink("plain", path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("link-loop", path("link-loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ want, err string }{
		"plain":        {want: "secret"},
		"newline":      {want: "secret"},
		"crlf":         {want: "secret"},
		"two":          {want: "secret\n"},
		"cr":           {want: "secret\r"},
		"link":         {want: "secret"},
		"largest":      {want: strings.Repeat("x", 64<<10)},
		"empty":        {err: "is empty"},
		"only-newline": {err: "is empty"},
		"too-large":    {err: "larger than 64 KiB"},
		"missing":      {err: "no such file"},
		"link-loop":    {err: "too many levels"},
		"dir":          {err: "not a regular file"},
		"pipe":         {err: "not a regular file"},
		"plain/under":  {err: "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewResolver().Resolve(mustRef(t, "file:"+path(name)))
			if tc.err == "" {
				if err != nil || string(s.Reveal()) != tc.want {
					t.Errorf("got %q, %v", s.Reveal(), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), name) {
				t.Fatalf("got %v, want an error that names the file and says %q", err, tc.err)
			}
			noCanary(t, "the error", err.Error())
		})
	}
}

func TestAChangedFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	synctest.Test(t, func(t *testing.T) {
		r, ref := NewResolver(), mustRef(t, "file:"+path)
		write(t, path, "one")
		first, err := r.Resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "two")
		time.Sleep(checkEvery - time.Nanosecond)
		if got, _ := r.Resolve(ref); got != first {
			t.Error("read again too soon")
		}
		time.Sleep(time.Nanosecond)
		second, _ := r.Resolve(ref)
		if string(second.Reveal()) != "two" {
			t.Errorf("after %s: %q", checkEvery, second.Reveal())
		}
		time.Sleep(checkEvery)
		if third, _ := r.Resolve(ref); third != second {
			t.Error("unchanged, and another Secret")
		}
	})
}

func TestTheLastGoodContentStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	synctest.Test(t, func(t *testing.T) {
		r, ref := NewResolver(), mustRef(t, "file:"+path)
		write(t, path, "good")
		if got := reveal(t, r, ref); got != "good" || r.Problems() != nil {
			t.Fatalf("got %q, problems %v", got, r.Problems())
		}
		for what, spoil := range map[string]func(){
			"removed": func() { _ = os.Remove(path) },
			"emptied": func() { write(t, path, "") },
			"bloated": func() { write(t, path, strings.Repeat(canary, 64<<10)) },
		} {
			spoil()
			time.Sleep(checkEvery)
			if got := reveal(t, r, ref); got != "good" {
				t.Errorf("%s: %q", what, got)
			}
			problems := r.Problems()
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), path) {
				t.Errorf("%s: problems %v", what, problems)
			}
		}
		write(t, path, "better")
		time.Sleep(checkEvery)
		if got := reveal(t, r, ref); got != "better" || r.Problems() != nil {
			t.Errorf("mended: %q, problems %v", got, r.Problems())
		}
	})
}

func TestAFileThatComesLaterIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	synctest.Test(t, func(t *testing.T) {
		r, ref := NewResolver(), mustRef(t, "file:"+path)
		if _, err := r.Resolve(ref); err == nil {
			t.Fatal("no error")
		}
		if r.Problems() != nil {
			t.Errorf("a secret that never was good is Resolve's error only: %v", r.Problems())
		}
		write(t, path, "here")
		time.Sleep(checkEvery)
		if got := reveal(t, r, ref); got != "here" {
			t.Errorf("got %q", got)
		}
	})
}

func TestManyMayResolveAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "a")
	t.Setenv("CAUSEWAY_TEST_SECRET", "b")
	r := NewResolver().WithKeyring(keyring(t, keyLine("first", 1)))
	refs := []Ref{mustRef(t, "file:"+filepath.Join(dir, "a")), mustRef(t, "env:CAUSEWAY_TEST_SECRET"), sealedRef(t, golden).Bound(here())}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				for i, want := range []string{"a", "b", canary} {
					if s, err := r.Resolve(refs[i]); err != nil || !bytes.Equal(s.Reveal(), []byte(want)) {
						t.Errorf("%s: %v", refs[i], err)
					}
				}
				r.Problems()
			}
		})
	}
	wg.Wait()
}

func BenchmarkResolve(b *testing.B) {
	path := filepath.Join(b.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Setenv("CAUSEWAY_TEST_SECRET", "secret")
	for _, text := range []string{"file:" + path, "env:CAUSEWAY_TEST_SECRET", golden} {
		name, _, _ := strings.Cut(text, ":")
		b.Run(name, func(b *testing.B) {
			r := NewResolver().WithKeyring(keyring(b, keyLine("first", 1)))
			ref := sealedRef(b, text).Bound(here())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Resolve(ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
