package ingress

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What receive may refuse a request with, beside kgo's own errors.
var (
	errNoRoute         = errors.New("no such path")
	errUnknownSource   = errors.New("unknown source")
	errPaused          = errors.New("source paused")
	errFault           = errors.New("source cannot be used")
	errAddress         = errors.New("address not allowed")
	errMethod          = errors.New("method not allowed")
	errAddressRate     = errors.New("too many requests of one address")
	errBodyTooLarge    = errors.New("body too large")
	errContentType     = errors.New("unsupported content type")
	errContentEncoding = errors.New("unsupported content encoding")
	errBodyIncomplete  = errors.New("body incomplete")
	errMalformed       = errors.New("malformed body")
	errMemory          = errors.New("too many bodies in memory")
	errSecret          = errors.New("no secret resolved")
	errSignature       = errors.New("signature refused")
	errSourceRate      = errors.New("rate of the source exceeded")
	errNotWritable     = errors.New("storage not writable")
	errTopicMissing    = errors.New("topic not there")
	errRegistry        = errors.New("schema not registered")
	errTopicFull       = errors.New("too much in flight to this topic")
	errKafka           = errors.New("not stored")
	errReplyTimeout    = errors.New("not acknowledged in time")
	errClientGone      = errors.New("client gone")
	errInternal        = errors.New("internal error")
)

// refusal is how an error is told to the client. Its texts are fixed, so that no
// refusal can say which part of a signature was wrong, or echo a secret or a body.
type refusal struct {
	err        error
	status     int
	code       string // stable: clients and alerts may rely on it
	title      string
	detail     string
	retryAfter int // seconds; 0: retrying does not help, or receive says when
}

// refusals is the one table from errors to answers; the first that fits counts. It is
// repeated for people in docs/ingress-errors.md.
func refusals() []refusal {
	return []refusal{
		{
			errNoRoute, http.StatusNotFound, "not_found", "There is nothing here",
			"Webhooks are posted to /webhooks/ and the name of a source.", 0,
		},
		{
			errUnknownSource, http.StatusNotFound, "unknown_source", "Unknown source",
			"The last part of the URL is not the name of a source that is configured here.", 0,
		},
		{
			errPaused, http.StatusServiceUnavailable, "source_paused", "Source paused",
			"The source was paused and takes nothing for now. Send it again later.", 60,
		},
		{
			errFault, http.StatusServiceUnavailable, "source_unusable", "Source not usable",
			"What the catalog says of the source cannot be used here; causeway's log says why. Send it again later.", 30,
		},
		{
			errAddress, http.StatusForbidden, "address_not_allowed", "Address not allowed",
			"The source's allow_cidrs does not name the client's address. Behind a proxy, the proxy belongs in trusted_proxies.", 0,
		},
		{
			errMethod, http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed",
			"Webhooks are sent by POST.", 0,
		},
		{
			errAddressRate, http.StatusTooManyRequests, "address_rate_exceeded", "Too many requests from this address",
			"Send more slowly.", 1,
		},
		{
			errBodyTooLarge, http.StatusRequestEntityTooLarge, "body_too_large", "Body too large",
			"The body is larger than the source's max_body, as sent or after decompression.", 0,
		},
		{
			errContentType, http.StatusUnsupportedMediaType, "unsupported_content_type", "Unsupported content type",
			"Content-Type must be there at most once and be of the form type/subtype.", 0,
		},
		{
			errContentEncoding, http.StatusUnsupportedMediaType, "unsupported_content_encoding", "Unsupported content encoding",
			"Send the body uncompressed, or add gzip to the source's content_encoding.", 0,
		},
		{
			errBodyIncomplete, http.StatusRequestTimeout, "body_incomplete", "Body incomplete",
			"The body ended early or came too slowly. Send it again.", 0,
		},
		{
			errMalformed, http.StatusBadRequest, "malformed_body", "Malformed body",
			"The body's chunks or its compression cannot be read.", 0,
		},
		{
			errMemory, http.StatusServiceUnavailable, "memory_full", "Too many bodies at once",
			"All memory for bodies is in use. Send it again.", 1,
		},
		{
			errSecret, http.StatusServiceUnavailable, "secret_unavailable", "Secret not available",
			"The source's secret cannot be read now, so nothing can be verified. Send it again.", 10,
		},
		{
			errSignature, http.StatusUnauthorized, "invalid_signature", "Signature refused",
			"The request is not signed with a secret of this source, or not at a time near now. Check the secret, the clocks, and that nothing on the way changes the body.", 0,
		},
		{
			errSourceRate, http.StatusTooManyRequests, "source_rate_exceeded", "Rate of the source exceeded",
			"The source's rate is used up. Send it again.", 1,
		},
		{
			errNotWritable, http.StatusServiceUnavailable, "storage_full", "Storage not writable",
			"Nothing can be stored now. Send it again.", 10,
		},
		{
			errTopicMissing, http.StatusServiceUnavailable, "topic_missing", "Topic missing",
			"The source's topic is not there, so nothing can be stored in it. Send it again: causeway's log says what to do.", 10,
		},
		{
			errRegistry, http.StatusServiceUnavailable, "schema_not_registered", "Schema not registered",
			"The schema registry does not know the schema of the source's topic yet. Send it again.", 10,
		},
		{
			kerr.MessageTooLarge, http.StatusRequestEntityTooLarge, "record_too_large", "Too large for the topic",
			"The event is larger than a record of its topic may be: raise the topic's max.message.bytes or lower the source's max_body.", 0,
		},
		{
			kerr.TopicAuthorizationFailed, http.StatusServiceUnavailable, "topic_denied", "Topic denied",
			"Kafka does not let causeway write to the source's topic: an ACL is missing there. Send it again.", 30,
		},
		{
			kgo.ErrMaxBuffered, http.StatusServiceUnavailable, "buffer_full", "Buffer full",
			"Kafka takes events more slowly than they come. Send it again.", 2,
		},
		{
			errTopicFull, http.StatusServiceUnavailable, "topic_buffer_full", "Buffer of the topic full",
			"Kafka takes events of this topic more slowly than they come. Send it again.", 2,
		},
		{
			errKafka, http.StatusServiceUnavailable, "kafka_unavailable", "Not stored",
			"Kafka did not store the event. Send it again.", 5,
		},
		{
			errReplyTimeout, http.StatusServiceUnavailable, "not_acknowledged", "Not acknowledged in time",
			"Kafka has not acknowledged the event yet. Send it again: if it was stored after all, it is not stored twice.", 5,
		},
		{
			errClientGone, http.StatusServiceUnavailable, "client_gone", "Client gone",
			"The client closed the connection before Kafka acknowledged the event.", 5,
		},
		{
			errInternal, http.StatusInternalServerError, "internal_error", "Internal error",
			"This is a fault of causeway; its log says more. Send it again.", 0,
		},
	}
}

// problem renders the refusal as RFC 9457 has it. The texts are plain ASCII without
// quotes, which a test sees to, so that they need no encoding.
func (r *refusal) problem() []byte {
	return fmt.Appendf(nil, `{"type":"urn:causeway:ingress:%s","title":"%s","status":%d,"code":"%s","detail":"%s"}`+"\n",
		r.code, r.title, r.status, r.code, r.detail)
}

// refusalOf finds the row for an error. Whatever is not in the table is our own fault.
func refusalOf(table []refusal, err error) *refusal {
	for i := range table {
		if errors.Is(err, table[i].err) {
			return &table[i]
		}
	}
	return &table[len(table)-1]
}
