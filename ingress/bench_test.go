package ingress

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"causeway/pkg/catalog"
	"causeway/pkg/kafka"
	"causeway/schemas"
)

// BenchmarkReceive compares the whole handler with the least that could do its job: a
// handler that reads the body, checks a Stripe signature and produces with acks=all. The
// broker throws away what it gets, so that the difference shows.
func BenchmarkReceive(b *testing.B) {
	for _, format := range []schemas.Format{schemas.Raw, schemas.Avro} {
		src := stripe(b, func(src *catalog.Source) { src.Format = format })
		snapshot := &catalog.Snapshot{Sources: []*catalog.Source{src}}
		b.Run(format.String(), func(b *testing.B) {
			client := blackhole(b, src.Topic)
			s := New(Options{Catalog: func() *catalog.Snapshot { return snapshot }, Client: client})
			post(b, s.Handler(), src)
		})
	}
	b.Run("traced", func(b *testing.B) { // every request, to nobody
		src := stripe(b)
		snapshot := &catalog.Snapshot{Sources: []*catalog.Source{src}}
		traces := sdk.NewTracerProvider(sdk.WithBatcher(tracetest.NewNoopExporter()))
		s := New(Options{Catalog: func() *catalog.Snapshot { return snapshot }, Client: blackhole(b, src.Topic), TracerProvider: traces})
		post(b, s.Handler(), src)
	})
	b.Run("bare", func(b *testing.B) {
		src := stripe(b)
		post(b, bare(blackhole(b, src.Topic), src.Topic), src)
	})
}

// blackhole is a client of a broker that acknowledges everything and keeps nothing.
func blackhole(b *testing.B, topic string) *kgo.Client {
	b.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(12, topic), kfake.BlackholeProduce())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kafka.Options{Brokers: cluster.ListenAddrs()}.IngressProducer()...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	return client
}

// post sends b.N signed webhooks of 1 KiB, 64 at a time.
func post(b *testing.B, handler http.Handler, src *catalog.Source) {
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			body := sized(1024, "evt_"+strconv.FormatInt(n.Add(1), 10))
			t := strconv.FormatInt(time.Now().Unix(), 10)
			mac := hmac.New(sha256.New, []byte(testSecret))
			_, _ = io.WriteString(mac, t+"."+body)
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			r.RemoteAddr, r.RequestURI = "127.0.0.1:1234", "/webhooks/stripe"
			r.Header = http.Header{"Content-Type": {"application/json"}, "Stripe-Signature": {"t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))}}
			w := &deadlined{recorder{header: http.Header{}}}
			handler.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Errorf("answered %d", w.status)
				return
			}
		}
	})
}

// deadlined is a recorder that takes deadlines, as a connection does.
type deadlined struct{ recorder }

func (*deadlined) SetReadDeadline(time.Time) error { return nil }

// bare is that least: no dedup, no record headers, no limits, no metrics.
func bare(client *kgo.Client, topic string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		t, v1, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Stripe-Signature"), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(testSecret))
		_, _ = fmt.Fprintf(mac, "%s.%s", t, body)
		got, err := hex.DecodeString(v1)
		if err != nil || !hmac.Equal(mac.Sum(nil), got) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, rest, _ := bytes.Cut(body, []byte(`"id":"`))
		id, _, _ := bytes.Cut(rest, []byte(`"`))
		done := make(chan error, 1)
		client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: id, Value: body}, func(_ *kgo.Record, err error) { done <- err })
		if <-done != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}
