package egress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
	"causeway/pkg/seen"
	"causeway/pkg/tracing"
	"causeway/schemas"
)

const jsonType = "application/json"

// foreign makes an event of a record that causeway did not write, and the record
// as causeway carries it from here on: same value, headers of our own making. With
// an error the record is poison and has no event, but can still be carried.
//
// Nothing that the record says of itself is believed but what the topic's
// declaration asks for: it has no source and no tenant, so that no subscription
// can take it for another's event.
func (e *Egress) foreign(ctx context.Context, p *partition, r *kgo.Record, topic *catalog.Foreign) (*schemas.Event, *kgo.Record, error) {
	header := httpHeader(r.Headers)
	event := &schemas.Event{
		ID:          e.placeID(r),
		Received:    r.Timestamp,
		ContentType: jsonType,
		Traceparent: tracing.Traceparent(header.Get(schemas.HeaderTraceparent)),
		Headers:     kept(r.Headers),
		Body:        r.Value,
	}
	if year := r.Timestamp.UTC().Year(); year < 1970 || year > 9999 { // none, or nonsense
		event.Received = time.Now()
	}
	format := schemas.Foreign
	var err error
	switch topic.Format {
	case catalog.ForeignJSON:
		if own := header.Get(schemas.HeaderContentType); isJSONType(own) {
			event.ContentType = own
		}
		err = checkJSON(r.Value)
	case catalog.ForeignRaw:
		event.ContentType = rawType(header.Get(schemas.HeaderContentType))
		event.Encoding = encoding(header.Get(schemas.HeaderEncoding))
	case catalog.ForeignConfluentAvro:
		format = schemas.ForeignAvro
		err = e.resolve(ctx, p, r, func() (err error) {
			event.Body, err = e.o.Decoder.JSON(ctx, r.Value)
			return err
		})
	}
	if err == nil {
		e.name(event, r, topic, &catalog.ForeignRecord{Key: r.Key, Header: header, Body: event.Body})
	}
	own, adoptErr := event.Adopt(r, format)
	if adoptErr != nil {
		return nil, r, adoptErr
	}
	if err != nil {
		return nil, own, fmt.Errorf("read foreign record %s: %w", schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, err)
	}
	return event, own, nil
}

// placeID is the ID of a record that has none of its own: the same whenever and
// wherever it is read, and no other's. Its time tells it from one that has its place
// in a topic that was made again.
func (e *Egress) placeID(r *kgo.Record) string {
	place := schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	sum := sha256.Sum256(fmt.Appendf(nil, "place\x00%s\x00%s\x00%d", e.cluster, place, r.Timestamp.UnixMilli()))
	return hex.EncodeToString(sum[:])
}

// name gives the event the ID and the type that the topic's declaration takes from
// its records. A record without that ID keeps its place's: it is not lost for it.
func (e *Egress) name(event *schemas.Event, r *kgo.Record, topic *catalog.Foreign, from *catalog.ForeignRecord) {
	if topic.Type != nil {
		event.Type = schemas.CleanType(topic.Type(from))
	}
	if topic.ID == nil {
		return
	}
	id := schemas.CleanID(topic.ID(from))
	if id == "" {
		return
	}
	event.ID = id
	// Nobody says that the field is unique: the value belongs to what copies have in
	// common, so that two events of one order are two.
	sum := sha256.Sum256(r.Value)
	event.Identity = seen.Of([]byte(e.cluster), []byte(r.Topic), []byte("foreign"), []byte(id), sum[:]).String()
}

func checkJSON(value []byte) error {
	if json.Valid(value) {
		return nil
	}
	hint := ""
	if len(value) > 0 && value[0] == 0 {
		hint = ": it begins with a zero byte, as values framed for a schema registry do; Avro is format: confluent-avro"
	}
	return fmt.Errorf("%w: the topic's format is json, and the value is not JSON%s", schemas.ErrMalformed, hint)
}

// httpHeader gives a record's headers under their HTTP names. Of equal ones the
// first counts.
func httpHeader(headers []kgo.RecordHeader) http.Header {
	h := make(http.Header, len(headers))
	for _, own := range headers {
		h.Add(own.Key, string(own.Value))
	}
	return h
}

// kept are the headers that go on with the record: none that authenticates, and
// none of causeway's own, which schemas leaves out.
func kept(headers []kgo.RecordHeader) []schemas.Header {
	var list []schemas.Header
	for _, h := range headers {
		if !slices.Contains([]string{"authorization", "proxy-authorization", "cookie", "set-cookie"}, strings.ToLower(h.Key)) {
			list = append(list, schemas.Header{Name: h.Key, Value: string(h.Value)})
		}
	}
	return list
}

func isJSONType(text string) bool {
	kind, _, err := mime.ParseMediaType(text)
	return err == nil && isVisibleText(text) && (kind == jsonType || strings.HasSuffix(kind, "+json"))
}

func rawType(text string) string {
	if _, _, err := mime.ParseMediaType(text); err != nil || !isVisibleText(text) {
		return "application/octet-stream"
	}
	return text
}

// encoding gives a Content-Encoding that can be sent as one.
func encoding(text string) string {
	if len(text) > 64 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_., ") != "" {
		return ""
	}
	return text
}

func isVisibleText(text string) bool {
	return len(text) <= 256 && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}
