package schemas

import (
	"bytes"
	"testing"
)

func BenchmarkRecord(b *testing.B)     { eachFormat(b, benchmarkRecord) }
func BenchmarkFromRecord(b *testing.B) { eachFormat(b, benchmarkFromRecord) }

func eachFormat(b *testing.B, run func(*testing.B, *Event, Format)) {
	for _, f := range []Format{Raw, Avro, CloudEvents} {
		e := sampleEvent(f)
		e.Body = bytes.Repeat([]byte("x"), 1024)
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			run(b, e, f)
		})
	}
}

func benchmarkRecord(b *testing.B, e *Event, f Format) {
	for b.Loop() {
		if _, err := e.Record("webhooks.stripe", f); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkFromRecord(b *testing.B, e *Event, f Format) {
	r, err := e.Record("webhooks.stripe", f)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := FromRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDelayRecord(b *testing.B) {
	d := sampleDelivery(b)
	b.ReportAllocs()
	for b.Loop() {
		d.DelayRecord("causeway.delay.5s")
	}
}

func BenchmarkDeliveryFromRecord(b *testing.B) {
	r := sampleDelivery(b).DelayRecord("causeway.delay.5s")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DeliveryFromRecord(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttemptRecord(b *testing.B) {
	a := sampleAttempt()
	b.ReportAllocs()
	for b.Loop() {
		a.Record("causeway.attempts")
	}
}
