package schemas

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
)

// cloudEventType is the content type of a structured CloudEvent.
const cloudEventType = "application/cloudevents+json; charset=UTF-8"

// untyped is the type of an event whose provider names none: CloudEvents demands one.
const untyped = "webhook"

// cloudEvent is the JSON form of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype,omitempty"`
	Tenant          string `json:"causewaytenant,omitempty"`

	// Data is always base64, even of JSON: data would let a reader re-encode
	// what the provider signed. A pointer, because an empty body is a body.
	Data *[]byte `json:"data_base64"`
}

func encodeCloudEvent(e *Event) ([]byte, error) {
	when := e.Occurred
	if !writable(when) {
		when = e.Received
	}
	body := encodeRaw(e)
	value, err := json.Marshal(cloudEvent{
		SpecVersion:     "1.0",
		ID:              e.ID,
		Source:          "/webhooks/" + url.PathEscape(e.Source),
		Type:            cmp.Or(e.Type, untyped),
		Time:            when.UTC().Format(timeLayout),
		DataContentType: e.ContentType,
		Tenant:          e.Tenant,
		Data:            &body,
	})
	if err != nil {
		return nil, fmt.Errorf("encode as CloudEvent: %w", err)
	}
	return value, nil
}

// decodeCloudEvent takes the body and its content type, which are in the value
// alone.
func decodeCloudEvent(e *Event, value []byte) error {
	var c cloudEvent
	if err := json.Unmarshal(value, &c); err != nil {
		return malformed("value is not a CloudEvent in JSON: %v", err)
	}
	if c.SpecVersion != "1.0" {
		return malformed("CloudEvents specversion %.64q, want 1.0", c.SpecVersion)
	}
	if c.Data == nil {
		return malformed("CloudEvent has no data_base64")
	}
	e.Body, e.ContentType = *c.Data, c.DataContentType
	return nil
}
