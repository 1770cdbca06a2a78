package secret

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxBundle is for a file of CA certificates: the system's own have a few hundred KiB.
const maxBundle = 4 << 20

// KeyPair is a certificate and its private key in two PEM files. They are looked
// at as the files of secrets are: changed ones are used within seconds, and while
// new ones cannot be used the last good pair stays and Problems says why.
type KeyPair struct {
	certPath, keyPath string
	cert, key         cachedFile

	mu       sync.Mutex
	from     [2]Secret // what pair was made of
	pair     *tls.Certificate
	spoiled  [2]Secret // what could not be used, and why
	spoilage error
}

// KeyPair gives the pair in two PEM files, read at once.
func (r *Resolver) KeyPair(certPath, keyPath string) (*KeyPair, error) {
	p := &KeyPair{
		certPath: certPath, keyPath: keyPath,
		cert: cachedFile{path: certPath, most: maxBundle}, key: cachedFile{path: keyPath},
	}
	if _, err := p.Load(); err != nil {
		return nil, err
	}
	r.derive(p)
	return p, nil
}

// Load gives the pair as the files have it now, or as they last had it.
func (p *KeyPair) Load() (*tls.Certificate, error) {
	cert, err := p.cert.secret()
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", p.certPath, err)
	}
	key, err := p.key.secret()
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", p.keyPath, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := [2]Secret{cert, key}
	if now != p.from && now != p.spoiled {
		if pair, err := keyPair(cert.bytes(), key.bytes()); err != nil {
			p.spoiled, p.spoilage = now, fmt.Errorf("certificate %s with the private key %s: %w", p.certPath, p.keyPath, err)
		} else {
			p.pair, p.from = pair, now
		}
	}
	if now == p.from {
		p.spoiled, p.spoilage = [2]Secret{}, nil
	}
	if p.pair == nil {
		return nil, p.spoilage
	}
	return p.pair, nil
}

// keyPair reads a pair. The texts of crypto/tls say which of the two is wrong and
// how, and hold nothing of the key.
func keyPair(cert, key []byte) (*tls.Certificate, error) {
	if block, _ := pem.Decode(key); block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return nil, errors.New("the private key is encrypted: store it without a passphrase, readable for this process only")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// problem reads the files when they are due, because a pair is only used when
// there is a new connection, and says why what they hold is not what is used.
func (p *KeyPair) problem() error {
	pair, err := p.Load()
	if err != nil {
		return err
	}
	p.mu.Lock()
	spoilage := p.spoilage
	p.mu.Unlock()
	switch err := errors.Join(spoilage, p.cert.problem(), p.key.problem()); {
	case err != nil:
		return fmt.Errorf("certificate %s: the last good one stays in use: %w", p.certPath, err)
	case time.Now().After(pair.Leaf.NotAfter):
		return fmt.Errorf("certificate %s: it expired at %s and the file holds no newer one", p.certPath, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Authorities are the CA certificates of one PEM file, read again as a KeyPair is.
type Authorities struct {
	path string
	file cachedFile

	mu       sync.Mutex
	from     Secret
	pool     *x509.CertPool
	spoiled  Secret
	spoilage error
}

// Authorities gives the CA certificates of a PEM file, read at once.
func (r *Resolver) Authorities(path string) (*Authorities, error) {
	a := &Authorities{path: path, file: cachedFile{path: path, most: maxBundle}}
	if _, err := a.Load(); err != nil {
		return nil, err
	}
	r.derive(a)
	return a, nil
}

// Load gives the certificates as the file has them now, or as it last had them.
func (a *Authorities) Load() (*x509.CertPool, error) {
	content, err := a.file.secret()
	if err != nil {
		return nil, fmt.Errorf("CA certificates %s: %w", a.path, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if content != a.from && content != a.spoiled {
		if pool, err := authorities(content.bytes(), time.Now()); err != nil {
			a.spoiled, a.spoilage = content, fmt.Errorf("CA certificates %s: %w", a.path, err)
		} else {
			a.pool, a.from = pool, content
		}
	}
	if content == a.from {
		a.spoiled, a.spoilage = Secret{}, nil
	}
	if a.pool == nil {
		return nil, a.spoilage
	}
	return a.pool, nil
}

func (a *Authorities) problem() error {
	if _, err := a.Load(); err != nil {
		return err
	}
	a.mu.Lock()
	spoilage := a.spoilage
	a.mu.Unlock()
	if err := errors.Join(spoilage, a.file.problem()); err != nil {
		return fmt.Errorf("CA certificates %s: the last good ones stay in use: %w", a.path, err)
	}
	return nil
}

// authorities reads PEM certificates. A bundle may hold expired ones beside others:
// only when nothing else is there, nothing could be verified.
func authorities(text []byte, now time.Time) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	var latest time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			if bytes.Contains([]byte(block.Type), []byte("PRIVATE KEY")) {
				return nil, errors.New("holds a private key: name the file with the CA's certificate")
			}
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("one of its certificates cannot be read: %w", err)
		}
		pool.AddCert(cert)
		if cert.NotAfter.After(latest) {
			latest = cert.NotAfter
		}
	}
	switch {
	case latest.IsZero():
		return nil, errors.New("holds no PEM certificate (-----BEGIN CERTIFICATE-----)")
	case now.After(latest):
		return nil, fmt.Errorf("expired at %s", latest.UTC().Format(time.RFC3339))
	}
	return pool, nil
}
