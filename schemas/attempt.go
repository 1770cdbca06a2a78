package schemas

import (
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Attempt is one try of a delivery and what it came to. Its record is Avro in
// single-object encoding (attempt.avsc).
type Attempt struct {
	EventID, Source, Type, Tenant string

	Subscription     uuid.UUID
	SubscriptionName string   // at the time
	Cluster          string   // id of the cluster that holds the event
	Origin           Position // the event's place there
	Run              string   // "0" live, else the id of a replay or redrive
	Attempt          int      // number of the attempt in its run
	Hop              int      // delay records written in this run so far

	Started time.Time     // stored to the microsecond
	Took    time.Duration // stored to the microsecond
	Class   string        // ok, failed, throttled, gone, refused
	Status  int           // HTTP status; 0 when there was no answer
	Error   string        // at most 256 bytes are stored
	Verdict string        // done, delay, dead
	Reason  Reason        // why it is dead
	NextDue time.Time     // zero when there is no next attempt

	Response            []byte // the first 4 KiB of the answer's body
	ResponseContentType string
}

// maxResponse is how much of an answer's body an attempt keeps.
const maxResponse = 4 << 10

//go:embed attempt.avsc
var attemptAvsc string

// attemptSchema is compiled at first use.
var attemptSchema = pinned(&attemptAvsc)

// attemptDatums keeps the maps that goavro encodes from: making one for each attempt
// cost more than encoding it.
var attemptDatums = sync.Pool{New: func() any { return make(map[string]any, 20) }}

// Record gives the record to produce for a; its key is the event's ID.
func (a *Attempt) Record(topic string) (*kgo.Record, error) {
	response := a.Response[:min(len(a.Response), maxResponse)]
	datum := attemptDatums.Get().(map[string]any)
	defer attemptDatums.Put(datum)
	datum["event_id"] = avroText(a.EventID)
	datum["source"] = avroText(a.Source)
	datum["type"] = avroText(a.Type)
	datum["tenant"] = avroText(a.Tenant)
	datum["subscription"] = a.Subscription.String()
	datum["subscription_name"] = avroText(a.SubscriptionName)
	datum["origin"] = avroText(formatOrigin(a.Cluster, a.Origin))
	datum["run"] = orLive(a.Run)
	datum["attempt"] = a.Attempt
	datum["hop"] = a.Hop
	datum["started_at"] = a.Started.UnixMicro()
	datum["took_micros"] = a.Took.Microseconds()
	datum["class"] = a.Class
	datum["status"] = a.Status
	datum["error"] = clip(a.Error, maxError)
	datum["verdict"] = a.Verdict
	datum["reason"] = string(a.Reason)
	datum["next_due"] = avroTime(a.NextDue)
	datum["response"] = response
	datum["response_content_type"] = clip(a.ResponseContentType, maxError)
	value, err := attemptSchema().encode(datum, 512+len(response))
	if err != nil {
		return nil, fmt.Errorf("write attempt of event %.64q to %s: %w", a.EventID, topic, err)
	}
	w := newHeaderWriter(1, 1)
	w.number(HeaderSchema, schemaVersion)
	return &kgo.Record{Topic: topic, Key: []byte(a.EventID), Value: value, Headers: w.headers}, nil
}

// AttemptFromRecord reads an attempt. It shares r's memory.
//
// The error is an [ErrNewerSchema] when the record needs a later release, else
// an [ErrMalformed].
func AttemptFromRecord(r *kgo.Record) (*Attempt, error) {
	a, err := attemptFromRecord(r)
	if err != nil {
		return nil, reading("attempt", r, err)
	}
	return a, nil
}

func attemptFromRecord(r *kgo.Record) (*Attempt, error) {
	if _, _, err := split(r.Headers); err != nil {
		return nil, err
	}
	datum, err := attemptSchema().decode(r.Value)
	if err != nil {
		return nil, err
	}
	return newAttempt(datum)
}

func newAttempt(datum fields) (*Attempt, error) {
	a := &Attempt{
		EventID:             datum.text("event_id"),
		Source:              datum.text("source"),
		Type:                datum.text("type"),
		Tenant:              datum.text("tenant"),
		SubscriptionName:    datum.text("subscription_name"),
		Run:                 datum.text("run"),
		Attempt:             datum.int("attempt"),
		Hop:                 datum.int("hop"),
		Started:             datum.time("started_at"),
		Took:                datum.micros("took_micros"),
		Class:               datum.text("class"),
		Status:              datum.int("status"),
		Error:               datum.text("error"),
		Verdict:             datum.text("verdict"),
		NextDue:             datum.time("next_due"),
		Response:            datum.bytes("response"),
		ResponseContentType: datum.text("response_content_type"),
	}
	var err error
	if a.Subscription, err = uuid.Parse(datum.text("subscription")); err != nil {
		return nil, malformed("subscription: %v", err)
	}
	if a.Cluster, a.Origin, err = parseOrigin(datum.text("origin")); err != nil {
		return nil, malformed("origin: %v", err)
	}
	if reason := datum.text("reason"); reason != "" {
		if a.Reason, err = parseReason(reason); err != nil {
			return nil, malformed("reason: %v", err)
		}
	}
	return a, nil
}
