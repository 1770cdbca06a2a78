package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// TopicOptions say where a Topic keeps the catalog.
type TopicOptions struct {
	Topic string // its name; it has one partition
	// Transaction is the one transactional id under which every process writes.
	Transaction string
	// Client gives the options of a client of that role, as kafka.Options.Base does.
	Client func(role string) []kgo.Opt
	Logger *zap.Logger
}

// Topic is the catalog in a compacted topic of one partition. Every process reads it
// to its end and on from there; any process may write it, without a leader:
//
//  1. fence: a fresh client initialises the one transactional id, which aborts what
//     another was doing and makes whatever it still sends be refused;
//  2. read the topic to the end that is asked for after that;
//  3. work the change out and write all of it in one transaction;
//  4. read it back: only a change that was read is acknowledged.
//
// Whoever was fenced or aborted starts again, after a pause. A change whose outcome
// is not known, because the answer was lost, is looked for by the name that its
// records carry: after the fence of the next try its transaction has ended one way or
// the other. The fence is that of KIP-98; two writers that did not know of each other
// could both append otherwise.
//
// A state is only ever published at the end of a transaction, so nobody sees half a
// change. Transactions follow one another, so what lies between two markers belongs
// together.
type Topic struct {
	o TopicOptions
	*watched
	writing chan struct{} // holds a token: this process's own writers need not fence each other

	changes recent
}

// NewTopic makes a Topic that does nothing before Run.
func NewTopic(o TopicOptions) *Topic {
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	return &Topic{o: o, watched: newWatched(), writing: make(chan struct{}, 1)}
}

// State is the catalog as far as it was read.
func (t *Topic) State() *State { return t.state.Load() }

// Next gives the state and a channel that is closed when there is a newer one.
func (t *Topic) Next() (*State, <-chan struct{}) { return t.next() }

// headerChange names the change that a record belongs to.
const headerChange = "causeway-change"

// Run reads the topic, from its beginning and on, until ctx ends.
func (t *Topic) Run(ctx context.Context) error {
	opts := append(t.o.Client("catalog"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.o.Topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A marker is what says that a transaction has ended; and while it is the last
		// record, nothing else could say that the end was read.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(time.Second),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("make the client that reads %s: %w", t.o.Topic, err)
	}
	defer client.Close()
	said := ""
	state := t.State()
	var pending []record // of a transaction that has not ended
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if text := err.Error(); text != said {
				said = text
				t.o.Logger.Error("read the catalog, trying on", zap.String("topic", t.o.Topic), zap.Error(err))
			}
		})
		var whole []record
		var end int64
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				pending = append(pending, t.read(r)...)
				return
			}
			said, end = "", r.Offset+1
			whole, pending = append(whole, pending...), pending[:0]
		})
		// Many transactions in one fetch are one new state: at the start, all of them.
		if end > state.Version {
			state = state.with(end, whole)
			t.publish(state)
		}
	}
}

// read decodes one record. One that is none is kept out and said: whatever it was
// meant to be, the others are not to suffer from it.
func (t *Topic) read(r *kgo.Record) []record {
	key := string(r.Key)
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == headerChange })
	if i >= 0 {
		t.changes.add(string(r.Headers[i].Value))
	}
	got, err := decode(r.Offset+1, key, r.Value)
	if err != nil {
		t.o.Logger.Error("a record of the catalog cannot be read, and counts as not written", zap.Int64("offset", r.Offset), zap.Error(err))
		return nil
	}
	return []record{got}
}

