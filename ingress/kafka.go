package ingress

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/health"
	"causeway/pkg/kafka"
)

const (
	checkEvery  = time.Second
	pingTimeout = 3 * time.Second
	// failsAfter is how long every record must fail before this process asks to get
	// no more webhooks, and how long it stays away before it asks Kafka again.
	failsAfter = 10 * time.Second
)

// kafkaHealth is the condition that Kafka takes records.
type kafkaHealth struct {
	client *kgo.Client
	handle *health.Handle
	denied *kafka.Denied
	start  time.Time

	failing atomic.Int64          // since when no record was stored, in nanoseconds after start; 0: the last one was
	last    atomic.Pointer[error] // of the failures
}

// note hears what became of each record. A topic that an ACL denies says nothing
// about the others; once it is allowed, the client has to look again to notice.
func (k *kafkaHealth) note(topic string, err error) {
	if k.denied.Note("WRITE", topic, err) {
		k.client.ForceMetadataRefresh()
		return
	}
	if err != nil && !narrow(err) {
		k.failed(err)
	} else if k.failing.Load() != 0 {
		k.failing.Store(0)
	}
}

func (k *kafkaHealth) failed(err error) {
	k.last.Store(&err)
	k.failing.CompareAndSwap(0, int64(time.Since(k.start))+1)
}

// run keeps the condition true to what is, until ctx ends.
func (k *kafkaHealth) run(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	up, quiet := false, time.Time{}
	for {
		switch {
		case up && k.lost():
			k.handle.Fail(fmt.Sprintf("no event was stored for %s: %v", failsAfter, *k.last.Load()))
			up, quiet = false, time.Now().Add(failsAfter)
		case !up && time.Now().After(quiet):
			up = k.ping(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lost reports that records fail, and have for a while.
func (k *kafkaHealth) lost() bool {
	since := k.failing.Load()
	return since != 0 && time.Since(k.start)-time.Duration(since) >= failsAfter
}

// ping asks Kafka whether it is there. A process that is out of service gets no records
// to learn it from.
func (k *kafkaHealth) ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := k.client.Ping(ctx); err != nil {
		k.handle.Fail(fmt.Sprintf("no broker answers: %v", err))
		return false
	}
	k.failing.Store(0)
	k.handle.OK()
	return true
}
