package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// ErrLost says that acknowledged records are missing.
var ErrLost = errors.New("acknowledged records are missing")

// checkpoint is what the broker had acknowledged a moment ago, written down
// beside the data. kfake notices nothing when a partition comes back shorter
// than it was: it gives the same offsets out again, and a group that had
// committed them passes over the new records in silence.
type checkpoint struct {
	Partitions []mark `json:"partitions"`
}

// mark is the end of one partition. The id tells a topic from one that was made
// later under the same name.
type mark struct {
	Topic     string    `json:"topic"`
	ID        uuid.UUID `json:"id"`
	Partition int32     `json:"partition"`
	End       int64     `json:"end"`
}

func (b *Broker) checkpointFile() string { return filepath.Join(b.opts.Dir, "checkpoint.json") }

// keepCheckpoint is writeCheckpoint in passing: an older one is still true.
func (b *Broker) keepCheckpoint(ctx context.Context) {
	if err := b.writeCheckpoint(ctx); err != nil && ctx.Err() == nil {
		b.opts.Logger.Warn("the embedded broker could not write its checkpoint", zap.Error(err))
	}
}

// writeCheckpoint writes down where every partition ends, if that has changed.
func (b *Broker) writeCheckpoint(ctx context.Context) error {
	topics, err := b.topics(ctx)
	if err != nil {
		return err
	}
	var c checkpoint
	for _, t := range topics {
		for _, p := range t.partitions {
			c.Partitions = append(c.Partitions, mark{Topic: t.name, ID: t.id, Partition: p.Partition, End: p.HighWatermark})
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the checkpoint: %w", err)
	}
	if old, err := os.ReadFile(b.checkpointFile()); err == nil && string(old) == string(text) {
		return nil
	}
	if err := replaceFile(b.checkpointFile(), text); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

// readCheckpoint returns an empty one where there is none.
func (b *Broker) readCheckpoint() (c checkpoint, err error) {
	text, err := os.ReadFile(b.checkpointFile())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read the checkpoint %s: %w; delete it to go on without it", b.checkpointFile(), err)
	}
	return c, nil
}

// checkWhole looks for what kfake begins with, before it does: without it, it
// takes the directory for a new one and writes an empty list of topics over the
// old.
func (b *Broker) checkWhole() error {
	if b.opts.off.Checkpoint {
		return nil
	}
	old := ""
	for _, name := range []string{"checkpoint.json", "partitions", "groups.log"} {
		if _, err := os.Lstat(filepath.Join(b.opts.Dir, name)); err == nil {
			old = name
		}
	}
	for _, name := range []string{"meta.json", "topics.json"} {
		_, err := os.Lstat(filepath.Join(b.opts.Dir, name))
		if old != "" && errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s has %s and no %s. Bring back a copy of the directory, or start with another one", ErrLost, b.opts.Dir, old, name)
		}
	}
	return nil
}

// checkCheckpoint refuses to go on where a partition ends before it did.
func (b *Broker) checkCheckpoint(topics []topic) error {
	if b.opts.off.Checkpoint {
		return nil
	}
	c, err := b.readCheckpoint()
	if err != nil {
		return err
	}
	type place struct {
		id        uuid.UUID
		partition int32
	}
	ends := make(map[place]int64)
	for _, t := range topics {
		for _, p := range t.partitions {
			ends[place{t.id, p.Partition}] = p.HighWatermark
		}
	}
	var lost []string
	for _, m := range c.Partitions {
		// Without a trace of its id the topic was deleted after the checkpoint.
		if end, ok := ends[place{m.ID, m.Partition}]; ok && end < m.End {
			lost = append(lost, fmt.Sprintf("%s/%d ends at %d and had acknowledged up to %d", m.Topic, m.Partition, end, m.End))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%w in %s: %s. Start with another directory, bring back a copy of this one, or delete %s to accept the loss",
		ErrLost, b.opts.Dir, strings.Join(lost, "; "), b.checkpointFile())
}