// Update writes what change makes of the catalog as it is, and returns the state in
// which that can be read. It goes on trying until ctx ends; an error that is not
// ctx's says that nothing was written.
func (t *Topic) Update(ctx context.Context, change Change) (*State, error) {
	select {
	case t.writing <- struct{}{}:
		defer func() { <-t.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("write the catalog, behind another change of this process: %w", ctx.Err())
	}
	id := uuid.NewString() // one for all tries: any of them may have been written
	for attempt := 0; ; attempt++ {
		state, err := t.try(ctx, id, change)
		var again *againError
		if !errors.As(err, &again) {
			return state, err
		}
		if attempt > 0 && attempt%20 == 0 {
			t.o.Logger.Warn("the catalog cannot be written, trying on", zap.Int("tries", attempt), zap.Error(again.err))
		}
		if ended := pause(ctx, attempt); ended != nil {
			return nil, fmt.Errorf("write the catalog: %w; the last try: %w", ended, again.err)
		}
	}
}

// againError is a try that came to nothing, or to nobody knows what, through no fault
// of the change.
type againError struct{ err error }

func (e *againError) Error() string { return e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

// transactionTime is how long Kafka lets a writer that is not heard of keep the others
// waiting. Whoever fences does not wait for it.
const transactionTime = 10 * time.Second

func (t *Topic) try(ctx context.Context, id string, change Change) (*State, error) {
	writer, err := kgo.NewClient(append(t.o.Client("catalog-writer"),
		kgo.TransactionalID(t.o.Transaction),
		kgo.TransactionTimeout(transactionTime),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(maxBatch),
		kgo.MaxBufferedRecords(math.MaxInt32),
		kgo.ProducerLinger(0),
	)...)
	if err != nil {
		return nil, fmt.Errorf("make the client that writes the catalog: %w", err)
	}
	defer writer.Close()
	if _, _, err := writer.ProducerID(ctx); err != nil {
		return nil, tried("begin to write the catalog", err)
	}
	ends, err := kadm.NewClient(writer).ListEndOffsets(ctx, t.o.Topic)
	if err != nil {
		return nil, tried("look up the catalog's end", err)
	}
	end, ok := ends.Lookup(t.o.Topic, 0)
	if !ok || end.Err != nil {
		return nil, tried("look up the catalog's end", cmp.Or(end.Err, error(kerr.UnknownTopicOrPartition)))
	}
	// What is asked for is the end of everything: after the fence no transaction is open.
	state, err := t.await(ctx, end.Offset)
	if err != nil {
		return nil, fmt.Errorf("read the catalog to its end: %w", err)
	}
	if t.changes.has(id) {
		return state, nil // an earlier try, whose answer was lost
	}
	changes, err := change(state)
	if err != nil {
		return nil, err
	}
	encoded, err := changes.encode()
	if err != nil || len(encoded) == 0 {
		return state, err
	}
	records := make([]*kgo.Record, len(encoded))
	for i, e := range encoded {
		records[i] = &kgo.Record{Topic: t.o.Topic, Key: []byte(e.key), Value: e.value, Headers: []kgo.RecordHeader{{Key: headerChange, Value: []byte(id)}}}
	}
	if err := writer.BeginTransaction(); err != nil {
		return nil, tried("begin to write the catalog", err)
	}
	if err := writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		// Aborted by the next writer at the latest.
		abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return nil, tried("write the catalog", errors.Join(err, writer.EndTransaction(abort, kgo.TryAbort)))
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, tried("end the writing of the catalog", err)
	}
	state, err = t.await(ctx, records[len(records)-1].Offset+1)
	if err != nil {
		return nil, fmt.Errorf("read what was written to the catalog: %w", err)
	}
	if !t.changes.has(id) {
		// kfake was seen to answer so when the fence of another came just before.
		return nil, &againError{errors.New("the change was said to be committed, and was aborted")}
	}
	return state, nil
}

// maxBatch is the largest record that the catalog takes, with its batch.
const maxBatch = 1_000_000

// tried says whether another try may fare better.
func tried(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	for _, final := range []error{
		kerr.TransactionalIDAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.MessageTooLarge, kerr.InvalidTransactionTimeout, kerr.SaslAuthenticationFailed,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, final) {
			return err
		}
	}
	return &againError{err}
}
