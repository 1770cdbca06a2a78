package egress

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"causeway/pkg/catalog"
	"causeway/schemas"
)

// pool is a dispatcher whose attempts the test ends itself.
type pool struct {
	*dispatcher
	mu       sync.Mutex
	took     []string                 // who was served, in order
	parkedAt []time.Time              // when each of the parked tasks was
	why      []parkedReason           // and why
	hang     map[string]chan struct{} // attempts of this name last until it is closed
}

func newPool(d *dispatcher) *pool {
	p := &pool{dispatcher: d, hang: map[string]chan struct{}{}}
	d.queues, d.allowances, d.dog = map[uuid.UUID]*queue{}, map[string]*allowance{}, &watchdog{}
	d.attempt = func(t *task) bool {
		p.mu.Lock()
		p.took = append(p.took, t.subscription.Name)
		hang := p.hang[t.subscription.Name]
		p.mu.Unlock()
		if hang != nil {
			<-hang
		} else {
			time.Sleep(time.Millisecond)
		}
		return true
	}
	d.park = func(_ *task, why parkedReason) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.parkedAt, p.why = append(p.parkedAt, time.Now()), append(p.why, why)
	}
	if d.parkable == nil {
		d.parkable = func(*task) bool { return true }
	}
	return p
}

func (p *pool) served(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, took := range p.took {
		if took == name {
			n++
		}
	}
	return n
}

// parkings is when each of the parked tasks was.
func (p *pool) parkings() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.parkedAt)
}

func named(name string, limit int) *catalog.Subscription {
	return &catalog.Subscription{UID: catalog.UID("subscription", name), Name: name, MaxConcurrency: limit}
}

func taskFor(sub *catalog.Subscription, size int64) *task {
	return &task{subscription: sub, size: size, partition: &partition{}}
}

func defaults() *dispatcher {
	return &dispatcher{tasks: 1000, bytes: 1 << 20, inFlight: 64, wait: 5 * time.Second}
}

func TestEachQueueIsServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.inFlight = 1
		p := newPool(d)
		subs := []*catalog.Subscription{named("a", 10), named("b", 10), named("c", 10)}
		for _, sub := range subs { // all of a, then all of b, then all of c
			for range 20 {
				p.offer(taskFor(sub, 1))
			}
		}
		time.Sleep(time.Second)
		p.stop()
		for i := 1; i+3 <= len(p.took); i += 3 { // the first one began when nobody else was there
			turn := slices.Clone(p.took[i : i+3])
			slices.Sort(turn)
			if i < 50 && !slices.Equal(turn, []string{"a", "b", "c"}) {
				t.Fatalf("turn %d served %v", i, turn)
			}
		}
		if len(p.took) != 60 {
			t.Errorf("%d tasks were served, want 60", len(p.took))
		}
	})
}

func TestOneThatHangsUsesUpItsOwnLimitAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		p.hang["hangs"] = make(chan struct{})
		hangs, healthy := named("hangs", 4), named("healthy", 4)
		for range 100 {
			p.offer(taskFor(hangs, 1))
			p.offer(taskFor(healthy, 1))
		}
		time.Sleep(time.Second)
		if n := p.served("hangs"); n != 4 {
			t.Errorf("%d attempts of the one that hangs, want its limit of 4", n)
		}
		if n := p.served("healthy"); n != 100 {
			t.Errorf("%d attempts of the healthy one, want 100", n)
		}
		close(p.hang["hangs"])
		p.stop()
	})
}

func TestNoOneGetsMoreThanAQuarterOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		for i, want := range []int{16, 12, 9, 6, 5, 4} {
			name := fmt.Sprint("greedy ", i)
			p.hang[name] = make(chan struct{})
			for range 64 {
				p.offer(taskFor(named(name, 64), 1))
			}
			synctest.Wait()
			if n := p.served(name); n != want {
				t.Errorf("%s got %d of 64, want %d", name, n, want)
			}
		}
		// When one of them gives its share back, whoever had little gets more of it, and
		// nobody stays asleep.
		close(p.hang["greedy 0"])
		time.Sleep(time.Second)
		if n := p.served("greedy 0"); n != 64 {
			t.Errorf("%d of 64 were served after it stopped hanging", n)
		}
		if n := p.served("greedy 5"); n <= 4 {
			t.Errorf("the last one still has %d", n)
		}
		for i := range 5 {
			close(p.hang[fmt.Sprint("greedy ", i+1)])
		}
		p.stop()
		if _, running := p.depth(); running != 0 {
			t.Errorf("%d run after the stop", running)
		}
	})
}

func TestALimitThatChangesHoldsForTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaults()
		d.inFlight = 1000
		p := newPool(d)
		p.hang["a"] = make(chan struct{})
		for range 10 {
			p.offer(taskFor(named("a", 2), 1))
		}
		synctest.Wait()
		if n := p.served("a"); n != 2 {
			t.Fatalf("%d attempts, want 2", n)
		}
		p.offer(taskFor(named("a", 5), 1)) // the catalog changed
		synctest.Wait()
		if n := p.served("a"); n != 5 {
			t.Errorf("%d attempts after the limit was raised, want 5", n)
		}
		p.offer(taskFor(named("a", 1), 1))
		close(p.hang["a"])
		synctest.Wait()
		time.Sleep(time.Second)
		if n := p.served("a"); n != 12 {
			t.Errorf("%d attempts in the end, want all 12", n)
		}
		p.stop()
	})
}

func TestAQueueIsBoundedByTasksAndBytes(t *testing.T) {
	for name, tc := range map[string]struct {
		tasks int
		bytes int64
		size  int64
		want  int
	}{
		"by tasks":                       {10, 1 << 20, 1, 10},
		"by bytes":                       {1000, 100, 30, 3},
		"to the byte":                    {1000, 90, 30, 3},
		"a large one goes in by itself":  {1000, 100, 500, 1},
		"as large as the bound, one too": {1000, 100, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(&dispatcher{tasks: tc.tasks, bytes: tc.bytes, inFlight: 4, wait: time.Minute})
				p.hang["a"] = make(chan struct{})
				sub := named("a", 1)
				p.offer(taskFor(sub, tc.size)) // under way at once
				synctest.Wait()
				n := 0
				for p.offer(taskFor(sub, tc.size)) {
					n++
				}
				if n != tc.want {
					t.Errorf("%d were queued, want %d", n, tc.want)
				}
				close(p.hang["a"])
				time.Sleep(time.Minute)
				if got := p.served("a"); got != n+1 {
					t.Errorf("%d were served, want %d", got, n+1)
				}
				p.stop()
			})
		})
	}
}

func TestBytesUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&dispatcher{tasks: 100, bytes: 100, inFlight: 64, wait: time.Minute})
		p.hang["a"] = make(chan struct{})
		sub := named("a", 64)
		for range 5 {
			p.offer(taskFor(sub, 40))
		}
		synctest.Wait()
		if n := p.served("a"); n != 2 {
			t.Errorf("%d attempts of 40 bytes, want the 2 that 100 bytes hold", n)
		}
		close(p.hang["a"])
		synctest.Wait()
		if q := p.queues[sub.UID]; q.flying != 0 || q.bytes != 0 || q.len() != 0 {
			t.Errorf("%d bytes fly, %d wait in %d tasks", q.flying, q.bytes, q.len())
		}
		p.stop()
	})
}

func TestRoomIsAnnouncedWhenHalfIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&dispatcher{tasks: 10, bytes: 1 << 20, inFlight: 1, wait: time.Hour})
		sub := named("a", 1)
		for p.offer(taskFor(sub, 1)) {
		}
		room := p.room(sub.UID)
		if again := p.room(sub.UID); again != room {
			t.Error("two who wait got two channels")
		}
		select {
		case <-room:
			t.Fatal("room in a full queue")
		default:
		}
		<-room
		if queued, _ := p.depth(); queued != 5 {
			t.Errorf("room at %d of 10", queued)
		}
		if p.room(sub.UID) != nil {
			t.Error("a task that does not fit into a queue that is half empty would look without a pause")
		}
		p.stop()
	})
}

func TestWhatReturnsGoesFirst(t *testing.T) {
	var q queue
	q.push(&task{delivery: schemas.Delivery{Hop: 0, Attempt: 1}})
	q.push(&task{delivery: schemas.Delivery{Hop: 1, Attempt: 2}})
	q.push(&task{delivery: schemas.Delivery{Hop: 0, Attempt: 3}})
	q.push(&task{delivery: schemas.Delivery{Hop: 5, Attempt: 4}})
	var got []int
	for t := q.pop(); t != nil; t = q.pop() {
		got = append(got, t.delivery.Attempt)
	}
	if want := []int{2, 4, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestOverdueTasksAreParkedOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(defaults())
		p.hang["a"] = make(chan struct{})
		sub := named("a", 1)
		start := time.Now()
		p.offer(taskFor(sub, 1)) // under way
		for range 3 {
			p.offer(taskFor(sub, 1))
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		var at []time.Duration
		for _, when := range p.parkings() {
			at = append(at, when.Sub(start))
		}
		if want := []time.Duration{5 * time.Second, 6 * time.Second, 7 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("parked after %v, want %v", at, want)
		}
		close(p.hang["a"])
		p.stop()
	})
}

