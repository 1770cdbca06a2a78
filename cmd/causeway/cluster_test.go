package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const sigterm = syscall.SIGTERM

// inTime is how long an answer may take while Kafka does not: the reply timeout of
// 5 s, and what a machine with two cores and three brokers on it adds.
const inTime = 15 * time.Second

// TestCluster runs the processes of causeway on three brokers and takes away what
// they rest on. What was acknowledged has to arrive, whatever dies; a delivery comes
// twice only where its offset was not committed, and without a fault never.
func TestCluster(t *testing.T) {
	s := newShared(t)
	for _, scenario := range []struct {
		name string
		run  func(*testing.T, *shared)
	}{
		{"egress grows from one to three and back", oneThreeOne},
		{"an egress process is frozen and back", frozenMember},
		{"one of three brokers is killed", oneBrokerKilled},
		{"a broker is frozen", oneBrokerFrozen},
		{"two of three brokers are down", tooFewReplicas},
		{"Kafka is gone, at a start too", kafkaGone},
		{"every process is restarted, three times", rollingRestart},
	} {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(t, s) })
	}
}

// oneThreeOne moves partitions without any fault: nothing may come twice.
func oneThreeOne(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.start("ingress")
	f.start("egress")
	load := f.load(150)
	pause(t, 2*time.Second, 10*time.Second)
	second, third := f.add("egress"), f.add("egress")
	second.start()
	third.start()
	second.awaitReady()
	third.awaitReady()
	pause(t, 4*time.Second, 15*time.Second)
	second.stop()
	pause(t, time.Second, 5*time.Second)
	third.stop()
	pause(t, 2*time.Second, 10*time.Second)
	load.stop()
	f.settle(load)
	v := f.judge(load)
	if !load.all() {
		t.Errorf("not every webhook was stored although nothing failed")
	}
	if len(v.copies) > 0 || v.storedTwice > 0 {
		t.Errorf("without a fault %d deliveries came again, like %v, and %d events were stored twice", len(v.copies), v.copies[:min(5, len(v.copies))], v.storedTwice)
	}
}

// frozenMember freezes a process until the others have taken over, and lets it go on:
// what it was about to deliver may come again, what it was about to commit must not.
func frozenMember(t *testing.T, s *shared) {
	f := s.fleet(t, "6s") // the shortest that brokers take
	f.start("ingress")
	f.start("egress")
	frozen := f.start("egress")
	load := f.load(150)
	pause(t, 2*time.Second, 5*time.Second)
	if err := frozen.process.Pause(); err != nil {
		t.Fatal(err)
	}
	f.awaitMembers(1)
	pause(t, 3*time.Second, 20*time.Second)
	if err := frozen.process.Resume(); err != nil {
		t.Fatal(err)
	}
	f.awaitMembers(2)
	back := time.Now()
	pause(t, 2*time.Second, 10*time.Second)
	load.stop()
	f.settle(load)
	frozen.awaitReady()
	v := f.judge(load)
	if !load.all() {
		t.Errorf("not every webhook was stored although Kafka was there all the time")
	}
	acked := load.acknowledged()
	for _, c := range v.copies {
		// Until a heartbeat tells it that it is out, it goes on with what it has and
		// fetches more, for brokers don't ask who reads. From then on nothing explains it.
		if _, id, _ := strings.Cut(c.key, "/"); acked[id].After(back) {
			t.Errorf("%s was delivered again although it came %s after the process was back", c.key, acked[id].Sub(back))
		}
	}
}

// awaitMembers waits until the group of events has so many members, all with partitions.
func (f *fleet) awaitMembers(n int) {
	f.t.Helper()
	admin := kadm.NewClient(f.kafka())
	f.await(fmt.Sprintf("the group has %d members", n), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		groups, err := admin.DescribeGroups(ctx, f.prefix+"egress")
		if err != nil {
			return err
		}
		if g := groups[f.prefix+"egress"]; g.State != "Stable" || len(g.Members) != n {
			return fmt.Errorf("it is %s and has %d", g.State, len(g.Members))
		}
		return nil
	})
}

// two starts two processes of each role.
func (f *fleet) two() {
	f.t.Helper()
	for range 2 {
		f.start("ingress")
		f.start("egress")
	}
}

// noneLate fails the test when something was delivered again after its commit.
func (v verdict) noneLate(t *testing.T) {
	t.Helper()
	for _, c := range v.copies {
		if c.late {
			t.Errorf("%s was delivered again although it was committed", c.key)
		}
	}
}

