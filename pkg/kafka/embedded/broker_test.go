package embedded

import (
	"testing"

	"causeway/pkg/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestStartAndRestart(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		b, err := Start(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		o := kafka.Options{Brokers: []string{b.Addr()}}
		cl, err := kgo.NewClient(o.IngressProducer()...)
		if err != nil {
			t.Fatal(err)
		}
		created, err := kafka.Ensure(t.Context(), cl, kafka.Plan(kafka.PlanOptions{Embedded: true, Tiers: []string{"1s"}, Sources: []kafka.SourceTopic{{Name: "webhooks.stripe"}}}))
		if err != nil {
			t.Fatal(err)
		}
		t.Log(created)
		r := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "webhooks.stripe", Key: []byte("a"), Value: []byte("b")})
		if r.FirstErr() != nil {
			t.Fatal(r.FirstErr())
		}
		t.Log(r[0].Record.Offset)
		cl.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
