package admin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	longestIdempotencyKey = 200

	rememberFor  = 24 * time.Hour
	mostAnswers  = 10_000
	mostRemember = 16 << 20 // bytes of the operator's answers, and as many of all tenants'
	largeAnswer  = 1 << 20  // a larger one is not remembered

	mostOfTenant   = 500 // answers
	mostBytesOfOne = 1 << 20
)

// remembered are the answers that were given to requests with an Idempotency-Key. Each
// is sealed under a key made of the Idempotency-Key and the body, neither of which is
// kept: only who sends the same request again opens it. So an answer that shows a
// secret once can be given again when it was lost on the way, and nobody finds the
// secret in the memory of the process.
//
// Other admin processes do not know them. There a name that was made already is
// refused as taken, and an apply of the same set finds nothing to do.
//
// Each tenant has a share of its own, so that it makes forgotten only its own.
type remembered struct {
	mu      sync.Mutex
	known   map[requestID]*past
	shares  map[string]*share // by tenant, "" the operator's
	tenants int               // bytes of all of theirs
}

type share struct {
	tenant string
	order  []*past // oldest first
	bytes  int
}

type (
	requestID [sha256.Size]byte
	bodyTag   [sha256.Size]byte
)

type past struct {
	id     requestID
	share  *share
	tag    bodyTag
	at     time.Time
	sealed []byte // nil: being answered
}

// given is an answer.
type given struct {
	Status  int         `json:"status"`
	Headers http.Header `json:"headers"`
	Body    []byte      `json:"body"`
}

func newRemembered() *remembered {
	return &remembered{known: map[requestID]*past{}, shares: map[string]*share{}}
}

// once answers a request that has an Idempotency-Key once.
func (s *Server) once(w http.ResponseWriter, r *http.Request, v *visit, op operation, body []byte, do func(http.ResponseWriter)) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 || op.method != http.MethodPost {
		do(w)
		return
	}
	key := keys[0]
	if len(keys) > 1 || !visible(key) {
		s.answer(w, v, refuse(http.StatusBadRequest, "bad_idempotency_key", "Idempotency-Key wants 1 to %d visible ASCII characters", longestIdempotencyKey))
		return
	}
	digest := sha256.Sum256(body)
	id := requestID(mac([]byte(key), "id", v.who, v.tenant, r.Method, r.URL.Path))
	tag := bodyTag(mac([]byte(key), "body", string(digest[:])))
	seal := mac([]byte(key), "seal", v.who, string(digest[:]))
	p, earlier := s.remembered.begin(v.tenant, id, tag)
	switch {
	case p != nil:
		kept := &recorder{ResponseWriter: w, status: http.StatusOK}
		defer func() { s.remembered.end(p, kept.given(w.Header()), seal) }()
		do(kept)
		kept.whole = true
	case earlier.tag != tag:
		s.answer(w, v, refuse(http.StatusUnprocessableEntity, "idempotency_mismatch", "this Idempotency-Key came with another request before: use a new one for each"))
	case earlier.sealed == nil:
		s.answer(w, v, refuse(http.StatusConflict, "in_flight", "the same request is being answered: ask again in a moment").with("Retry-After", "1"))
	default:
		again, err := earlier.open(seal)
		if err != nil {
			s.answer(w, v, err)
			return
		}
		maps.Copy(w.Header(), again.Headers)
		w.Header().Set("Idempotency-Replayed", "true")
		w.WriteHeader(again.Status)
		_, _ = w.Write(again.Body) // whoever would be told is the one who left
	}
}

func visible(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return text != "" && len(text) <= longestIdempotencyKey
}

// begin gives a past to be ended, or what is known of the same request.
func (m *remembered) begin(tenant string, id requestID, tag bodyTag) (fresh *past, earlier past) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.shares[tenant]
	if of == nil {
		of = &share{tenant: tenant}
		m.shares[tenant] = of
	}
	m.forget(of)
	if p := m.known[id]; p != nil {
		return nil, *p
	}
	p := &past{id: id, share: of, tag: tag, at: time.Now()}
	m.known[id] = p
	of.order = append(of.order, p)
	return p, past{}
}

// forget drops what is too old or too much of a share, the oldest first. What is being
// answered stays, and keeps nothing else from being forgotten.
func (m *remembered) forget(of *share) {
	most, bytes := mostAnswers, mostRemember
	if of.tenant != "" {
		most, bytes = mostOfTenant, mostBytesOfOne
	}
	for range len(of.order) {
		switch p := of.order[0]; {
		case time.Since(p.at) <= rememberFor && len(of.order) < most && of.bytes <= bytes:
			return
		case p.sealed == nil:
			of.order = append(of.order[1:], p)
		default:
			m.drop(p)
		}
	}
}

func (m *remembered) drop(p *past) {
	delete(m.known, p.id)
	m.count(p.share, -len(p.sealed))
	i := slices.Index(p.share.order, p)
	p.share.order = slices.Delete(p.share.order, i, i+1)
}

func (m *remembered) count(of *share, bytes int) {
	of.bytes += bytes
	if of.tenant != "" {
		m.tenants += bytes
	}
}

// shrink takes from the tenants that have most until all of them together have no more
// than they may.
func (m *remembered) shrink() {
	for m.tenants > mostRemember {
		var largest *share
		for _, of := range m.shares {
			if of.tenant != "" && (largest == nil || of.bytes > largest.bytes) {
				largest = of
			}
		}
		i := slices.IndexFunc(largest.order, func(p *past) bool { return p.sealed != nil })
		m.drop(largest.order[i]) // there is one: it has bytes
	}
}

// end remembers a success. A refusal changed nothing, and what became of a failure is
// not known: they are asked anew.
func (m *remembered) end(p *past, g given, key []byte) {
	var sealed []byte
	if g.Status >= 200 && g.Status < 300 && len(g.Body) <= largeAnswer {
		sealed = g.seal(key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if sealed == nil {
		m.drop(p)
		return
	}
	p.sealed = sealed
	m.count(p.share, len(sealed))
	m.shrink()
}

func (g given) seal(key []byte) []byte {
	text, err := json.Marshal(g)
	if err != nil {
		return nil
	}
	aead, err := aeadOf(key)
	if err != nil {
		return nil
	}
	return aead.Seal(nil, nil, text, nil) //nolint:gosec // this cipher makes the nonce itself
}

func (p past) open(key []byte) (given, error) {
	var g given
	aead, err := aeadOf(key)
	if err != nil {
		return g, err
	}
	text, err := aead.Open(nil, nil, p.sealed, nil)
	if err != nil {
		return g, err
	}
	return g, json.Unmarshal(text, &g)
}

func aeadOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		sum := sha256.Sum256([]byte(part)) // of one length, so that no two lists are the same
		_, _ = h.Write(sum[:])             // never fails
	}
	return h.Sum(nil)
}

// recorder keeps a copy of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	whole  bool // not cut off by a panic
}

func (k *recorder) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

func (k *recorder) Write(b []byte) (int, error) {
	if k.body.Len() <= largeAnswer {
		k.body.Write(b)
	}
	return k.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (k *recorder) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// given is the answer as it went out, without the headers that each answer has anew.
func (k *recorder) given(headers http.Header) given {
	if !k.whole {
		return given{}
	}
	g := given{Status: k.status, Headers: http.Header{}, Body: k.body.Bytes()}
	for _, name := range []string{"Content-Type", "Etag", "Location"} {
		if values := headers[name]; values != nil {
			g.Headers[name] = values
		}
	}
	return g
}
