package ingress

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"causeway/pkg/provider"
	"causeway/pkg/seen"
	"causeway/pkg/signature"
	"causeway/schemas"
)

const (
	maxID   = 256  // bytes of an event ID or a tenant
	maxType = 128  // bytes of an event type
	maxKey  = 1024 // bytes of a record key that the source picks
)

// event is one verified request, ready to be claimed and produced.
type event struct {
	schemas.Event
	identity seen.Fingerprint
	key      string     // of the record, where it is not the ID
	alone    bool       // every request is an event of its own
	span     trace.Span // of its produce; nil when nothing is traced
}

// newEvent says what a verified request is as an event. In inside, m has the body
// decompressed; only rules look there: what is stored is the body as signed.
func (src *source) newEvent(m, inside *signature.Message, now time.Time) *event {
	facts := src.Provider.Facts(inside)
	e := &event{alone: facts.Random}
	e.ID = eventID(facts, src.Name, m.Body)
	e.Source = src.Name
	e.Type = eventType(facts.Type)
	e.Received = now
	e.Occurred = facts.Occurred
	e.ContentType = m.Header.Get("Content-Type")
	if inside != m {
		e.Encoding = "gzip"
	}
	e.Headers = src.kept(m.Header)
	e.Body = m.Body
	e.VerifiedBy = src.verifiedBy
	e.Traceparent = src.traceparent(m.Header)
	if src.Tenant != nil {
		e.Tenant = tenant(src.Tenant(inside))
	}
	if src.Key != nil {
		e.key = bounded(src.Key(inside), maxKey)
	}
	e.identity = src.identity(e.ID, m.Body, facts.Unique)
	e.Identity = e.identity.String()
	return e
}

// record is the event as Kafka stores it.
func (e *event) record(src *source) (*kgo.Record, error) {
	rec, err := e.Record(src.Topic, src.Format)
	if err != nil {
		return nil, err
	}
	if e.key != "" {
		rec.Key = []byte(e.key)
	}
	return rec, nil
}

// identity is what copies of an event have in common. An ID that its sender does not
// sign, or gives to two events, is not enough: the body belongs to it. Otherwise an old
// body sent again under the ID of an event to come would suppress that event.
func (src *source) identity(id string, body []byte, unique bool) seen.Fingerprint {
	if unique {
		return seen.Of(src.cluster, src.topicName, src.name, []byte(id))
	}
	sum := sha256.Sum256(body)
	return seen.Of(src.cluster, src.topicName, src.name, []byte(id), sum[:])
}

// eventID gives the ID under which the event is known from here on: one that every log
// line, header and URL can hold.
func eventID(facts provider.Facts, source string, body []byte) string {
	switch {
	case facts.ID != "" && len(facts.ID) <= maxID && isVisible(facts.ID):
		return facts.ID
	case facts.ID != "":
		return digest("id", facts.ID)
	case facts.Random:
		return rand.Text()
	default:
		h := sha256.New()
		h.Write([]byte("body\x00" + source + "\x00"))
		h.Write(body)
		return hex.EncodeToString(h.Sum(nil))
	}
}

func isVisible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// digest stands for a text that cannot be used as it is. The kind keeps an ID's digest
// from being a body's.
func digest(kind, text string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + text))
	return hex.EncodeToString(sum[:])
}

// bounded gives the text, or its digest if it is longer than a record should carry.
func bounded(text string, limit int) string {
	if len(text) > limit {
		return digest("long", text)
	}
	return text
}

// tenant gives the tenant if it is something a person could have written. Anything else
// becomes its digest, which no subscription names: an event whose tenant is unclear must
// not pass for one without a tenant.
func tenant(text string) string {
	if len(text) <= maxID && utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	return digest("tenant", text)
}

// eventType keeps a type to A-Za-z0-9._:/%- by percent-encoding everything else, and to
// maxType bytes; it never ends in half an escape of its own making.
func eventType(text string) string {
	if len(text) <= maxType && isType(text) {
		return text
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, maxType)
	for i := range len(text) {
		c := text[i]
		switch {
		case isTypeByte(c) && len(out)+1 <= maxType:
			out = append(out, c)
		case !isTypeByte(c) && len(out)+3 <= maxType:
			out = append(out, '%', digits[c>>4], digits[c&15])
		default:
			return string(out)
		}
	}
	return string(out)
}

func isType(text string) bool {
	for i := range len(text) {
		if !isTypeByte(text[i]) {
			return false
		}
	}
	return true
}

func isTypeByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("._:/%-", c) >= 0
	}
}

// kept picks the original headers that the source keeps.
func (src *source) kept(h http.Header) []schemas.Header {
	var kept []schemas.Header
	for _, name := range src.headers {
		for _, value := range h[name.canonical] {
			if kept == nil {
				kept = make([]schemas.Header, 0, len(src.headers))
			}
			kept = append(kept, schemas.Header{Name: name.lower, Value: value})
		}
	}
	return kept
}
