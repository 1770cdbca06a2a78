package egress

import (
	"testing"
	"time"

	"causeway/egress/delay"
	"causeway/schemas"
)

func TestFailsTwiceThenArrives(t *testing.T) {
	fail := func(a arrival) int {
		if a.attempt <= 2 {
			return 500
		}
		return 200
	}
	inBubble(t, fail, []string{"a"}, func(b *bed) {
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1", Type: "invoice.paid", ContentType: "application/json"})
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := b.sink.of("a", "evt-1")
		if len(got) != 3 {
			t.Fatalf("%d arrivals, want 3", len(got))
		}
		for i, want := range []time.Duration{5 * time.Second, 30 * time.Second} {
			gap := got[i+1].at.Sub(got[i].at)
			if gap < want || gap > want+100*time.Millisecond {
				t.Errorf("gap %d is %v, want %v and at most 100 ms more", i, gap, want)
			}
		}
		for i, a := range got {
			if want := string(rune('1' + i)); a.header.Get("Causeway-Attempt") != want {
				t.Errorf("arrival %d says attempt %s", i, a.header.Get("Causeway-Attempt"))
			}
			if a.body != `{"id":"evt-1"}` || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("arrival %d: body %q, content type %q", i, a.body, a.header.Get("Content-Type"))
			}
		}
		if n := len(b.read("causeway.dlq")); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestExhaustedDeliveryCostsOneWritePerWait(t *testing.T) {
	inBubble(t, always(500), []string{"a"}, func(b *bed) {
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(80 * time.Hour)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-1")); n != 10 {
			t.Errorf("%d attempts, want 10", n)
		}
		want := map[string]int{"1s": 0, "5s": 1, "30s": 1, "5m": 1, "30m": 1, "2h": 1, "6h": 1, "12h": 1, "24h": 2}
		for _, tier := range delay.Tiers() {
			if n := len(b.read(tier.Topic("causeway."))); n != want[tier.Name] {
				t.Errorf("tier %s: %d records, want %d", tier.Name, n, want[tier.Name])
			}
		}
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonExhausted || letters[0].Attempt != 10 || letters[0].Status != 500 {
			t.Fatalf("dead letters: %+v", letters)
		}
		if string(letters[0].Value) != `{"id":"evt-1"}` || string(letters[0].Key) != "evt-1" {
			t.Errorf("dead letter %q = %q", letters[0].Key, letters[0].Value)
		}
	})
}
