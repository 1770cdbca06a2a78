package catalog

import (
	"cmp"
	"context"
	"encoding/binary"
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
	// Audit is the name of the topic of the audit records. Without one a change that
	// carries any is refused.
	Audit string
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
// A state is only ever published at the end of a transaction, and of the topic as far
// as it was known by then, so nobody sees half a change. Transactions follow one another,
// so what lies between two markers belongs together.
type Topic struct {
	o TopicOptions
	*watched
	writing chan struct{} // holds a token: this process's own writers need not fence each other
	// Two clients of one name cannot have their metrics at once: each holds a token.
	asking, auditing chan struct{}

	changes recent
	short   short
	open    open
}

// NewTopic makes a Topic that does nothing before Run.
func NewTopic(o TopicOptions) *Topic {
	o.Logger = cmp.Or(o.Logger, zap.NewNop())
	return &Topic{o: o, watched: newWatched(), writing: make(chan struct{}, 1), asking: make(chan struct{}, 1), auditing: make(chan struct{}, 1)}
}

// State is the catalog as far as it was read.
func (t *Topic) State() *State { return t.state.Load() }

// Next gives the state and a channel that is closed when there is a newer one.
func (t *Topic) Next() (*State, <-chan struct{}) { return t.next() }

// headerChange names the change that a record belongs to.
const headerChange = "causeway-change"

// Run reads the topic, from its beginning and on, until ctx ends. One that went back it
// leaves alone.
func (t *Topic) Run(ctx context.Context) error {
	for {
		err := t.follow(ctx)
		if errors.Is(err, ErrWentBack) {
			<-ctx.Done()
			return nil
		}
		if !errors.Is(err, errAway) {
			return err
		}
		t.o.Logger.Info("the catalog is read anew: nothing of it was read for so long that deletions may be gone", zap.String("topic", t.o.Topic))
	}
}

// away is after how long without a record a reader begins anew. Kafka keeps a deletion
// for a week (delete.retention.ms in pkg/kafka's plan): whoever comes to it later finds
// nothing, and would hold what was deleted for ever. A quiet catalog looks the same from
// here, and reading it once more is cheap.
const away = 6 * 24 * time.Hour

var errAway = errors.New("away for too long")

// follow reads the topic from its beginning until ctx ends, it was away or the topic went
// back.
func (t *Topic) follow(ctx context.Context) error {
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
	state := emptyState()
	var pending []record // of a transaction that has not ended
	var whole []record   // of those that have, and not yet in the state
	var end int64
	var last time.Time // on the wall: a clock that stands while the machine sleeps would not do
	committed := false
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(_ string, _ int32, err error) {
			if lost(err) {
				t.wentBack(err)
			} else if text := err.Error(); text != said {
				said = text
				t.o.Logger.Error("read the catalog, trying on", zap.String("topic", t.o.Topic), zap.Error(err))
			}
		})
		if err := t.WentBack(); err != nil {
			return err
		}
		if fetches.Empty() {
			continue
		}
		now := time.Now().Round(0)
		if !last.IsZero() && now.Sub(last) > away {
			return errAway
		}
		last = now
		fetches.EachRecord(func(r *kgo.Record) {
			switch {
			case r.Attrs.IsControl():
			case r.Attrs.IsTransactional() || len(pending) > 0:
				pending = append(pending, t.read(r)...)
				return
			default:
				// Somebody wrote it past Update. No marker comes after it, and the end of the
				// catalog has to be reached all the same.
				whole, end = append(whole, t.read(r)...), r.Offset+1
				return
			}
			said, end = "", r.Offset+1
			committed = committed || commits(r)
			whole, pending = append(whole, pending...), pending[:0]
		})
		// What compaction has left of an older change may be half of it, the other half
		// being in a newer one. Only at the end is it certain to be whole.
		if end < stable(fetches) || end <= t.State().Version {
			continue
		}
		state = state.with(end, whole)
		state.written = state.written || committed // also what compaction has left nothing of
		whole = nil
		t.publish(state)
		t.short.grew()
	}
}

// stable is where the committed part of the topic ended when the newest fetch was made.
func stable(fetches kgo.Fetches) (end int64) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) { end = max(end, p.LastStableOffset) })
	return end
}

