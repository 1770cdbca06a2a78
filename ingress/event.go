package ingress

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	maxTenant = 256  // bytes
	maxKey    = 1024 // bytes of a record key that the source picks
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
	e.Type = schemas.CleanType(facts.Type)
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
func (s *Server) record(src *source, e *event) (*kgo.Record, error) {
	rec, err := s.encode(src, e)
	if err != nil {
		return nil, err
	}
	if e.key != "" {
		rec.Key = []byte(e.key)
	}
	return rec, nil
}

// encode writes the event in the source's format. With a schema registry, Avro needs
// the id that the registry gave to the topic's schema, and there is no other way to
// write it: every reader asks the registry.
func (s *Server) encode(src *source, e *event) (*kgo.Record, error) {
	var rec *kgo.Record
	var err error
	if src.Format == schemas.Avro && s.options.SchemaID != nil {
		var id int
		if id, err = s.options.SchemaID(src.Topic); err != nil {
			return nil, fmt.Errorf("%w: %w", errRegistry, err)
		}
		rec, err = e.RegisteredRecord(src.Topic, id)
	} else {
		rec, err = e.Record(src.Topic, src.Format)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInternal, err)
	}
	return rec, nil
}

// identity is what copies of an event have in common. An ID that its sender does not
// sign, or gives to two events, is not enough: the body belongs to it. Otherwise an old
// body sent again under the ID of an event to come would suppress that event. The source
// is its uid: one that is made again under the name of another has nothing stored yet.
func (src *source) identity(id string, body []byte, unique bool) seen.Fingerprint {
	if unique {
		return seen.Of(src.cluster, src.topicName, src.uid, []byte(id))
	}
	sum := sha256.Sum256(body)
	return seen.Of(src.cluster, src.topicName, src.uid, []byte(id), sum[:])
}

// eventID gives the ID under which the event is known from here on.
func eventID(facts provider.Facts, source string, body []byte) string {
	switch {
	case facts.ID != "":
		return schemas.CleanID(facts.ID)
	case facts.Random:
		return rand.Text()
	default:
		h := sha256.New()
		h.Write([]byte("body\x00" + source + "\x00"))
		h.Write(body)
		return hex.EncodeToString(h.Sum(nil))
	}
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
	if len(text) <= maxTenant && utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	return digest("tenant", text)
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
