package kafkatest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errUnavailable is the reason to skip: something that this machine does not
// have, as opposed to something that is wrong.
var errUnavailable = errors.New("real Kafka is not available")

// pom names what is resolved: Kafka and a logger that can be told to be quiet.
//
//go:embed pom.xml
var pom []byte

// pins holds the checksum of every jar, so that a test run starts what was
// looked at when the pin was made, wherever Maven took it from. After a change
// of the pom: sha256sum *.jar > jars.sha256 in the cache's folder.
//
//go:embed jars.sha256
var pins string

// jars returns the folder with Kafka's jars, fetched by Maven on first use into
// the user's cache, and verified each time.
func jars(ctx context.Context) (string, error) {
	// The folder is named for what belongs in it, so that two versions of the
	// pins never fight over one.
	sum := sha256.Sum256([]byte(pins))
	dir, unlock, err := cacheDir("kafka-" + hex.EncodeToString(sum[:6]))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := fetch(ctx, dir, pom); err != nil {
			return "", err
		}
	}
	if err := verify(dir); err != nil {
		return "", fmt.Errorf("%w: if nobody meddled with it, delete %s", err, dir)
	}
	return dir, nil
}

// cacheDir gives a folder of the user's cache, which may not be there yet, and
// locks it: packages are tested in processes of their own, at the same time.
func cacheDir(name string) (dir string, unlock func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("find the user's cache folder: %w", err)
	}
	dir = filepath.Join(cache, "causeway", name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", nil, fmt.Errorf("make the cache folder: %w", err)
	}
	if unlock, err = exclusive(dir + ".lock"); err != nil {
		return "", nil, fmt.Errorf("lock the cache folder: %w", err)
	}
	return dir, unlock, nil
}

// fetch lets Maven resolve a pom into dir, which appears only when whole.
func fetch(ctx context.Context, dir string, pom []byte) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("%w: no Maven found to fetch it with", errUnavailable)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "fetch-*")
	if err != nil {
		return fmt.Errorf("make a folder to fetch into: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.WriteFile(filepath.Join(tmp, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("write the pom: %w", err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-ntp",
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
		"-DoutputDirectory="+filepath.Join(tmp, "lib"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = tmp, &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: Maven could not fetch it: %w: %s", errUnavailable, err, lastLine(out.Bytes()))
	}
	if err := os.Rename(filepath.Join(tmp, "lib"), dir); err != nil {
		return fmt.Errorf("move the jars into the cache: %w", err)
	}
	return nil
}

// verify compares the folder with the pins: every jar, and no other file, since
// the whole folder is the class path.
func verify(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the cache folder: %w", err)
	}
	want := make(map[string]string)
	for line := range strings.Lines(pins) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[name] = sum
	}
	for _, e := range entries {
		sum, err := sha256File(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if want[e.Name()] != sum {
			return fmt.Errorf("%s has checksum %s, pinned is %q", e.Name(), sum, want[e.Name()])
		}
		delete(want, e.Name())
	}
	for name := range want {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open a jar: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read a jar: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
