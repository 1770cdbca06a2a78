package signature

import (
	"crypto/ed25519"
	"crypto/sha1" //nolint:gosec // some providers sign with HMAC-SHA1, which is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
)

type method uint8

const (
	credential method = iota // no algorithm: the secret itself is what is sent
	hmacSHA1
	hmacSHA256
	hmacSHA512
	ed25519Method
)

// digest gives the hash of an HMAC, nil for the others.
func (m method) digest() func() hash.Hash {
	switch m {
	case hmacSHA1:
		return sha1.New
	case hmacSHA256:
		return sha256.New
	case hmacSHA512:
		return sha512.New
	case credential, ed25519Method:
	}
	return nil
}

// algorithm is an Algorithm compiled.
type algorithm struct {
	version string
	method  method
	base64  bool // else hex
	key     string
	size    int // of the signature, in bytes
}

func compileAlgorithm(at string, a Algorithm, f *faults) algorithm {
	out := algorithm{version: a.Version, key: a.Key, base64: a.Encoding == "base64"}
	switch a.Name {
	case "hmac-sha1":
		out.method, out.size = hmacSHA1, sha1.Size
	case "hmac-sha256":
		out.method, out.size = hmacSHA256, sha256.Size
	case "hmac-sha512":
		out.method, out.size = hmacSHA512, sha512.Size
	case "ed25519":
		out.method, out.size = ed25519Method, ed25519.SignatureSize
	default:
		f.add(at+".name", "%q is not one of hmac-sha1, hmac-sha256, hmac-sha512, ed25519", a.Name)
	}
	if a.Encoding != "hex" && a.Encoding != "base64" {
		f.add(at+".encoding", "%q is not one of hex, base64", a.Encoding)
	}
	switch a.Key {
	case "raw", "hex", "base64", "whsec":
		if out.method == ed25519Method {
			f.add(at+".key", "%q: wants ed25519 with the algorithm of that name", a.Key)
		}
	case "ed25519":
		if out.method != ed25519Method {
			f.add(at+".key", "%q goes with the algorithm of that name only", a.Key)
		}
	default:
		f.add(at+".key", "%q is not one of raw, hex, base64, whsec, ed25519", a.Key)
	}
	return out
}

// appendText appends a signature as the header has it.
func (a *algorithm) appendText(to, sig []byte) []byte {
	if a.base64 {
		return base64.StdEncoding.AppendEncode(to, sig)
	}
	return hex.AppendEncode(to, sig)
}

// decode reads a signature into buf. It takes the one length that is right, so
// that nothing shortened or padded gets as far as a comparison.
func (a *algorithm) decode(buf *[sha512.Size]byte, text string) ([]byte, bool) {
	var in [2 * sha512.Size]byte
	if a.base64 {
		if len(text) != base64.StdEncoding.EncodedLen(a.size) {
			return nil, false
		}
		var out [sha512.Size + 2]byte // Decode wants room for its padding
		n, err := base64.StdEncoding.Strict().Decode(out[:], in[:copy(in[:], text)])
		copy(buf[:], out[:])
		return buf[:a.size], err == nil && n == a.size
	}
	if len(text) != hex.EncodedLen(a.size) {
		return nil, false
	}
	_, err := hex.Decode(buf[:], in[:copy(in[:], text)])
	return buf[:a.size], err == nil
}
