package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The machine's own limits: each the smallest program that does the same I/O as
// causeway and nothing else. They run as processes of their own.
const (
	bareHandler = "bare-handler"
	bareRelay   = "bare-relay"
)

// bareLinger is how long the bare handler's client waits for more records.
const bareLinger = 2 * time.Millisecond

// relayWorkers is how many POSTs the bare relay has under way: as many as a
// subscription has by default.
const relayWorkers = 64

func limits() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{bareHandler: handle, bareRelay: relay}
}

// bareOptions are their command line.
type bareOptions struct{ brokers, topic, listen, url string }

func parseBare(args []string) (o bareOptions, err error) {
	f := flag.NewFlagSet("bare", flag.ContinueOnError)
	f.StringVar(&o.brokers, "brokers", "", "")
	f.StringVar(&o.topic, "topic", "", "")
	f.StringVar(&o.listen, "listen", "", "")
	f.StringVar(&o.url, "url", "", "")
	return o, f.Parse(args)
}

// handle is a net/http handler that HMACs the body and produces it with acks=all,
// keyed by the event's ID as causeway does: equal IDs must meet in one partition.
func handle(ctx context.Context, args []string) error {
	o, err := parseBare(args)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.brokers),
		kgo.DefaultProduceTopic(o.topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(bareLinger),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	secret := []byte(os.Getenv(sourceSecretVar))
	server := &http.Server{Addr: o.listen, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !stripeSigned(r.Header.Get("Stripe-Signature"), body, secret) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, rest, _ := bytes.Cut(body, []byte(`"id":"`))
		id, _, _ := bytes.Cut(rest, []byte(`"`))
		done := make(chan error, 1)
		client.Produce(context.Background(), &kgo.Record{Key: id, Value: body}, func(_ *kgo.Record, err error) { done <- err })
		if <-done != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func stripeSigned(header string, body, secret []byte) bool {
	t, v1, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	mac := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(mac, t)
	_, _ = io.WriteString(mac, ".")
	_, _ = mac.Write(body)
	given, err := hex.DecodeString(v1)
	return err == nil && hmac.Equal(mac.Sum(nil), given)
}

// relay is a consumer that POSTs each record and does nothing else: no group, no
// commits, no signature, no retries.
func relay(ctx context.Context, args []string) error {
	o, err := parseBare(args)
	if err != nil {
		return err
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(o.brokers),
		kgo.ConsumeTopics(o.topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer consumer.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: relayWorkers, MaxIdleConnsPerHost: relayWorkers, DisableCompression: true}}
	records := make(chan *kgo.Record, 1000)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var workers sync.WaitGroup
	for range relayWorkers {
		workers.Go(func() {
			for r := range records {
				if err := post(ctx, client, o.url, r.Value); err != nil {
					fail(err)
				}
			}
		})
	}
	for ctx.Err() == nil {
		consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			select {
			case records <- r:
			case <-ctx.Done():
			}
		})
	}
	close(records)
	workers.Wait()
	return context.Cause(ctx)
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the receiver answered %d", resp.StatusCode)
	}
	return nil
}
