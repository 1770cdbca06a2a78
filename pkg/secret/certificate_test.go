package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// certificate makes a self-signed certificate and its key.
func certificate(t *testing.T, name string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestAKeyPairIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(time.Hour)
		cert1, key1 := certificate(t, "one", soon)
		cert2, key2 := certificate(t, "two", soon)
		write(t, certPath, cert1)
		write(t, keyPath, key1)
		r := NewResolver()
		pair, err := r.KeyPair(certPath, keyPath)
		if err != nil {
			t.Fatal(err)
		}
		shows := func(want, problem string) {
			t.Helper()
			time.Sleep(checkEvery)
			got, err := pair.Load()
			if err != nil || got.Leaf.Subject.CommonName != want {
				t.Fatalf("got %v, %v, want %s", got.Leaf.Subject, err, want)
			}
			if text := errors.Join(r.Problems()...); problem == "" != (text == nil) || text != nil && !strings.Contains(text.Error(), problem) {
				t.Errorf("problems %v, want %q", text, problem)
			}
		}
		shows("one", "")
		write(t, certPath, cert2) // half of a new pair
		shows("one", "private key does not match public key")
		write(t, keyPath, key2)
		shows("two", "")
		write(t, certPath, "garbage")
		shows("two", "the last good one stays in use")
		if err := os.Remove(keyPath); err != nil {
			t.Fatal(err)
		}
		shows("two", "no such file")
		write(t, keyPath, key1)
		write(t, certPath, cert1)
		shows("one", "")
		time.Sleep(2 * time.Hour)
		shows("one", "it expired at")
	})
}

func TestAuthoritiesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	synctest.Test(t, func(t *testing.T) {
		cert, key := certificate(t, "ca", time.Now().Add(time.Hour))
		write(t, path, cert)
		r := NewResolver()
		ca, err := r.Authorities(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := ca.Load()
		write(t, path, key)
		time.Sleep(checkEvery)
		if problems := errors.Join(r.Problems()...); problems == nil || !strings.Contains(problems.Error(), "holds a private key") {
			t.Errorf("spoiled: %v", problems)
		}
		if now, err := ca.Load(); err != nil || now != first {
			t.Errorf("the last good ones did not stay: %v", err)
		}
		other, _ := certificate(t, "other", time.Now().Add(time.Hour))
		write(t, path, cert+other)
		time.Sleep(checkEvery)
		if now, err := ca.Load(); err != nil || now.Equal(first) || r.Problems() != nil {
			t.Errorf("two of them: %v, %v", err, r.Problems())
		}
	})
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, "a", time.Now().Add(time.Hour))
	expired, _ := certificate(t, "b", time.Now().Add(-time.Hour))
	_, otherKey := certificate(t, "c", time.Now().Add(time.Hour))
	path := func(name, text string) string {
		p := filepath.Join(dir, name)
		write(t, p, text)
		return p
	}
	good := path("good", cert)
	for name, tc := range map[string]struct {
		err  func() error
		want string
	}{
		"an expired CA":  {func() error { _, err := NewResolver().Authorities(path("1", expired)); return err }, "expired at"},
		"no CA":          {func() error { _, err := NewResolver().Authorities(path("2", "hello")); return err }, "holds no PEM certificate"},
		"a key for a CA": {func() error { _, err := NewResolver().Authorities(path("3", key)); return err }, "holds a private key"},
		"another's key":  {func() error { _, err := NewResolver().KeyPair(good, path("4", otherKey)); return err }, "does not match"},
		"no key":         {func() error { _, err := NewResolver().KeyPair(good, path("5", "hello")); return err }, "failed to find any PEM data"},
		"a key missing":  {func() error { _, err := NewResolver().KeyPair(good, dir+"/none"); return err }, "no such file"},
		"an encrypted key": {func() error {
			_, err := NewResolver().KeyPair(good, path("6", strings.ReplaceAll(key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")))
			return err
		}, "without a passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.err(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := NewResolver().Authorities(path("bundle", expired+cert)); err != nil {
		t.Errorf("one of two expired: %v", err)
	}
}
