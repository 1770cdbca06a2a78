package admin

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"causeway/pkg/catalog"
)

const (
	useStep  = time.Hour   // how exactly a key's last use is known
	useFlush = time.Minute // how long a use waits to be written with others
	mostUses = 10_000
)

// uses are keys whose last use has to be written: at most once an hour and key, and
// several at once, so that looking at causeway does not write its catalog all the time.
type uses struct {
	mu    sync.Mutex
	noted map[string]time.Time
}

func (u *uses) note(id string, written *time.Time) {
	now := time.Now().UTC().Truncate(useStep)
	if written != nil && !written.Before(now) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.noted == nil {
		u.noted = map[string]time.Time{}
	}
	if len(u.noted) < mostUses {
		u.noted[id] = now
	}
}

func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.noted
	u.noted = nil
	return taken
}

// writeUses writes the last uses that were noted. One that cannot be written is noted
// again by the next use of its key.
func (s *Server) writeUses(ctx context.Context) {
	taken := s.uses.take()
	if len(taken) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	_, err := s.o.Catalog.Update(ctx, func(state *catalog.State) (catalog.Changes, error) {
		var changes catalog.Changes
		for id, at := range taken {
			e := state.Entry(catalog.KindKey, id)
			if e == nil {
				continue
			}
			spec, err := e.KeySpec()
			if err != nil || spec.LastUsed != nil && !spec.LastUsed.Before(at) {
				continue
			}
			spec.LastUsed = &at
			next := e.Copy()
			if err := next.SetSpec(spec); err != nil {
				return catalog.Changes{}, err
			}
			changes.Put = append(changes.Put, next)
		}
		return changes, nil
	})
	if err != nil {
		s.log.Warn("the last use of API keys could not be written", zap.Int("keys", len(taken)), zap.Error(err))
	}
}
