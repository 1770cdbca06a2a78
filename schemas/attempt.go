package schemas

import (
	_ "embed"
	"strconv"
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

// Record gives the record to produce for a; its key is the event's ID.
func (a *Attempt) Record(topic string) *kgo.Record {
	response := a.Response[:min(len(a.Response), maxResponse)]
	v := avroWriter{attemptSchema().head(512 + len(response))}
	v.text(a.EventID)
	v.text(a.Source)
	v.text(a.Type)
	v.text(a.Tenant)
	v.text(a.Subscription.String())
	v.text(a.SubscriptionName)
	v.text(formatOrigin(a.Cluster, a.Origin))
	v.text(orLive(a.Run))
	v.long(int64(a.Attempt))
	v.long(int64(a.Hop))
	v.time(a.Started)
	v.long(a.Took.Microseconds())
	v.text(a.Class)
	v.long(int64(a.Status))
	v.text(clip(a.Error, maxError))
	v.text(a.Verdict)
	v.text(string(a.Reason))
	v.optionalTime(a.NextDue)
	v.bytes(response)
	v.text(clip(a.ResponseContentType, maxError))
	end := len(v.b)
	v.b = append(v.b, a.EventID...) // one allocation for both
	return &kgo.Record{Topic: topic, Key: v.b[end:], Value: v.b[:end:end], Headers: []kgo.RecordHeader{{Key: HeaderSchema, Value: attemptVersion}}}
}

// attemptVersion is the schema's number in the header of each attempt.
var attemptVersion = strconv.AppendInt(nil, schemaVersion, 10)

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
