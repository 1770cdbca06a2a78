package schemas

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestDeliveryComesBack(t *testing.T) {
	for name, change := range map[string]func(*Delivery){
		"as it is":                    func(*Delivery) {},
		"before its first attempt":    func(d *Delivery) { d.Attempt, d.Status, d.Error, d.First, d.Last = 0, 0, "", time.Time{}, time.Time{} },
		"of a keyless record":         func(d *Delivery) { d.Key = nil },
		"of a tombstone":              func(d *Delivery) { d.Value = nil },
		"of a record without headers": func(d *Delivery) { d.Headers, d.Identity = nil, "" },
		"with NUL in its key":         func(d *Delivery) { d.Key = []byte("a\x00b\x00") },
		"with a key like a parked one": func(d *Delivery) {
			d.Key = delayKey([]byte("a"), uuid.MustParse("00000000-0000-0000-0000-000000000001"))
		},
		"of a cluster without a name": func(d *Delivery) { d.Cluster = "" },
		"of a cluster with slashes":   func(d *Delivery) { d.Cluster = "a//b/1/2" },
		"at the last offset there is": func(d *Delivery) { d.Origin.Offset, d.Origin.Partition = 1<<63-1, 1<<31-1 },
		"of no catalog":               func(d *Delivery) { d.Version = -1 },
		"with a poisonous body":       func(d *Delivery) { d.Value = allBytes() },
	} {
		t.Run(name, func(t *testing.T) {
			want := sampleDelivery(t)
			change(want)
			got, err := DeliveryFromRecord(want.DelayRecord("causeway.delay.5s"))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Headers) == 0 && len(want.Headers) == 0 {
				got.Headers, want.Headers = nil, nil
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("from delay got\n%+v\nwant\n%+v", got, want)
			}
			want.Reason = ReasonPoison
			if got, err = DeliveryFromRecord(want.DLQRecord("causeway.dlq")); err != nil {
				t.Fatal(err)
			}
			if got.Reason != ReasonPoison || !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) {
				t.Errorf("from DLQ got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestDelayRecordKeepsSubscriptionsApart(t *testing.T) {
	d := sampleDelivery(t)
	if got, want := string(d.DelayRecord("t").Key), "evt_1PqXYZ\x006ba7b810-9dad-11d1-80b4-00c04fd430c8"; got != want {
		t.Errorf("delay key = %q, want %q", got, want)
	}
	if got, want := string(d.DLQRecord("t").Key), "evt_1PqXYZ"; got != want {
		t.Errorf("dead letter key = %q, want %q", got, want)
	}
}

// A thousand hops must not leave a trace in the event's own headers.
func TestHopsKeepTheEventVerbatim(t *testing.T) {
	first := sampleDelivery(t)
	d := first
	for range 1000 {
		d.Hop++
		var err error
		if d, err = DeliveryFromRecord(d.DelayRecord("causeway.delay.5s")); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(d.Headers, first.Headers) || !bytes.Equal(d.Value, first.Value) || !bytes.Equal(d.Key, first.Key) {
		t.Errorf("after %d hops the event's record is\n%+v", d.Hop, d)
	}
}

// Whoever may write to an event topic must not be able to steer a delivery.
func TestForgedStateInAnEventsHeaders(t *testing.T) {
	forged := sampleDelivery(t)
	forged.Attempt, forged.Reason = 99, ReasonGone
	stranger := forged.DelayRecord("webhooks.foreign")
	stranger.Headers = append(stranger.Headers, kgo.RecordHeader{Key: HeaderIdentity, Value: []byte("not an identity")})

	d := NewDelivery(stranger, "kafka-1", uuid.MustParse("00000000-0000-0000-0000-000000000001"), 3)
	got, err := DeliveryFromRecord(d.DelayRecord("causeway.delay.1s"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, &d) {
		t.Errorf("got\n%+v\nwant\n%+v", got, &d)
	}
	if got.Attempt != 0 || got.Reason != "" || got.Run != "0" {
		t.Errorf("forged state was taken: %+v", got)
	}
}

func TestPoisonGetsToTheDeadLetters(t *testing.T) {
	for name, headers := range map[string][]kgo.RecordHeader{
		"without headers":          nil,
		"with an empty name":       {{Key: "", Value: nil}},
		"of a later release":       {{Key: HeaderSchema, Value: []byte("7")}},
		"with garbage as schema":   {{Key: HeaderSchema, Value: []byte("\xff\x00")}},
		"with garbage as identity": {{Key: HeaderIdentity, Value: []byte("\xff\x00")}},
		"that looks like state":    {{Key: HeaderSchema, Value: []byte("1")}, {Key: headerSubscription, Value: []byte("x")}},
	} {
		t.Run("a record "+name, func(t *testing.T) {
			poison := &kgo.Record{Topic: "webhooks.x", Partition: 1, Offset: 2, Value: []byte("?"), Headers: headers}
			d := NewDelivery(poison, "kafka-1", uuid.MustParse("00000000-0000-0000-0000-000000000001"), 3)
			d.Reason = ReasonPoison
			got, err := DeliveryFromRecord(d.DLQRecord("causeway.dlq"))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Headers) != len(headers) || got.Reason != ReasonPoison || got.Origin != (Position{"webhooks.x", 1, 2}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestFromRecordReadsDelayAndDeadLetters(t *testing.T) {
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		r, err := sampleEvent(f).Record("webhooks.stripe", f)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDelivery(r, "kafka-1", uuid.MustParse("00000000-0000-0000-0000-000000000001"), 3)
		d.Reason = ReasonGone
		for _, r := range []*kgo.Record{d.DelayRecord("causeway.delay.1s"), d.DLQRecord("causeway.dlq")} {
			got, err := FromRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, sampleEvent(f)) {
				t.Errorf("%s from %s: got\n%+v\nwant\n%+v", f, r.Topic, got, sampleEvent(f))
			}
		}
	}
}

// Tracing hooks of Kafka clients add headers of their own to what they produce.
func TestHeadersThatAHookAddedBehindTheState(t *testing.T) {
	d := sampleDelivery(t)
	r := d.DelayRecord("causeway.delay.5s")
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "tracestate", Value: []byte("a=b")})
	got, err := DeliveryFromRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clip(d.Headers), kgo.RecordHeader{Key: "tracestate", Value: []byte("a=b")})
	if !reflect.DeepEqual(got.Headers, want) {
		t.Errorf("headers = %q, want %q", got.Headers, want)
	}
	if r.Headers[len(d.Headers)].Key != HeaderSchema {
		t.Error("reading changed the record's headers")
	}
}

func TestDueIsNeverStoredTooEarly(t *testing.T) {
	d := sampleDelivery(t)
	whole := d.Due
	for _, over := range []time.Duration{0, 1, 999_999, time.Millisecond - 1, time.Millisecond} {
		d.Due = whole.Add(over)
		got, err := DeliveryFromRecord(d.DelayRecord("causeway.delay.5s"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Due.Before(d.Due) || got.Due.Sub(d.Due) >= time.Millisecond {
			t.Errorf("due %v is stored as %v", d.Due, got.Due)
		}
	}
}

func TestErrorIsCutToFit(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"short":                      {"connection refused", "connection refused"},
		"exactly full":               {strings.Repeat("x", 256), strings.Repeat("x", 256)},
		"one byte more":              {strings.Repeat("x", 257), strings.Repeat("x", 256)},
		"cut inside a rune":          {strings.Repeat("x", 255) + "é", strings.Repeat("x", 255)},
		"not UTF-8":                  {"a\xff\r\nb", "a\uFFFD\r\nb"},
		"not UTF-8 and much of it":   {strings.Repeat("x\xff", 1<<20), strings.Repeat("x\uFFFD", 64)},
		"cut inside a replaced rune": {strings.Repeat("x", 254) + "\xffé", strings.Repeat("x", 254)},
	} {
		t.Run(name, func(t *testing.T) {
			d := sampleDelivery(t)
			d.Error = tc.text
			got, err := DeliveryFromRecord(d.DLQRecord("causeway.dlq"))
			if err != nil {
				t.Fatal(err)
			}
			if got.Error != tc.want {
				t.Errorf("error = %q, want %q", got.Error, tc.want)
			}
		})
	}
}

func TestRecordThatIsNoDelivery(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*kgo.Record)
		want   error
		text   string
	}{
		"without any header":    {func(r *kgo.Record) { r.Headers = nil }, ErrMalformed, "causeway-schema is missing"},
		"an event's record":     {func(r *kgo.Record) { r.Headers = sampleDelivery(t).Headers }, ErrMalformed, "it is no delivery"},
		"without version":       {remove(headerVersion), ErrMalformed, "causeway-version is missing"},
		"without origin":        {remove(headerOrigin), ErrMalformed, "causeway-origin is missing"},
		"without run":           {remove(headerRun), ErrMalformed, "causeway-run is missing"},
		"without attempt":       {remove(headerAttempt), ErrMalformed, "causeway-attempt is missing"},
		"without hop":           {remove(headerHop), ErrMalformed, "causeway-hop is missing"},
		"of no uid":             {set(headerSubscription, "billing"), ErrMalformed, "causeway-subscription"},
		"of no place":           {set(headerOrigin, "webhooks.stripe/3"), ErrMalformed, "is not an origin"},
		"at a negative offset":  {set(headerOrigin, "k/t/0/-1"), ErrMalformed, "is not an origin"},
		"due at no time":        {set(headerDue, "soon"), ErrMalformed, "causeway-due"},
		"with attempt -1":       {set(headerAttempt, "-1"), ErrMalformed, "causeway-attempt"},
		"with attempt 1e3":      {set(headerAttempt, "1e3"), ErrMalformed, "causeway-attempt"},
		"with a hop too large":  {set(headerHop, strings.Repeat("9", 1<<20)), ErrMalformed, "causeway-hop"},
		"with a version of %":   {set(headerVersion, strings.Repeat("%s", 1<<20)), ErrMalformed, "causeway-version"},
		"for an unknown reason": {set(headerReason, "bored"), ErrMalformed, "exhausted"},
		"of schema 2":           {set(HeaderSchema, "2"), ErrNewerSchema, "reads up to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sampleDelivery(t).DelayRecord("causeway.delay.5s")
			r.Partition, r.Offset = 1, 7
			tc.change(r)
			_, err := DeliveryFromRecord(r)
			checkFault(t, err, tc.want, tc.text, "causeway.delay.5s/1/7")
		})
	}
}

// A later release may lay a delivery out in another way, as long as the schema
// number stays readable.
func TestDeliveryOfALaterReleaseIsHeld(t *testing.T) {
	r := sampleDelivery(t).DelayRecord("causeway.delay.5s")
	set(HeaderSchema, "2")(r)
	remove(headerSubscription)(r)
	_, err := DeliveryFromRecord(r)
	checkFault(t, err, ErrNewerSchema)
	_, err = FromRecord(r)
	checkFault(t, err, ErrNewerSchema)
}

func TestEveryReasonComesBack(t *testing.T) {
	for _, reason := range Reasons() {
		d := sampleDelivery(t)
		d.Reason = reason
		got, err := DeliveryFromRecord(d.DLQRecord("causeway.dlq"))
		if err != nil || got.Reason != reason {
			t.Errorf("%s comes back as %+v, %v", reason, got, err)
		}
	}
	if got := fmt.Sprint(Reasons()); got != "[exhausted gone expired poison too_large filter_failed refused subscription_deleted]" {
		t.Errorf("reasons = %s", got)
	}
}

// The process that parked it need not have been able to read the event.
func TestEventOfALaterReleaseInADeliveryOfThisOne(t *testing.T) {
	d := sampleDelivery(t)
	d.Headers = slices.Clone(d.Headers)
	d.Headers[0].Value = []byte("2")
	r := d.DelayRecord("causeway.delay.5s")
	if _, err := DeliveryFromRecord(r); err != nil {
		t.Errorf("the delivery: %v", err)
	}
	_, err := FromRecord(r)
	checkFault(t, err, ErrNewerSchema)
}
