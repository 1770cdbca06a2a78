package egress

import (
	"fmt"
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
	inBubble(t, fail, []string{"a"}, func(t *testing.T, b *bed) {
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
	inBubble(t, always(500), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = forDays
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

func TestRetryAfterIsRoundedUpToWholeTiers(t *testing.T) {
	answer := func(a arrival) int {
		if a.attempt == 1 {
			return 503
		}
		return 200
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		b.sink.header.Set("Retry-After", "37") // 30s + 5s + 5s is the smallest sum of three that is not below
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(2 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := b.sink.of("a", "evt-1")
		if len(got) != 2 {
			t.Fatalf("%d arrivals, want 2", len(got))
		}
		if gap := got[1].at.Sub(got[0].at); gap < 40*time.Second || gap > 40*time.Second+100*time.Millisecond {
			t.Errorf("came back after %v, want 40s", gap)
		}
		for tier, want := range map[string]int{"1s": 0, "5s": 2, "30s": 1, "5m": 0} {
			if n := len(b.read("causeway.delay." + tier)); n != want {
				t.Errorf("tier %s: %d records, want %d", tier, n, want)
			}
		}
	})
}

func TestGoneDisablesAndLaterEventsWait(t *testing.T) {
	inBubble(t, always(410), []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = forDays
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(time.Second)
		b.publish(schemas.Event{ID: "evt-2"})
		time.Sleep(2 * time.Hour)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.of("a", "evt-2")); n != 0 {
			t.Errorf("a disabled subscription got %d attempts", n)
		}
		letters := b.deadLetters()
		if len(letters) != 1 || letters[0].Reason != schemas.ReasonGone {
			t.Fatalf("dead letters: %+v", letters)
		}
		// Parked without an attempt: 5s, 30s, 5m, and 30m from then on.
		for tier, want := range map[string]int{"5s": 1, "30s": 1, "5m": 1, "30m": 4} {
			if n := len(b.read("causeway.delay." + tier)); n != want {
				t.Errorf("tier %s: %d records, want %d", tier, n, want)
			}
		}
	})
}

func TestParkedDeliveriesOutliveARestart(t *testing.T) {
	answer := func(a arrival) int {
		if a.attempt <= 2 {
			return 500
		}
		return 200
	}
	inBubble(t, answer, []string{"a"}, func(t *testing.T, b *bed) {
		stop := b.start()
		for _, id := range []string{"evt-1", "evt-2", "evt-3"} {
			b.publish(schemas.Event{ID: id})
		}
		time.Sleep(6 * time.Second) // the second failure is parked for 30 s
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop = b.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"evt-1", "evt-2", "evt-3"} {
			got := b.sink.of("a", id)
			if len(got) != 3 {
				t.Fatalf("%s: %d arrivals, want 3", id, len(got))
			}
			if gap := got[2].at.Sub(got[1].at); gap < 30*time.Second || gap > 31*time.Second {
				t.Errorf("%s: came back %v after its second failure, want 30s", id, gap)
			}
		}
	})
}

func TestGracefulStopLetsAttemptsEnd(t *testing.T) {
	slow := func(arrival) int {
		time.Sleep(5 * time.Second)
		return 200
	}
	inBubble(t, slow, []string{"a"}, func(t *testing.T, b *bed) {
		stop := b.start()
		for i := range 100 { // 64 at once: the others wait in the queue
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.sink.arrivals); n != 64 {
			t.Fatalf("%d arrivals before the stop, want 64", n)
		}
		stop = b.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if n := len(b.sink.of("a", fmt.Sprintf("evt-%d", i))); n != 1 {
				t.Errorf("evt-%d: %d arrivals, want 1", i, n)
			}
		}
	})
}

func TestAStopThatTakesTooLongCutsAttemptsOffAndLosesNothing(t *testing.T) {
	hang := func(a arrival) int {
		if a.attempt == 1 {
			time.Sleep(14 * time.Second)
		}
		return 200
	}
	inBubble(t, hang, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.ShutdownTimeout = 5 * time.Second }
		stop := b.start()
		b.publish(schemas.Event{ID: "evt-1"})
		time.Sleep(time.Second)
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		b.tune = func(*Options) {}
		stop = b.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := b.sink.of("a", "evt-1")
		if len(got) != 2 || got[1].header.Get("Causeway-Attempt") != "1" {
			t.Fatalf("arrivals: %d; what was cut off must come again as the same attempt", len(got))
		}
	})
}

func TestSlowSubscriberDelaysNobodyElse(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "slow" {
			time.Sleep(20 * time.Second)
		}
		return 200
	}
	inBubble(t, answer, []string{"slow", "fast"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.QueueTasks = 100 }
		stop := b.start()
		published := map[string]time.Time{}
		for i := range 1000 {
			id := fmt.Sprintf("evt-%d", i)
			published[id] = time.Now()
			b.publish(schemas.Event{ID: id})
		}
		time.Sleep(2 * time.Second)
		for id, at := range published {
			got := b.sink.of("fast", id)
			if len(got) != 1 {
				t.Fatalf("%s: %d arrivals at the fast subscriber, want 1", id, len(got))
			}
			if late := got[0].at.Sub(at); late > 200*time.Millisecond {
				t.Errorf("%s came after %v", id, late)
			}
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(b.read("causeway.delay.5s")); n < 800 {
			t.Errorf("%d deliveries of the slow one were parked, want those that its queue of 100 and its 64 attempts don't hold", n)
		}
	})
}

func TestSubscriberThatIsAloneWaitsWithoutWrites(t *testing.T) {
	slow := func(arrival) int {
		time.Sleep(10 * time.Second)
		return 200
	}
	inBubble(t, slow, []string{"a"}, func(t *testing.T, b *bed) {
		b.tune = func(o *Options) { o.QueueTasks = 10 }
		stop := b.start()
		for i := range 300 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		time.Sleep(2 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			if n := len(b.sink.of("a", fmt.Sprintf("evt-%d", i))); n != 1 {
				t.Errorf("evt-%d: %d arrivals, want 1", i, n)
			}
		}
		if n := len(b.read("causeway.delay.5s")); n != 0 {
			t.Errorf("%d deliveries were parked although nobody else was waiting", n)
		}
	})
}

func TestWhatWaitsFiveSecondsInAQueueIsParked(t *testing.T) {
	answer := func(a arrival) int {
		if a.path == "slow" {
			time.Sleep(14 * time.Second)
		}
		return 200
	}
	inBubble(t, answer, []string{"slow", "fast"}, func(t *testing.T, b *bed) {
		stop := b.start()
		for i := range 100 {
			b.publish(schemas.Event{ID: fmt.Sprintf("evt-%d", i)})
		}
		time.Sleep(7 * time.Second)
		if n := len(b.read("causeway.delay.5s")); n != 36 {
			t.Errorf("%d deliveries were parked, want the 36 beyond the 64 attempts", n)
		}
		time.Sleep(2 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if n := len(b.sink.of("slow", fmt.Sprintf("evt-%d", i))); n != 1 {
				t.Errorf("evt-%d: %d arrivals, want 1", i, n)
			}
		}
	})
}
