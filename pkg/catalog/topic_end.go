package catalog

import (
	"cmp"
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// End asks Kafka for the version that the catalog has at this moment: every change
// that was acknowledged before is in it. An open transaction, whose writer may be
// dead, is not waited for.
func (t *Topic) End(ctx context.Context) (int64, error) {
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return 0, fmt.Errorf("look up the end of the catalog in %s, behind another who asks: %w", t.o.Topic, ctx.Err())
	}
	client, err := kgo.NewClient(t.o.Client("catalog-end")...)
	if err != nil {
		return 0, fmt.Errorf("make the client that looks up the end of %s: %w", t.o.Topic, err)
	}
	defer client.Close()
	ask, read := kadm.NewClient(client), t.State().Version
	end, err := t.only(ask.ListCommittedOffsets(ctx, t.o.Topic))
	if err != nil {
		return 0, fmt.Errorf("look up the end of the catalog in %s: %w", t.o.Topic, err)
	}
	if t.saw(end, read) == nil { // else whoever asked is told the end, and sees for himself
		if all, err := t.only(ask.ListEndOffsets(ctx, t.o.Topic)); err == nil {
			t.open.saw(end, all)
		}
	}
	return end, nil
}

// only is the offset of the topic's one partition.
func (t *Topic) only(ends kadm.ListedOffsets, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	end, ok := ends.Lookup(t.o.Topic, 0)
	if !ok || end.Err != nil {
		return 0, cmp.Or(end.Err, error(kerr.UnknownTopicOrPartition))
	}
	return end.Offset, nil
}

// AwaitEnd waits until the catalog was read as far as it went when it was called, for
// processes that must not serve from an older one. It goes on asking until ctx ends.
func (t *Topic) AwaitEnd(ctx context.Context) (*State, error) {
	for attempt := 0; ; attempt++ {
		end, err := t.End(ctx)
		if err == nil {
			var state *State
			if state, err = t.await(ctx, end); err == nil {
				return state, nil
			}
			err = fmt.Errorf("read the catalog in %s to its end %d, from %d: %w", t.o.Topic, end, t.State().Version, err)
			if ctx.Err() != nil || t.WentBack() != nil { // at a start: the next one begins with what is there
				return nil, err
			}
		}
		if ended := pause(ctx, attempt, 0); ended != nil {
			return nil, fmt.Errorf("%w; the last try: %w", ended, err)
		}
	}
}