// commits says whether a marker ends a transaction that was committed. Its key holds a
// version and a type, of two bytes each.
func commits(marker *kgo.Record) bool {
	const commit = 1
	return len(marker.Key) >= 4 && binary.BigEndian.Uint16(marker.Key[2:]) == commit
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

// Update writes what change makes of the catalog as it is, and returns the catalog as
// the change has left it: others may have changed it again by then, and whoever took
// their version for his own would write over what he has not seen. It goes on trying
// until ctx ends. Its error says that nothing was written, unless it is
// ErrUnknownOutcome: then the answer to a try was lost, and what came of it could not
// be found out, because ctx ended or the next try was refused for good.
func (t *Topic) Update(ctx context.Context, change Change) (*State, error) {
	select {
	case t.writing <- struct{}{}:
		defer func() { <-t.writing }()
	case <-ctx.Done():
		return nil, fmt.Errorf("write the catalog, behind another change of this process: %w", ctx.Err())
	}
	u := &update{id: uuid.NewString(), change: change}
	for attempt := 0; ; attempt++ {
		if err := t.WentBack(); err != nil {
			return nil, u.explain(err)
		}
		begun := time.Now()
		state, err := t.try(ctx, u)
		again, ok := errors.AsType[*againError](err)
		if !ok {
			return state, u.explain(err)
		}
		if attempt > 0 && attempt%20 == 0 {
			t.o.Logger.Warn("the catalog cannot be written, trying on", zap.Int("tries", attempt), zap.Error(again.err))
		}
		if ended := pause(ctx, attempt, time.Since(begun)); ended != nil {
			return nil, u.explain(fmt.Errorf("write the catalog: %w; the last try: %w", ended, again.err))
		}
	}
}

// update is one change on its way.
type update struct {
	id     string // one for all tries: any of them may have been written
	change Change
	asked  bool   // a transaction was asked to be committed, and what came of it is not known
	after  *State // what that transaction makes of the catalog
}

// explain adds that the outcome is not known to an error, where that is so.
func (u *update) explain(err error) error {
	if err == nil || !u.asked {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// againError is a try that came to nothing, or to nobody knows what, through no fault
// of the change.
type againError struct{ err error }

func (e *againError) Error() string { return e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

// transactionTime is how long Kafka lets a writer that is not heard of keep the others
// waiting. Whoever fences does not wait for it.
const transactionTime = 10 * time.Second

func (t *Topic) try(ctx context.Context, u *update) (*State, error) {
	writer, err := kgo.NewClient(append(t.o.Client("catalog-writer"),
		kgo.TransactionalID(t.o.Transaction),
		kgo.TransactionTimeout(transactionTime),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(t.partitioner()),
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
	read := t.State().Version
	// What is asked for is the end of everything: after the fence no transaction is open.
	end, err := t.only(kadm.NewClient(writer).ListEndOffsets(ctx, t.o.Topic))
	if err != nil {
		return nil, tried("look up the catalog's end", err)
	}
	if err := t.saw(end, read); err != nil {
		return nil, &againError{err}
	}
	state, err := t.await(ctx, end)
	if err != nil {
		return nil, fmt.Errorf("read the catalog to its end %d, from %d: %w", end, read, cmp.Or(t.Hanging(), err))
	}
	if t.changes.has(u.id) {
		return u.after, nil // an earlier try, whose answer was lost
	}
	u.asked = false // it was looked for behind the fence, and is not there
	changes, err := u.change(state)
	if err != nil {
		return nil, err
	}
	encoded, err := changes.encode()
	if err != nil {
		return nil, err
	}
	if len(encoded) == 0 {
		return state, t.Audit(ctx, changes.Audit...)
	}
	audit, err := t.auditRecords(changes.Audit)
	if err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, len(encoded))
	for i, e := range encoded {
		records[i] = &kgo.Record{Topic: t.o.Topic, Key: []byte(e.key), Value: e.value, Headers: []kgo.RecordHeader{{Key: headerChange, Value: []byte(u.id)}}}
	}
	if err := writer.BeginTransaction(); err != nil {
		return nil, tried("begin to write the catalog", err)
	}
	if err := writer.ProduceSync(ctx, slices.Concat(records, audit)...).FirstErr(); err != nil {
		// Aborted by the next writer at the latest.
		abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return nil, tried("write the catalog", errors.Join(err, writer.EndTransaction(abort, kgo.TryAbort)))
	}
	if u.after, err = after(state, records); err != nil {
		return nil, err
	}
	u.asked = true
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, tried("end the writing of the catalog", err)
	}
	if _, err := t.await(ctx, u.after.Version); err != nil {
		return nil, fmt.Errorf("read what was written to the catalog: %w", err)
	}
	if !t.changes.has(u.id) {
		// kfake was seen to answer so when the fence of another came just before.
		return nil, &againError{errors.New("the change was said to be committed, and was aborted")}
	}
	return u.after, nil
}

// after is the catalog that records, the next ones in it, make of a state. The marker
// that ends their transaction is right behind them: nobody else can write in between.
func after(state *State, written []*kgo.Record) (*State, error) {
	records := make([]record, len(written))
	for i, r := range written {
		var err error
		if records[i], err = decode(r.Offset+1, string(r.Key), r.Value); err != nil {
			return nil, fmt.Errorf("read what was written to the catalog: %w", err)
		}
	}
	return state.with(written[len(written)-1].Offset+2, records), nil
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
