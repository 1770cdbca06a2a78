package ingress

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/ingress/dedup"
)

// produce hands the record to the client and returns; the promise alone ends the claim.
//
// The context is nobody's: a batch is cancelled by the context of its first record, and
// takes all the others with it, so one client that hangs up would fail a hundred others.
// Nor does it wait for room: a full buffer means that Kafka is behind, and then "again
// later" is the honest answer.
func (s *Server) produce(src *source, e *event, rec *kgo.Record, claim *dedup.Claim) {
	if err := s.options.Writable(); err != nil {
		claim.Settle(fmt.Errorf("%w: %w", errNotWritable, err))
		return
	}
	if err := s.options.Topic(rec.Topic); err != nil {
		claim.Settle(fmt.Errorf("%w: %w", errTopicMissing, err))
		return
	}
	size := recordSize(rec)
	if !src.inFlight.take(size) {
		claim.Settle(fmt.Errorf("%w: %s", errTopicFull, rec.Topic))
		return
	}
	started, span := e.Received, e.span
	s.options.Client.TryProduce(context.Background(), rec, func(rec *kgo.Record, err error) {
		src.inFlight.give(size)
		s.metrics.produce.Observe(seconds(started))
		produced(span, rec, err)
		s.kafka.note(src.Topic, err)
		switch {
		case missing(err):
			err = fmt.Errorf("%w: produce to %s: %w", errTopicMissing, src.Topic, err)
		case err != nil:
			err = fmt.Errorf("%w: produce to %s: %w", errKafka, src.Topic, err)
		}
		claim.Settle(err)
	})
}

// wait waits for what becomes of the record, but no longer than the provider does. Who
// is not told in time may still find the event stored: the claim goes on without us, and
// the copy that the provider sends then gets its outcome.
func (s *Server) wait(ctx context.Context, claim *dedup.Claim, limit time.Duration) error {
	select {
	case <-claim.Done(): // a copy of what is stored
		return claim.Err()
	default:
	}
	over := s.waits.Context(context.Background(), limit, errReplyTimeout, time.Now())
	select {
	case <-claim.Done():
		return claim.Err()
	case <-over.Done():
		return fmt.Errorf("%w: %s", errReplyTimeout, limit)
	case <-ctx.Done():
		return errClientGone
	}
}

// started waits until Kafka was reached for the first time.
func (s *Server) started(ctx context.Context) error {
	select {
	case <-s.options.Started:
		return nil
	default:
	}
	timer := time.NewTimer(s.options.ReplyTimeout)
	defer timer.Stop()
	select {
	case <-s.options.Started:
		return nil
	case <-timer.C:
		return fmt.Errorf("%w: Kafka was not reached since the start", errKafka)
	case <-ctx.Done():
		return errClientGone
	}
}

// narrow tells whether a produce error is about this one record or topic: then Kafka
// stores what other sources get.
func narrow(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || missing(err) || errors.Is(err, kerr.TopicAuthorizationFailed)
}

// missing tells whether the topic was not there, or another one of its name was.
func missing(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// recordSize is about what the record takes in the client's buffer.
func recordSize(rec *kgo.Record) int64 {
	n := len(rec.Key) + len(rec.Value)
	for _, h := range rec.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
