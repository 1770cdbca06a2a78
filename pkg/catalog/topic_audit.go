package catalog

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Audit writes records of what changes nothing in the catalog, such as a payload that
// was read. They are acknowledged by all in-sync replicas when it returns.
func (t *Topic) Audit(ctx context.Context, records ...AuditRecord) error {
	if len(records) == 0 {
		return nil
	}
	written, err := t.auditRecords(records)
	if err != nil {
		return err
	}
	select {
	case t.auditing <- struct{}{}:
		defer func() { <-t.auditing }()
	case <-ctx.Done():
		return fmt.Errorf("write to %s, behind another record: %w", t.o.Audit, ctx.Err())
	}
	client, err := kgo.NewClient(append(t.o.Client("audit-writer"),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(t.partitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		return fmt.Errorf("make the client that writes to %s: %w", t.o.Audit, err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, written...).FirstErr(); err != nil {
		return fmt.Errorf("write what was done to %s: %w", t.o.Audit, err)
	}
	return nil
}

var errNoAudit = errors.New("there is no audit topic to write to, and nothing is done without a record of it")

func (t *Topic) auditRecords(records []AuditRecord) ([]*kgo.Record, error) {
	if len(records) == 0 {
		return nil, nil
	}
	if t.o.Audit == "" {
		return nil, errNoAudit
	}
	values, err := encodeAudit(records)
	if err != nil {
		return nil, err
	}
	written := make([]*kgo.Record, len(values))
	for i, v := range values {
		written[i] = &kgo.Record{Topic: t.o.Audit, Key: []byte(v.key), Value: v.value}
	}
	return written, nil
}

// partitioner keeps the catalog in its one partition, and what one has done in one of
// the audit topic's.
func (t *Topic) partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		return func(r *kgo.Record, n int) int {
			if topic == t.o.Topic {
				return 0
			}
			h := fnv.New32a()
			_, _ = h.Write(r.Key) // never fails
			return int(h.Sum32() % uint32(n))
		}
	})
}
