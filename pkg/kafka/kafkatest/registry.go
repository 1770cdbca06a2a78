package kafkatest

import (
	"archive/tar"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// registryPom names the one archive that is fetched.
//
//go:embed registry-pom.xml
var registryPom []byte

// The archive, and what runs in it.
const (
	registryArchive = "apicurio-registry-app-2.6.13.Final-all.tar.gz"
	registryPin     = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"
	registryJar     = "apicurio-registry-app-2.6.13.Final-runner.jar"
)

// registry is a schema registry of the test process.
type registry struct {
	dir     string
	port    int
	process *Process
}

// Registry is the URL of the Confluent API of a real schema registry, Apicurio,
// shared by all tests of the process: take subjects that begin with a Prefix of
// your own. Where it cannot be had the test is skipped, unless REQUIRE_KAFKA=1.
func Registry(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.registry == nil && shared.registryErr == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		shared.registry, shared.registryErr = startRegistry(ctx)
	}
	err := shared.registryErr
	if errors.Is(err, errUnavailable) && os.Getenv("REQUIRE_KAFKA") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start the schema registry: %v", err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", shared.registry.port)
}

func startRegistry(ctx context.Context) (r *registry, err error) {
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	archive, err := registryFile(ctx)
	if err != nil {
		return nil, err
	}
	r = &registry{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dir, err = scratch(); err != nil {
		return r, err
	}
	if err := unpack(archive, r.dir); err != nil {
		return r, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return r, err
	}
	r.port = ports[0]
	args := append(quick(), "-Dquarkus.http.host=127.0.0.1", fmt.Sprintf("-Dquarkus.http.port=%d", r.port),
		"-Dquarkus.log.level=WARN", "-jar", filepath.Join(r.dir, registryJar))
	if r.process, err = Spawn(r.log(), nil, java, args...); err != nil {
		return r, err
	}
	return r, r.await(ctx)
}

func (r *registry) log() string { return filepath.Join(r.dir, "registry.log") }

// await returns when the registry answers.
func (r *registry) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7/subjects", r.port), nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-r.process.Done():
			out, _ := os.ReadFile(r.log())
			return fmt.Errorf("the schema registry ended: %s", lastLine(out))
		case <-ctx.Done():
			return fmt.Errorf("the schema registry does not answer: %w", ctx.Err())
		}
	}
}

func (r *registry) close() error {
	var err error
	if r.process != nil {
		err = r.process.Kill()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}

// registryFile returns the archive, fetched by Maven on first use into the user's
// cache, and verified each time.
func registryFile(ctx context.Context) (string, error) {
	dir, unlock, err := cacheDir("apicurio-" + registryPin[:12])
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := fetch(ctx, dir, registryPom); err != nil {
			return "", err
		}
	}
	file := filepath.Join(dir, registryArchive)
	sum, err := sha256File(file)
	if err != nil {
		return "", err
	}
	if sum != registryPin {
		return "", fmt.Errorf("%s has checksum %s, pinned is %s: if nobody meddled with it, delete %s", registryArchive, sum, registryPin, dir)
	}
	return file, nil
}

// unpack writes the archive's files below dir.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(strings.TrimPrefix(h.Name, "./")) {
			continue
		}
		if err := write(filepath.Join(dir, h.Name), files); err != nil {
			return fmt.Errorf("unpack the archive: %w", err)
		}
	}
}

func write(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
