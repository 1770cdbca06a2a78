package kafkatest_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/kafka"
	"causeway/pkg/kafka/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

func TestOneRealBrokerCanBeFrozen(t *testing.T) {
	c := kafkatest.Real(t, 1)
	produce(t, c)
	if err := c.Pause(0); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(c.Options().Base("frozen")...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := cl.Ping(ctx); err == nil {
		t.Error("a frozen broker answered")
	}
	if err := c.Resume(0); err != nil {
		t.Fatal(err)
	}
	produce(t, c)
}

func TestThreeRealBrokersServeWithoutOne(t *testing.T) {
	c := kafkatest.Real(t, 3)
	produce(t, c)
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	produce(t, c)
	if err := c.Restart(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	produce(t, c)
}

// produce creates a source's topic and sends it one record, as ingress would.
func produce(t *testing.T, c *kafkatest.Cluster) {
	t.Helper()
	cl, err := kgo.NewClient(c.Options().IngressProducer()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topic := kafkatest.Prefix(t) + "a"
	plan := kafka.Plan(kafka.PlanOptions{Sources: []kafka.SourceTopic{{Name: topic, Partitions: 3}}, Brokers: c.Size()})[:1]
	if _, err := kafka.Ensure(t.Context(), cl, plan); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