func oneBrokerKilled(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.two()
	load := f.load(150)
	pause(t, 2*time.Second, 5*time.Second)
	f.kill(0)
	pause(t, 9*time.Second, 30*time.Second)
	f.restart(0)
	pause(t, 3*time.Second, 15*time.Second)
	load.stop()
	f.settle(load)
	load.honest(inTime)
	f.judge(load).noneLate(t)
}

func oneBrokerFrozen(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.two()
	load := f.load(150)
	pause(t, 2*time.Second, 5*time.Second)
	if err := f.cluster.Pause(1); err != nil {
		t.Fatal(err)
	}
	pause(t, 11*time.Second, 40*time.Second)
	if err := f.cluster.Resume(1); err != nil {
		t.Fatal(err)
	}
	pause(t, 5*time.Second, 15*time.Second)
	load.stop()
	f.settle(load)
	load.honest(inTime)
	f.judge(load).noneLate(t)
}

// tooFewReplicas leaves one replica of three, which may not acknowledge by itself.
func tooFewReplicas(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.two()
	load := f.load(100)
	pause(t, 2*time.Second, 5*time.Second)
	f.kill(1, 2)
	down := time.Now()
	pause(t, 9*time.Second, 30*time.Second)
	alone := time.Now()
	f.restart(1, 2)
	pause(t, 3*time.Second, 15*time.Second)
	load.stop()
	f.settle(load)
	load.honest(inTime)
	for id, at := range load.acknowledged() {
		// A second for acknowledgements that were on their way.
		if at.After(down.Add(time.Second)) && at.Before(alone) {
			t.Errorf("%s was acknowledged %s after all replicas but one were gone", id, at.Sub(down))
		}
	}
	f.judge(load).noneLate(t)
}

// ceiling is what a process may take while Kafka is gone: the buffers it is allowed,
// and what an idle one takes.
const ceiling = 200 << 20

// kafkaGone takes all brokers away while webhooks come in, and starts two processes
// more meanwhile.
func kafkaGone(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.two()
	load := f.load(150)
	pause(t, 2*time.Second, 5*time.Second)
	f.kill(0, 1, 2)
	late := []*fleetMember{f.add("ingress"), f.add("egress")}
	for _, m := range late {
		m.start()
	}
	pause(t, 9*time.Second, time.Minute)
	for _, m := range f.members {
		if got := m.memory("VmRSS"); got > ceiling {
			t.Errorf("%s takes %s while Kafka is gone, more than %s", m.role, byteSize(got), byteSize(ceiling))
		} else {
			t.Logf("%s takes %s", m.role, byteSize(got))
		}
	}
	for _, m := range late {
		f.await(m.role+" says that it waits", func() error { return m.notReady() })
	}
	f.restart(0, 1, 2)
	for _, m := range f.members {
		m.awaitReady()
	}
	pause(t, 2*time.Second, 10*time.Second)
	recovered := time.Now()
	pause(t, time.Second, 5*time.Second)
	load.stop()
	f.settle(load)
	load.honest(inTime)
	again := 0
	for _, at := range load.acknowledged() {
		if at.After(recovered) {
			again++
		}
	}
	if again == 0 {
		t.Error("nothing was stored after Kafka was back")
	}
	f.judge(load).noneLate(t)
}

// notReady is nil when the process answers that it is not.
func (m *fleetMember) notReady() error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+m.ops+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		return errors.New(resp.Status)
	}
	return nil
}

// rollingRestart stops and starts every process, one after the other, three times
// over: no provider and no subscriber notices.
func rollingRestart(t *testing.T, s *shared) {
	f := s.fleet(t, "30s")
	f.two()
	load := f.load(200)
	pause(t, time.Second, 5*time.Second)
	for range 3 {
		for _, m := range f.members {
			m.stop()
			m.start()
			m.awaitReady()
			pause(t, 0, 2*time.Second)
		}
	}
	pause(t, time.Second, 5*time.Second)
	load.stop()
	f.settle(load)
	v := f.judge(load)
	load.honest(inTime)
	if !load.all() {
		t.Error("a provider noticed")
	}
	if len(v.copies) > 0 || v.storedTwice > 0 {
		t.Errorf("%d deliveries came again, like %v, and %d events were stored twice", len(v.copies), v.copies[:min(5, len(v.copies))], v.storedTwice)
	}
}
