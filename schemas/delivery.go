package schemas

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Delivery is one event for one subscription: the event's record as it was read,
// and how far its delivery has come.
type Delivery struct {
	Subscription uuid.UUID // by uid: names can change
	Version      int64     // of the catalog that made it
	Cluster      string    // id of the cluster that holds the event
	Origin       Position  // the event's place there
	Identity     string    // what copies of the event share: 32 hex digits, or empty
	Run          string    // "0" live, else the id of a replay or redrive

	Attempt int       // attempts so far in this run
	Hop     int       // delay records written in this run; never resets
	Due     time.Time // not before; to the millisecond
	Hops    []string  // tiers planned after this one
	Waits   int       // how many times in a row it was parked without an attempt

	First, Last time.Time // the first and the latest attempt; zero before the first
	Status      int       // of the latest attempt: its HTTP status, 0 when there was none
	Error       string    // of the latest attempt; at most 256 bytes are stored
	Reason      Reason    // why it is dead; empty while it lives

	Key     []byte             // the event record's key
	Value   []byte             // the event record's value, verbatim
	Headers []kgo.RecordHeader // the event record's own headers, verbatim
}

// maxError is how much of an error's text a delivery carries.
const maxError = 256

// live is the run of deliveries that are no replay.
const live = "0"

// NewDelivery begins the delivery of an event's record to a subscription. The
// record need not be readable: a poisonous one has to get to the dead letters too.
func NewDelivery(r *kgo.Record, cluster string, subscription uuid.UUID, version int64) Delivery {
	d := Delivery{
		Subscription: subscription,
		Version:      version,
		Cluster:      cluster,
		Origin:       Position{r.Topic, r.Partition, r.Offset},
		Run:          live,
		Key:          r.Key,
		Value:        r.Value,
		Headers:      r.Headers,
	}
	for _, h := range r.Headers {
		if h.Key == HeaderIdentity && isIdentity(string(h.Value)) {
			d.Identity = string(h.Value)
		}
	}
	return d
}

// DelayRecord gives the record that parks d in a delay topic. Its key is the
// event record's and the subscription, so that one busy event spreads.
func (d *Delivery) DelayRecord(topic string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: delayKey(d.Key, d.Subscription), Value: d.Value, Headers: d.headers()}
}

// DLQRecord gives the record that ends d in the dead letter topic.
func (d *Delivery) DLQRecord(topic string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: d.Key, Value: d.Value, Headers: d.headers()}
}

// DeliveryFromRecord reads a delay or dead letter record. The delivery shares r's
// memory.
//
// The error is an [ErrNewerSchema] when the record needs a later release, else
// an [ErrMalformed].
func DeliveryFromRecord(r *kgo.Record) (*Delivery, error) {
	d, err := deliveryFromRecord(r)
	if err != nil {
		return nil, reading("delivery", r, err)
	}
	return d, nil
}

func deliveryFromRecord(r *kgo.Record) (*Delivery, error) {
	own, state, err := split(r.Headers)
	if err != nil {
		return nil, err
	}
	if state == nil {
		return nil, malformed("header %s is missing: it is no delivery", headerSubscription)
	}
	d := &Delivery{Value: r.Value, Headers: own}
	if err := d.readState(state); err != nil {
		return nil, err
	}
	d.Key = eventKey(r.Key, d.Subscription)
	return d, nil
}

// delayKey is the event record's key, NUL, the subscription's uid.
func delayKey(event []byte, subscription uuid.UUID) []byte {
	key := make([]byte, 0, len(event)+1+36)
	key = append(append(key, event...), 0)
	return append(key, subscription.String()...)
}

// eventKey takes off again what delayKey put on; a dead letter's key has nothing
// to take off.
func eventKey(key []byte, subscription uuid.UUID) []byte {
	event, cut := bytes.CutSuffix(key, delayKey(nil, subscription))
	if cut && len(event) == 0 {
		return nil // the event's record had no key
	}
	return event
}

// headers gives the event's own headers and, behind them, the delivery's state.
// A fresh slice each time: producers' hooks may change it.
func (d *Delivery) headers() []kgo.RecordHeader {
	w := newHeaderWriter(len(d.Headers)+17, 512)
	w.headers = append(w.headers, d.Headers...)
	w.number(HeaderSchema, schemaVersion) // first, see split
	w.text(headerSubscription, d.Subscription.String())
	w.number(headerVersion, d.Version)
	w.text(headerOrigin, formatOrigin(d.Cluster, d.Origin))
	w.text(HeaderIdentity, d.Identity)
	w.text(headerRun, orLive(d.Run))
	w.number(headerAttempt, int64(d.Attempt))
	w.number(headerHop, int64(d.Hop))
	w.time(headerDue, roundUp(d.Due))
	w.text(headerHops, strings.Join(d.Hops, ","))
	w.count(headerWaits, d.Waits)
	w.time(headerFirst, d.First)
	w.time(headerLast, d.Last)
	w.count(headerStatus, d.Status)
	w.text(headerError, clip(d.Error, maxError))
	w.text(headerReason, string(d.Reason))
	return w.headers
}

func orLive(run string) string {
	if run == "" {
		return live
	}
	return run
}

// roundUp makes a time fit the header without making it earlier: nothing may be
// sent before it is due.
func roundUp(t time.Time) time.Time {
	if cut := t.Truncate(time.Millisecond); cut.Before(t) {
		return cut.Add(time.Millisecond)
	}
	return t
}

// readState fills in what the state headers hold.
func (d *Delivery) readState(state []kgo.RecordHeader) error {
	must := [...]string{headerSubscription, headerVersion, headerOrigin, headerRun, headerAttempt, headerHop}
	var seen [len(must)]bool
	values := texts(state)
	for _, h := range state {
		if err := d.readHeader(h.Key, values.next(h)); err != nil {
			return err
		}
		if i := slices.Index(must[:], h.Key); i >= 0 {
			seen[i] = true
		}
	}
	if i := slices.Index(seen[:], false); i >= 0 {
		return malformed("header %s is missing", must[i])
	}
	return nil
}

func (d *Delivery) readHeader(name, value string) error {
	var err error
	switch name {
	case headerSubscription:
		d.Subscription, err = uuid.Parse(value)
	case headerVersion:
		d.Version, err = parseVersion(value)
	case headerOrigin:
		d.Cluster, d.Origin, err = parseOrigin(value)
	case HeaderIdentity:
		d.Identity, err = parseIdentity(value)
	case headerRun:
		d.Run = value
	case headerAttempt:
		d.Attempt, err = parseInt(value)
	case headerHop:
		d.Hop, err = parseInt(value)
	case headerDue:
		d.Due, err = parseTime(value)
	case headerHops:
		d.Hops = splitHops(value)
	case headerWaits:
		d.Waits, err = parseInt(value)
	case headerFirst:
		d.First, err = parseTime(value)
	case headerLast:
		d.Last, err = parseTime(value)
	case headerStatus:
		d.Status, err = parseInt(value)
	case headerError:
		d.Error = value
	case headerReason:
		d.Reason, err = parseReason(value)
	}
	if err != nil {
		return malformed("header %s: %v", name, err)
	}
	return nil
}

func splitHops(value string) []string {
	if value == "" {
		return nil // where Split would find one tier without a name
	}
	return strings.Split(value, ",")
}
