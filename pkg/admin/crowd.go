package admin

import (
	"net/http"
	"sync"
	"time"
)

// mostAtOnce is how many requests of one tenant are answered at the same time: each may
// hold a body or a page in memory for as long as the other side is slow.
const mostAtOnce = 32

// crowd counts the requests of each tenant that are being answered.
type crowd struct {
	mu sync.Mutex
	in map[string]int // tenants without any are not in it
}

func (c *crowd) enter(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in[tenant] >= mostAtOnce {
		return false
	}
	if c.in == nil {
		c.in = map[string]int{}
	}
	c.in[tenant]++
	return true
}

func (c *crowd) leave(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in[tenant]--; c.in[tenant] == 0 {
		delete(c.in, tenant)
	}
}

// share keeps a tenant to its share, however many keys it has: of what is answered at the
// same time, and of changes, each of which costs every process something. Whoever gets
// in must leave.
func (s *Server) share(op operation, v *visit) error {
	if v.tenant == "" {
		return nil
	}
	if op.method != http.MethodGet {
		if wait, ok := s.take(s.changes, v.tenant); !ok {
			return tooMany(wait, "too many changes and tests by this tenant")
		}
	}
	if !s.crowd.enter(v.tenant) {
		return tooMany(time.Second, "too many requests of this tenant at the same time")
	}
	return nil
}

func (s *Server) unshare(v *visit) {
	if v.tenant != "" {
		s.crowd.leave(v.tenant)
	}
}
