package embedded

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
)

// checkCommits looks for groups that are ahead of the log: they would wait until
// it catches up with them, and never see what is written until then. Such a
// commit is taken away, so that the group starts at the oldest record there is:
// twice is better than never. It is the second line behind the checkpoint, for
// what happened after the last one.
func (b *Broker) checkCommits(ctx context.Context, topics []topic) error {
	if b.opts.off.Commits {
		return nil
	}
	groups, err := b.groups(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		ahead := make(kadm.TopicsSet)
		for _, t := range topics {
			for _, p := range t.partitions {
				commit, ok := g.Commits[t.name][p.Partition]
				if !ok || commit.Offset <= p.HighWatermark {
					continue
				}
				ahead.Add(t.name, p.Partition)
				b.opts.Logger.Error("records were lost: a group had committed beyond the end of the log, and starts again at the oldest record",
					zap.String("group", g.Group), zap.String("topic", t.name), zap.Int32("partition", p.Partition),
					zap.Int64("committed", commit.Offset), zap.Int64("end", p.HighWatermark), zap.Int64("start", p.LogStartOffset))
			}
		}
		if len(ahead) == 0 {
			continue
		}
		resp, err := kadm.NewClient(b.client).DeleteOffsets(ctx, g.Group, ahead)
		if err == nil {
			err = resp.Error()
		}
		if err != nil {
			return fmt.Errorf("take back what group %s had committed beyond the end of %s: %w", g.Group, ahead.Topics(), err)
		}
	}
	return nil
}
