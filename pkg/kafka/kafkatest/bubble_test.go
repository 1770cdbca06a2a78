package kafkatest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

func TestADayInABubblePassesAtOnce(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		b := kafkatest.NewBubble(t)
		o := b.Options()
		producer, err := kgo.NewClient(o.IngressProducer()...)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		plan := kafka.Plan(kafka.PlanOptions{Embedded: true, Sources: []kafka.SourceTopic{{Name: "webhooks.a"}}})
		if _, err := kafka.Ensure(t.Context(), producer, plan); err != nil {
			t.Fatal(err)
		}
		consumer, err := kgo.NewClient(append(o.Consumer("causeway.egress"), kgo.ConsumeTopics("webhooks.a"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		for range 24 {
			time.Sleep(time.Hour)
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.a", Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			fs := consumer.PollFetches(t.Context())
			if err := fs.Err(); err != nil || fs.NumRecords() != 1 {
				t.Fatalf("%d records, %v", fs.NumRecords(), err)
			}
			if got := time.Since(sent); got > time.Second {
				t.Fatalf("arrived after %v", got)
			}
		}
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a day took %v", took)
	}
}