func TestWhatMayNotBeParkedWaitsAndIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alone bool
		var mu sync.Mutex
		d := defaults()
		d.parkable = func(*task) bool {
			mu.Lock()
			defer mu.Unlock()
			return !alone
		}
		p := newPool(d)
		p.hang["a"] = make(chan struct{})
		sub := named("a", 1)
		alone = true
		for range 4 {
			p.offer(taskFor(sub, 1))
		}
		time.Sleep(12 * time.Second)
		if len(p.parkings()) != 0 {
			t.Errorf("%d were parked although nobody else waits", len(p.parkings()))
		}
		mu.Lock()
		alone = false
		mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(p.parkings()) != 3 {
			t.Errorf("%d were parked, want the 3 that wait", len(p.parkings()))
		}
		if queued, _ := p.depth(); queued != 0 {
			t.Errorf("%d are still queued", queued)
		}
		close(p.hang["a"])
		p.stop()
	})
}

func TestAStoppedDispatcherStartsNothingAndWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&dispatcher{tasks: 2, bytes: 1 << 20, inFlight: 1, wait: time.Second})
		p.hang["a"] = make(chan struct{})
		sub := named("a", 1)
		for p.offer(taskFor(sub, 1)) {
		}
		room := p.room(sub.UID)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			p.stop()
		}()
		<-room
		if !p.offer(taskFor(sub, 1)) {
			t.Error("a stopped dispatcher makes others wait")
		}
		time.Sleep(time.Minute)
		if n := p.served("a"); n != 1 || len(p.parkings()) != 0 {
			t.Errorf("%d attempts and %d parked after the stop", n, len(p.parkings()))
		}
		close(p.hang["a"])
		<-stopped
	})
}

// What waits of a partition that has gone is nobody's memory any more.
func TestTasksOfAPartitionThatHasGoneLeaveTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&dispatcher{tasks: 10, bytes: 1 << 20, inFlight: 1, wait: time.Hour})
		p.hang["a"] = make(chan struct{})
		sub := named("a", 1)
		gone, stays := &partition{}, &partition{}
		p.offer(taskFor(sub, 7)) // under way
		for i := range 10 {
			task := taskFor(sub, 7)
			task.partition, task.delivery.Hop = gone, i%2
			if i%5 == 0 {
				task.partition = stays
			}
			p.offer(task)
		}
		room := p.room(sub.UID)
		p.forget([]*partition{gone})
		<-room
		if queued, _ := p.depth(); queued != 2 || p.queues[sub.UID].bytes != 14 {
			t.Errorf("%d tasks of %d bytes are left, want the 2 of the other partition", queued, p.queues[sub.UID].bytes)
		}
		close(p.hang["a"])
		time.Sleep(time.Second)
		if n := p.served("a"); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
		p.stop()
	})
}

// Whatever comes when and takes how long: everything offered is attempted or parked
// exactly once, and no limit is ever passed.
func TestADispatcherUnderRandomLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[*task]int{}
		running, of := 0, map[string]int{}
		d := &dispatcher{tasks: 50, bytes: 500, inFlight: 20, wait: 100 * time.Millisecond, dog: &watchdog{}, queues: map[uuid.UUID]*queue{}, allowances: map[string]*allowance{}}
		d.attempt = func(t2 *task) bool {
			mu.Lock()
			seen[t2]++
			running++
			of[t2.subscription.Name]++
			if running > 20 || of[t2.subscription.Name] > t2.subscription.MaxConcurrency {
				t.Errorf("%d run in all, %d of %s", running, of[t2.subscription.Name], t2.subscription.Name)
			}
			mu.Unlock()
			time.Sleep(time.Duration(1+len(t2.subscription.Name)*7%40) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			running--
			of[t2.subscription.Name]--
			return true
		}
		d.park = func(t2 *task, _ parkedReason) {
			mu.Lock()
			defer mu.Unlock()
			seen[t2]++
		}
		d.parkable = func(t2 *task) bool { return t2.size%2 == 0 }
		offered := 0
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 9))
				sub := named(fmt.Sprintf("%0*d", i+1, i), 1+i%7)
				for range 300 {
					task := taskFor(sub, 1+rnd.Int64N(60))
					task.delivery.Hop = rnd.IntN(2)
					if d.offer(task) {
						mu.Lock()
						offered++
						mu.Unlock()
					} else {
						select {
						case <-d.room(sub.UID):
						case <-time.After(5 * time.Millisecond):
						}
					}
					time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if queued, running := d.depth(); queued != 0 || running != 0 {
			t.Errorf("%d queued and %d running with nothing left to come", queued, running)
		}
		d.stop()
		for _, n := range seen {
			if n != 1 {
				t.Fatalf("a task was served %d times", n)
			}
		}
		if len(seen) != offered {
			t.Errorf("%d of %d tasks were served", len(seen), offered)
		}
	})
}
